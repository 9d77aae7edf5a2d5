// Boost.MySQL in tasks, against a real mariadbd: ZSYNC_MARIADB_PORT names it (test_mysql.py starts
// it).
#include "tests/core/models.hpp"

#include <zsync/asio/use_task.hpp>

#include <gtest/gtest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/charconv/from_chars.hpp>
#include <boost/charconv/to_chars.hpp>
#include <boost/mysql/any_connection.hpp>
#include <boost/mysql/common_server_errc.hpp>
#include <boost/mysql/mariadb_server_errc.hpp>
#include <boost/mysql/results.hpp>
#include <boost/mysql/with_params.hpp>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <string>

// What Boost.MySQL needs of the compiled part of Boost.Charconv, by the standard library's means.
namespace boost::charconv {
namespace {
template <class Number>
from_chars_result parse(const char* first, const char* last, Number& value) noexcept {
    const std::from_chars_result result = std::from_chars(first, last, value);
    return {result.ptr, result.ec};
}
} // namespace
from_chars_result
from_chars(const char* first, const char* last, float& value, chars_format /*format*/) noexcept {
    return parse(first, last, value);
}
from_chars_result
from_chars(const char* first, const char* last, double& value, chars_format /*format*/) noexcept {
    return parse(first, last, value);
}
to_chars_result to_chars(char* first, char* last, double value, chars_format /*format*/) noexcept {
    const std::to_chars_result result =
        std::to_chars(first, last, value, std::chars_format::scientific);
    return {result.ptr, result.ec};
}
} // namespace boost::charconv

namespace mysql = boost::mysql;
using namespace std::chrono_literals;
using namespace zsync;
using zsync::asio::Context;
using zsync::asio::use_task;

namespace {

mysql::connect_params server() {
    const char* port = std::getenv("ZSYNC_MARIADB_PORT"); // NOLINT(concurrency-mt-unsafe)
    EXPECT_NE(port, nullptr) << "test_mysql.py sets ZSYNC_MARIADB_PORT";
    mysql::connect_params params;
    params.server_address.emplace_host_and_port(
        "127.0.0.1", static_cast<unsigned short>(std::atoi(port != nullptr ? port : "0"))
    );
    params.username = "tester";
    params.password = "secret";
    params.database = "test";
    return params;
}

class MySql : public ModelTest {
protected:
    using Body = Task<Result<void>> (*)(Io, mysql::any_connection&);
    void with_connection(Body body) {
        const Result<void> done = io().run("test", asio::in_context(io(), connected, io(), body));
        EXPECT_TRUE(done) << done.error().message();
    }

private:
    static Task<Result<void>> connected(Context& context, Io io, Body body) {
        mysql::any_connection connection(context);
        const mysql::connect_params params = server();
        mysql::diagnostics words;
        const Result<void> came = co_await connection.async_connect(params, words, use_task);
        EXPECT_TRUE(came) << words.server_message();
        ZCO_CHECK(came);
        co_return co_await body(io, connection);
    }
};

INSTANTIATE_TEST_SUITE_P(
    Models, MySql, testing::Values(Model::coroutines, Model::fibers), model_name
);

} // namespace

TEST_P(MySql, rows_come_as_they_were_stored) {
    with_connection([](Io /*io*/, mysql::any_connection& connection) -> Task<Result<void>> {
        mysql::results results;
        ZCO_CHECK(co_await connection.async_execute(
            "CREATE TEMPORARY TABLE numbers (n INT PRIMARY KEY, word TEXT)", results, use_task
        ));
        ZCO_CHECK(co_await connection.async_execute(
            "INSERT INTO numbers SELECT seq, CONCAT('word ', seq) FROM seq_1_to_2000",
            results,
            use_task
        ));
        EXPECT_EQ(results.affected_rows(), 2000U);
        ZCO_CHECK(co_await connection.async_execute(
            mysql::with_params("SELECT word FROM numbers WHERE n > {} ORDER BY n", 1000),
            results,
            use_task
        ));
        EXPECT_EQ(results.rows().size(), 1000U);
        EXPECT_EQ(results.rows().at(0).at(0).as_string(), "word 1001");
        EXPECT_EQ(results.rows().at(999).at(0).as_string(), "word 2000");
        co_return co_await connection.async_close(use_task);
    });
}

TEST_P(MySql, prepared_statements_take_values) {
    with_connection([](Io /*io*/, mysql::any_connection& connection) -> Task<Result<void>> {
        ZCO_TRY(
            const mysql::statement add,
            co_await connection.async_prepare_statement("SELECT ? + ?, CONCAT(?, '!')", use_task)
        );
        for (int n = 0; n < 50; ++n) {
            mysql::results results;
            ZCO_CHECK(co_await connection.async_execute(add.bind(n, 2, "so"), results, use_task));
            EXPECT_EQ(results.rows().at(0).at(0).as_int64(), n + 2);
            EXPECT_EQ(results.rows().at(0).at(1).as_string(), "so!");
        }
        ZCO_CHECK(co_await connection.async_close_statement(add, use_task));
        co_return co_await connection.async_close(use_task);
    });
}

TEST_P(MySql, an_error_of_the_server_keeps_its_number_and_words) {
    with_connection([](Io /*io*/, mysql::any_connection& connection) -> Task<Result<void>> {
        mysql::results results;
        mysql::diagnostics words;
        const Result<void> done =
            co_await connection.async_execute("SELECT * FROM nowhere", results, words, use_task);
        EXPECT_FALSE(done);
        EXPECT_TRUE(asio::is(done.error(), mysql::common_server_errc::er_no_such_table));
        EXPECT_EQ(done.error().os_error(), 1146);
        EXPECT_EQ(words.server_message(), "Table 'test.nowhere' doesn't exist");
        // The connection is as good as before.
        ZCO_CHECK(co_await connection.async_ping(use_task));
        co_return co_await connection.async_close(use_task);
    });
}

TEST_P(MySql, a_wrong_password_is_refused) {
    const auto refused = [](Context& context) -> Task<Result<void>> {
        mysql::any_connection connection(context);
        mysql::connect_params params = server();
        params.password = "wrong";
        const Result<void> came = co_await connection.async_connect(params, use_task);
        EXPECT_FALSE(came);
        EXPECT_TRUE(asio::is(came.error(), mysql::common_server_errc::er_access_denied_error))
            << came.error().message();
        co_return {};
    };
    ModelHost host(GetParam());
    EXPECT_TRUE(host.io().run("test", asio::in_context(host.io(), +refused)));
}

TEST_P(MySql, a_cancel_ends_a_query_that_sleeps) {
    with_connection([](Io io, mysql::any_connection& connection) -> Task<Result<void>> {
        const auto sleep = [](mysql::any_connection& used) -> Task<Result<void>> {
            mysql::results results;
            co_return co_await used.async_execute("SELECT SLEEP(60)", results, use_task);
        };
        auto sleeping = io.async(sleep, std::ref(connection));
        ZCO_CHECK(co_await io.sleep_for(20ms));
        const TimePoint begin = io.now();
        EXPECT_TRUE((co_await sleeping.cancel()).error().is_canceled());
        EXPECT_LT(io.now() - begin, 30s);
        co_return {};
    });
}

TEST_P(MySql, a_deadline_ends_it_too) {
    with_connection([](Io io, mysql::any_connection& connection) -> Task<Result<void>> {
        mysql::results results;
        const Result<void> slept =
            co_await connection.async_execute("SELECT SLEEP(60)", results, use_task)
                .until(io.now() + 20ms);
        EXPECT_EQ(slept.error(), Error(CoreError::timed_out));
        co_return {};
    });
}
