// Boost.Redis in tasks, against a real redis-server: ZSYNC_REDIS_PORT and ZSYNC_REDIS_PID name it
// (test_redis.py starts it).
#include "tests/core/models.hpp"

#include <zsync/asio/use_task.hpp>
#include <zsync/core/scope.hpp>

#include <gtest/gtest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/redis/connection.hpp>
#include <boost/redis/src.hpp>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

namespace redis = boost::redis;
using namespace std::chrono_literals;
using namespace zsync;
using zsync::asio::Context;
using zsync::asio::use_task;

namespace {

std::string environment(const char* name) {
    const char* text = std::getenv(name); // NOLINT(concurrency-mt-unsafe): one thread
    EXPECT_NE(text, nullptr) << name << " is for test_redis.py to set";
    return text != nullptr ? text : "";
}

redis::config server() {
    redis::config config;
    config.addr = {"127.0.0.1", environment("ZSYNC_REDIS_PORT")};
    config.reconnect_wait_interval = 0s; // a lost server is an error, not a reason to wait for it
    config.health_check_interval = 0s;
    return config;
}

Task<Result<void>> keep_running(redis::connection& connection, const redis::config& config) {
    const redis::logger silent(redis::logger::level::disabled);
    co_return co_await connection.async_run(config, silent, use_task);
}

class Redis : public ModelTest {
protected:
    using Body = Task<Result<void>> (*)(Io, redis::connection&);
    /// Runs `body` with a connection that a task of its own keeps going.
    void with_connection(Body body) {
        const Result<void> done = io().run("test", asio::in_context(io(), connected, io(), body));
        EXPECT_TRUE(done) << done.error().message();
    }

private:
    static Task<Result<void>> connected(Context& context, Io io, Body body) {
        redis::connection connection(context);
        const redis::config config = server();
        auto running = io.async("redis", keep_running, std::ref(connection), std::cref(config));
        const Result<void> result = co_await body(io, connection);
        // Its run forgets a cancel that comes between two of its steps; this one it knows.
        connection.cancel();
        (void)co_await running.cancel();
        co_return result;
    }
};

INSTANTIATE_TEST_SUITE_P(
    Models, Redis, testing::Values(Model::coroutines, Model::fibers), model_name
);

} // namespace

TEST_P(Redis, a_pipeline_is_answered_in_order) {
    with_connection([](Io /*io*/, redis::connection& connection) -> Task<Result<void>> {
        redis::request request;
        request.push("DEL", "counter");
        request.push("SET", "greeting", "hello, world");
        request.push("GET", "greeting");
        for (int n = 0; n < 100; ++n) {
            request.push("INCR", "counter");
        }
        redis::generic_response response;
        ZCO_CHECK(co_await connection.async_exec(request, response, use_task));
        std::vector<std::string> values;
        for (const auto& node : response.value()) {
            values.push_back(node.value);
        }
        EXPECT_EQ(values.size(), 103U);
        EXPECT_EQ(values.at(2), "hello, world");
        EXPECT_EQ(values.back(), "100");
        co_return {};
    });
}

TEST_P(Redis, many_tasks_share_a_connection) {
    with_connection([](Io io, redis::connection& connection) -> Task<Result<void>> {
        const auto echo = [](redis::connection& shared, int number) -> Task<Result<void>> {
            redis::request request;
            request.push("ECHO", number);
            redis::response<int> response;
            ZCO_CHECK(co_await shared.async_exec(request, response, use_task));
            EXPECT_EQ(std::get<0>(response).value(), number);
            co_return {};
        };
        Scope scope(io, "echoes");
        for (int number = 0; number < 200; ++number) {
            (void)scope.spawn("echo", echo, std::ref(connection), number);
        }
        co_return co_await scope.join();
    });
}

TEST_P(Redis, an_error_of_the_server_comes_with_its_words) {
    with_connection([](Io /*io*/, redis::connection& connection) -> Task<Result<void>> {
        redis::request request;
        request.push("SET", "text", "not a number");
        request.push("INCR", "text");
        redis::response<std::string, int> response;
        ZCO_CHECK(co_await connection.async_exec(request, response, use_task));
        EXPECT_EQ(
            std::get<1>(response).error().diagnostic, "ERR value is not an integer or out of range"
        );
        redis::response<int, int> wrong;
        redis::request get;
        get.push("GET", "text");
        get.push("GET", "text");
        const Result<std::size_t> mismatch = co_await connection.async_exec(get, wrong, use_task);
        EXPECT_FALSE(mismatch);
        EXPECT_TRUE(asio::is(mismatch.error(), redis::error::not_a_number))
            << mismatch.error().message();
        EXPECT_EQ(mismatch.error().name(), "boost.redis");
        co_return {};
    });
}

TEST_P(Redis, pushes_arrive_while_a_task_waits_for_them) {
    with_connection([](Io io, redis::connection& connection) -> Task<Result<void>> {
        redis::generic_response push;
        connection.set_receive_response(push);
        redis::request subscribe;
        subscribe.push("SUBSCRIBE", "news");
        ZCO_CHECK(co_await connection.async_exec(subscribe, redis::ignore, use_task));
        ZCO_CHECK(co_await connection.async_receive(use_task).until(io.now() + 30s));
        EXPECT_EQ(push.value().at(1).value, "subscribe");
        redis::consume_one(push);
        redis::request publish;
        publish.push("PUBLISH", "news", "it rains");
        ZCO_CHECK(co_await connection.async_exec(publish, redis::ignore, use_task));
        ZCO_CHECK(co_await connection.async_receive(use_task).until(io.now() + 30s));
        EXPECT_EQ(push.value().at(3).value, "it rains");
        co_return {};
    });
}

TEST_P(Redis, a_cancel_ends_a_request_that_waits_for_its_answer) {
    with_connection([](Io io, redis::connection& connection) -> Task<Result<void>> {
        const auto pop = [](redis::connection& shared) -> Task<Result<std::size_t>> {
            redis::request request;
            request.push("BLPOP", "a list that stays empty", 60);
            co_return co_await shared.async_exec(request, redis::ignore, use_task);
        };
        redis::request ping;
        ping.push("PING");
        ZCO_CHECK(co_await connection.async_exec(ping, redis::ignore, use_task));
        auto popping = io.async(pop, std::ref(connection));
        ZCO_CHECK(co_await io.sleep_for(5ms));
        EXPECT_TRUE((co_await popping.cancel()).error().is_canceled());
        co_return {};
    });
}

TEST_P(Redis, a_deadline_ends_it_too) {
    with_connection([](Io io, redis::connection& connection) -> Task<Result<void>> {
        redis::request request;
        request.push("BLPOP", "a list that stays empty", 60);
        const auto popped =
            co_await connection.async_exec(request, redis::ignore, use_task).until(io.now() + 20ms);
        EXPECT_EQ(popped.error(), Error(CoreError::timed_out));
        co_return {};
    });
}

// Its own run of the program: it kills the server.
TEST_P(Redis, DISABLED_a_server_that_dies_in_mid_request_is_an_error) {
    with_connection([](Io io, redis::connection& connection) -> Task<Result<void>> {
        const auto pop = [](redis::connection& shared) -> Task<Result<std::size_t>> {
            redis::request request;
            request.get_config().cancel_on_connection_lost = true;
            request.push("BLPOP", "a list that stays empty", 60);
            co_return co_await shared.async_exec(request, redis::ignore, use_task);
        };
        redis::request ping;
        ping.push("PING");
        ZCO_CHECK(co_await connection.async_exec(ping, redis::ignore, use_task));
        auto popping = io.async(pop, std::ref(connection));
        ZCO_CHECK(co_await io.sleep_for(5ms));
        EXPECT_EQ(::kill(std::stoi(environment("ZSYNC_REDIS_PID")), SIGKILL), 0);
        const Result<std::size_t>& died = co_await popping;
        EXPECT_FALSE(died);
        EXPECT_FALSE(died.error().is_canceled()) << "nobody cancelled this task";
        EXPECT_TRUE(asio::is(died.error(), boost::asio::error::operation_aborted))
            << died.error().message();
        co_return {};
    });
}
