// Boost.Asio's operations as a worker's tasks await them, in coroutines and fibers, on io_uring and
// on epoll.
#include "tests/core/models.hpp"

#include <zsync/asio/use_task.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/simulation.hpp>

#include <gtest/gtest.h>

#include <array>
#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/defer.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <stdexcept>
#include <string>
#include <thread>

namespace net = boost::asio;
using namespace std::chrono_literals;
using namespace zsync;
using zsync::asio::Context;
using zsync::asio::use_task;
using Local = net::local::stream_protocol::socket;

namespace {

class Asio : public ModelTest {
protected:
    /// Runs `body(context, args...)` in a context, and expects that it succeeds.
    template <class Body, class... Args> void in_context(Body body, Args... args) {
        const Result<void> done =
            io().run("test", asio::in_context(io(), body, std::move(args)...));
        EXPECT_TRUE(done) << done.error().message();
    }
};

INSTANTIATE_TEST_SUITE_P(
    Models,
    Asio,
    testing::Values(Model::coroutines, Model::fibers, Model::epoll_coroutines, Model::epoll_fibers),
    model_name
);

/// Two ends of a connection.
struct Pair {
    explicit Pair(Context& context) : a(context), b(context) { net::local::connect_pair(a, b); }
    Local a;
    Local b;
};

std::ptrdiff_t open_descriptors() {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

/// What starts tasks of the kind that runs.
Io io_of(Context& context) { return {context.worker(), TaskRecord::current()->kind()}; }

using Handler = net::any_completion_handler<void(boost::system::error_code)>;

/// Awaits an operation that ends when somebody calls `handler`, and then a yield.
Task<std::pair<Result<void>, Result<void>>> await_then_yield(Io io, Handler& handler) {
    const auto keep = [&handler](auto given) { handler = std::move(given); };
    Result<void> waited =
        co_await net::async_initiate<const asio::UseTask, void(boost::system::error_code)>(
            keep, use_task
        );
    Result<void> next = co_await io.yield();
    co_return {waited, next};
}

Task<Result<std::size_t>> send_after_a_cancel(Io io, Local& socket) {
    io.recancel();
    co_return co_await socket.async_send(net::buffer("lost", 4), use_task);
}

net::awaitable<void> set_later(bool* ran) {
    net::steady_timer timer(co_await net::this_coro::executor, 2ms);
    co_await timer.async_wait(net::use_awaitable);
    *ran = true;
}

net::awaitable<void> wait_for_ever() {
    net::steady_timer never(
        co_await net::this_coro::executor, net::steady_timer::time_point::max()
    );
    co_await never.async_wait(net::use_awaitable);
    ADD_FAILURE() << "it never fires";
}

Task<Result<void>> leave_one_waiting(Context& context) {
    net::co_spawn(context, wait_for_ever(), net::detached);
    co_return {};
}

Task<Result<std::size_t>> write_all(Local& socket, const std::string& text) {
    co_return co_await net::async_write(socket, net::buffer(text), use_task);
}

Task<Result<void>> wait_for(net::steady_timer& timer) {
    co_return co_await timer.async_wait(use_task);
}

Task<Result<std::size_t>> read_some(Local& socket, std::span<char> into) {
    co_return co_await socket.async_read_some(net::buffer(into.data(), into.size()), use_task);
}

} // namespace

TEST_P(Asio, connections_are_made_and_used) {
    in_context([](Context& context) -> Task<Result<void>> {
        net::ip::tcp::acceptor acceptor(context, {net::ip::address_v4::loopback(), 0});
        net::ip::tcp::socket client(context);
        ZCO_CHECK(co_await client.async_connect(acceptor.local_endpoint(), use_task));
        ZCO_TRY(net::ip::tcp::socket server, co_await acceptor.async_accept(use_task));
        const std::string sent = "a line\nand the rest";
        ZCO_TRY(
            const std::size_t count, co_await net::async_write(client, net::buffer(sent), use_task)
        );
        EXPECT_EQ(count, sent.size());
        client.shutdown(net::socket_base::shutdown_send);
        std::string got;
        ZCO_TRY(
            const std::size_t line,
            co_await net::async_read_until(server, net::dynamic_buffer(got), '\n', use_task)
        );
        EXPECT_EQ(got.substr(0, line), "a line\n");
        const auto [status, rest] =
            co_await net::async_read(server, net::dynamic_buffer(got), net::as_tuple(use_task));
        EXPECT_FALSE(status);
        EXPECT_TRUE(asio::is(status.error(), net::error::eof)) << status.error().message();
        EXPECT_EQ(got, sent);
        EXPECT_LE(rest, sent.size() - line); // what the line's read had not taken along
        co_return {};
    });
}

TEST_P(Asio, a_refused_connection_is_an_error_of_the_system) {
    in_context([](Context& context) -> Task<Result<void>> {
        net::ip::tcp::endpoint nobody(net::ip::address_v4::loopback(), 0);
        {
            const net::ip::tcp::acceptor taken(context, nobody);
            nobody = taken.local_endpoint();
        }
        net::ip::tcp::socket socket(context);
        const Result<void> connected = co_await socket.async_connect(nobody, use_task);
        EXPECT_FALSE(connected);
        EXPECT_EQ(connected.error(), os_error(ECONNREFUSED));
        EXPECT_EQ(connected.error().os_error(), ECONNREFUSED);
        EXPECT_TRUE(asio::is(connected.error(), net::error::connection_refused));
        co_return {};
    });
}

TEST_P(Asio, a_cancel_reaches_the_operation_and_leaves_the_socket_whole) {
    in_context([](Context& context) -> Task<Result<void>> {
        const Io io = io_of(context);
        Pair pair(context);
        std::array<char, 16> buffer{};
        auto reading = io.async(read_some, std::ref(pair.b), std::span(buffer));
        ZCO_CHECK(co_await io.yield());
        const Result<std::size_t> stopped = co_await reading.cancel();
        EXPECT_FALSE(stopped);
        EXPECT_TRUE(stopped.error().is_canceled());

        ZCO_CHECK(co_await pair.a.async_send(net::buffer("abc", 3), use_task));
        ZCO_TRY(const std::size_t count, co_await read_some(pair.b, buffer));
        EXPECT_EQ(count, 3);
        co_return {};
    });
}

TEST_P(Asio, a_cancel_before_the_operation_keeps_it_from_starting) {
    in_context([](Context& context) -> Task<Result<void>> {
        const Io io = io_of(context);
        Pair pair(context);
        auto sending = io.async(send_after_a_cancel, io, std::ref(pair.a));
        EXPECT_TRUE((co_await sending).error().is_canceled());
        EXPECT_EQ(pair.b.available(), 0);
        co_return {};
    });
}

TEST_P(Asio, a_cancel_that_comes_too_late_leaves_the_result_and_stays_pending) {
    in_context([](Context& context) -> Task<Result<void>> {
        const Io io = io_of(context);
        Handler handler;
        auto waiting = io.async(await_then_yield, io, std::ref(handler));
        ZCO_CHECK(co_await io.yield());
        std::move(handler)(boost::system::error_code());
        const auto [waited, next] = co_await waiting.cancel();
        EXPECT_TRUE(waited);
        EXPECT_TRUE(next.error().is_canceled());
        co_return {};
    });
}

TEST_P(Asio, an_operation_that_no_cancel_reaches_is_waited_for) {
    in_context([](Context& context) -> Task<Result<void>> {
        const Io io = io_of(context);
        Handler handler;
        auto waiting = io.async(await_then_yield, io, std::ref(handler));
        ZCO_CHECK(co_await io.yield());
        waiting.request_cancel();
        ZCO_CHECK(co_await io.yield());
        EXPECT_FALSE(waiting.is_finished());
        std::move(handler)(net::error::make_error_code(net::error::operation_aborted));
        const auto& [waited, next] = co_await waiting;
        EXPECT_TRUE(waited.error().is_canceled());
        EXPECT_TRUE(next) << "it was delivered once";
        co_return {};
    });
}

TEST_P(Asio, a_handler_that_is_dropped_ends_the_wait_with_closed) {
    in_context([](Context& context) -> Task<Result<void>> {
        const Io io = io_of(context);
        Handler handler;
        auto waiting = io.async(await_then_yield, io, std::ref(handler));
        ZCO_CHECK(co_await io.yield());
        handler = nullptr;
        const auto& [waited, next] = co_await waiting;
        EXPECT_EQ(waited.error(), Error(CoreError::closed));
        EXPECT_TRUE(next);
        co_return {};
    });
}

TEST_P(Asio, an_operation_that_somebody_else_aborts_is_not_canceled) {
    in_context([](Context& context) -> Task<Result<void>> {
        const Io io = io_of(context);
        Pair pair(context);
        std::array<char, 16> buffer{};
        auto reading = io.async(read_some, std::ref(pair.b), std::span(buffer));
        ZCO_CHECK(co_await io.yield());
        pair.b.close();
        const Result<std::size_t>& aborted = co_await reading;
        EXPECT_FALSE(aborted);
        EXPECT_EQ(aborted.error(), os_error(ECANCELED));
        EXPECT_TRUE(asio::is(aborted.error(), net::error::operation_aborted));
        co_return {};
    });
}

TEST_P(Asio, a_deadline_ends_the_operation_with_timed_out) {
    in_context([](Context& context) -> Task<Result<void>> {
        const Io io = io_of(context);
        Pair pair(context);
        std::array<char, 16> buffer{};
        const auto late =
            co_await pair.b.async_read_some(net::buffer(buffer), use_task).until(io.now() + 2ms);
        EXPECT_EQ(late.error(), Error(CoreError::timed_out));
        ZCO_CHECK(co_await pair.a.async_send(net::buffer("abc", 3), use_task));
        const auto in_time =
            co_await pair.b.async_read_some(net::buffer(buffer), use_task).until(io.now() + 60s);
        EXPECT_EQ(in_time, Result<std::size_t>(3));
        co_return {};
    });
}

TEST_P(Asio, a_wait_for_a_channel_ends_as_any_other) {
    in_context([](Context& context) -> Task<Result<void>> {
        const Io io = io_of(context);
        net::experimental::channel<void(boost::system::error_code, int)> channel(context, 1);
        const auto receive = [&channel]() -> Task<Result<int>> {
            co_return co_await channel.async_receive(use_task);
        };
        const auto late = co_await channel.async_receive(use_task).until(io.now() + 2ms);
        EXPECT_EQ(late.error(), Error(CoreError::timed_out));
        auto stopped = io.async(receive);
        ZCO_CHECK(co_await io.yield());
        const Result<int> canceled = co_await std::move(stopped).cancel();
        EXPECT_TRUE(canceled.error().is_canceled()) << canceled.error().message();
        auto aborted = io.async(receive);
        ZCO_CHECK(co_await io.yield());
        channel.cancel();
        const Result<int> by_another = co_await std::move(aborted);
        EXPECT_TRUE(!by_another && !by_another.error().is_canceled());
        ZCO_CHECK(co_await channel.async_send({}, 7, use_task));
        EXPECT_EQ(co_await channel.async_receive(use_task), 7);
        channel.close();
        const Result<int> closed = co_await channel.async_receive(use_task);
        EXPECT_TRUE(!closed && !closed.error().is_canceled());
        co_return {};
    });
}

TEST_P(Asio, what_came_before_an_error_is_not_lost) {
    in_context([](Context& context) -> Task<Result<void>> {
        Pair pair(context);
        ZCO_CHECK(co_await pair.a.async_send(net::buffer("abc", 3), use_task));
        pair.a.close();
        std::array<char, 16> buffer{};
        const auto [status, count] =
            co_await net::async_read(pair.b, net::buffer(buffer), net::as_tuple(use_task));
        EXPECT_TRUE(!status && asio::is(status.error(), net::error::eof));
        EXPECT_EQ(count, 3);
        co_return {};
    });
}

TEST_P(Asio, timers_fire_in_their_order) {
    in_context([](Context& context) -> Task<Result<void>> {
        const Io io = io_of(context);
        const TimePoint begin = io.now();
        net::steady_timer later(context, 4ms);
        net::steady_timer sooner(context, 2ms);
        std::string order;
        later.async_wait([&](auto /*code*/) { order += 'b'; });
        sooner.async_wait([&](auto /*code*/) { order += 'a'; });
        net::steady_timer last(context, 6ms);
        ZCO_CHECK(co_await last.async_wait(use_task));
        EXPECT_EQ(order, "ab");
        EXPECT_GE(io.now() - begin, 6ms);
        co_return {};
    });
}

TEST_P(Asio, handlers_that_a_task_posts_run_in_the_loop) {
    in_context([](Context& context) -> Task<Result<void>> {
        std::string order = "task ";
        net::post(context, [&] { order += "posted "; });
        // A continuation, which Asio keeps in a loop's own queue where there is one.
        net::defer(context, [&] { order += "deferred "; });
        net::dispatch(context, [&] { order += "dispatched "; });
        EXPECT_EQ(order, "task ");
        ZCO_CHECK(co_await net::post(context, use_task));
        EXPECT_EQ(order, "task posted deferred dispatched ");
        co_return {};
    });
}

TEST_P(Asio, handlers_posted_by_other_threads_wake_the_worker) {
    in_context([](Context& context) -> Task<Result<void>> {
        const std::thread::id here = std::this_thread::get_id();
        net::steady_timer never(context, net::steady_timer::time_point::max());
        const std::jthread other([&] {
            net::post(context, [&] {
                EXPECT_EQ(std::this_thread::get_id(), here);
                never.cancel();
            });
        });
        const Result<void> waited = co_await never.async_wait(use_task);
        EXPECT_EQ(waited.error(), os_error(ECANCELED));
        co_return {};
    });
}

TEST_P(Asio, an_operation_of_another_context_ends_on_the_worker) {
    in_context([](Context& /*context*/) -> Task<Result<void>> {
        const std::thread::id here = std::this_thread::get_id();
        net::io_context theirs;
        auto work = net::make_work_guard(theirs);
        const std::jthread other([&] { theirs.run(); });
        net::steady_timer timer(theirs, 1ms);
        // Not until its own end: a signal from here would race with it.
        const Result<void> fired = co_await timer.async_wait(use_task).until(TimePoint::min());
        EXPECT_TRUE(fired);
        EXPECT_EQ(std::this_thread::get_id(), here);
        work.reset();
        co_return {};
    });
}

TEST_P(Asio, an_exception_becomes_a_fault_with_its_words) {
    in_context([](Context& context) -> Task<Result<void>> {
        const auto number = [](bool throws) -> net::awaitable<int> {
            if (throws) {
                throw std::runtime_error("no number today");
            }
            co_return 7;
        };
        const Outcome<int> got = co_await net::co_spawn(context, number(false), use_task);
        EXPECT_EQ(got.value_or(0), 7);
        const Outcome<int> thrown = co_await net::co_spawn(context, number(true), use_task);
        EXPECT_FALSE(thrown);
        EXPECT_EQ(thrown.error().message(), "no number today");
        const auto [status, value] =
            co_await net::co_spawn(context, number(false), net::as_tuple(use_task));
        EXPECT_TRUE(status);
        EXPECT_EQ(value, 7);
        co_return {};
    });
}

TEST_P(Asio, operations_that_never_wait_leave_others_their_turn) {
    in_context([](Context& context) -> Task<Result<void>> {
        const Io io = io_of(context);
        net::ip::udp::socket socket(context, {net::ip::address_v4::loopback(), 0});
        const net::ip::udp::endpoint self = socket.local_endpoint();
        bool had_a_turn = false;
        const auto note = [](bool& turn) { turn = true; };
        auto other = io.async(note, std::ref(had_a_turn));
        const std::uint32_t more_than_a_turn = asio::limits::immediate_per_turn_max + 1;
        for (std::uint32_t n = 0; n < more_than_a_turn; ++n) {
            ZCO_CHECK(co_await socket.async_send_to(net::buffer("x", 1), self, use_task));
        }
        EXPECT_TRUE(had_a_turn);
        co_await other;
        co_return {};
    });
}

TEST_P(Asio, a_long_transfer_of_ready_data_keeps_the_stack_short) {
    in_context([](Context& context) -> Task<Result<void>> {
        const Io io = io_of(context);
        Pair pair(context);
        const std::string sent(100'000, 'x');
        auto writing = io.async(write_all, std::ref(pair.a), std::cref(sent));
        std::string got(sent.size(), '\0');
        // A byte at a time: handlers that call each other would be a hundred thousand deep.
        const auto one_byte = [&](boost::system::error_code, std::size_t done) {
            return done == got.size() ? std::size_t{0} : std::size_t{1};
        };
        ZCO_CHECK(co_await net::async_read(pair.b, net::buffer(got), one_byte, use_task));
        EXPECT_EQ(co_await writing, Result<std::size_t>(sent.size()));
        EXPECT_EQ(got, sent);
        co_return {};
    });
}

TEST_P(Asio, joining_waits_for_what_nobody_awaits) {
    bool ran = false;
    in_context(
        [](Context& context, bool* flag) -> Task<Result<void>> {
            net::co_spawn(context, set_later(flag), net::detached);
            co_return {};
        },
        &ran
    );
    EXPECT_TRUE(ran);
}

TEST_P(Asio, cancelling_the_join_drops_what_is_left) {
    const std::ptrdiff_t before = open_descriptors();
    const auto program = [](Io io) -> Task<Result<void>> {
        auto running =
            io.async(asio::in_context<decltype(&leave_one_waiting)>, io, leave_one_waiting);
        ZCO_CHECK(co_await io.sleep_for(1ms));
        EXPECT_TRUE((co_await running.cancel()).error().is_canceled());
        co_return {};
    };
    EXPECT_TRUE(io().run("test", program(io())));
    EXPECT_EQ(open_descriptors(), before);
}

TEST_P(Asio, stopping_ends_waits_with_closed) {
    const auto program = [](Io io) -> Task<Result<void>> {
        auto made = Context::create(io);
        EXPECT_TRUE(made);
        Context& context = **made;
        {
            net::steady_timer never(context, net::steady_timer::time_point::max());
            auto waiting = io.async(wait_for, std::ref(never));
            ZCO_CHECK(co_await io.yield());
            context.stop();
            EXPECT_TRUE(co_await context.join());
            EXPECT_EQ((co_await waiting).error(), Error(CoreError::closed));
            EXPECT_EQ((co_await never.async_wait(use_task)).error(), Error(CoreError::closed));
        }
        co_return {};
    };
    EXPECT_TRUE(io().run("test", program(io())));
}

TEST_P(Asio, a_worker_has_one_context_at_a_time) {
    in_context([](Context& context) -> Task<Result<void>> {
        EXPECT_EQ(Context::current(), &context);
        const auto second = Context::create(Io(context.worker(), TaskKind::coroutine));
        EXPECT_EQ(second.error().error, Error(CoreError::limit_reached));
        co_return {};
    });
    EXPECT_EQ(Context::current(), nullptr);
    in_context([](Context& /*context*/) -> Task<Result<void>> { co_return {}; });
}

TEST_P(Asio, a_body_that_fails_takes_its_loop_with_it) {
    const auto fails = [](Context& context) -> Task<Result<void>> {
        net::co_spawn(context, wait_for_ever(), net::detached);
        co_return fail(CoreError::invalid_argument);
    };
    const Result<void> done = io().run("test", asio::in_context(io(), +fails));
    EXPECT_EQ(done.error(), Error(CoreError::invalid_argument));
}

TEST(AsioModels, fibers_wait_where_they_stand) {
    ModelHost host(Model::fibers);
    const auto program = [](Io io) -> Result<std::size_t> {
        auto context = Context::create(io);
        EXPECT_TRUE(context);
        std::size_t got = 0;
        {
            Pair pair(**context);
            std::array<char, 16> buffer{};
            EXPECT_TRUE(pair.a.async_send(net::buffer("four", 4), use_task).wait());
            got = pair.b.async_read_some(net::buffer(buffer), use_task).wait().value_or(0);
        }
        ZTRY((*context)->join().wait());
        return got;
    };
    EXPECT_EQ(host.io().run("test", make_task(program, host.io())), Result<std::size_t>(4));
}

TEST(AsioModels, other_executors_are_refused) {
    const auto program = [](Io io) -> Task<Error> { co_return Context::create(io).error().error; };
    ModelHost threads(Model::threads);
    EXPECT_EQ(threads.io().run("test", program(threads.io())), Error(CoreError::unsupported));
    Simulation simulation(1);
    const Io io = simulation.worker().io();
    EXPECT_EQ(io.run("test", program(io)), Error(CoreError::unsupported));
}
