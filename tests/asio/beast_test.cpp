// Boost.Beast in tasks: a client of examples/http_server, whose port is in ZSYNC_HTTP_PORT
// (test_beast.py starts it), a server for curl, and WebSockets with both ends here.
#include "tests/core/models.hpp"

#include <zsync/asio/use_task.hpp>
#include <zsync/core/scope.hpp>

#include <gtest/gtest.h>
#include <sys/syscall.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>
#include <chrono>
#include <cstdlib>
#include <spawn.h>
#include <string>
#include <unistd.h>

namespace beast = boost::beast;
namespace http = beast::http;
namespace net = boost::asio;
using net::ip::tcp;
using namespace std::chrono_literals;
using namespace zsync;
using zsync::asio::Context;
using zsync::asio::use_task;
using WebSocket = beast::websocket::stream<beast::tcp_stream>;

namespace {

class Beast : public ModelTest {
protected:
    using Body = Task<Result<void>> (*)(Context&, Io);
    void in_context(Body body) {
        const Result<void> done = io().run("test", asio::in_context(io(), body, io()));
        EXPECT_TRUE(done) << done.error().message();
    }
};

INSTANTIATE_TEST_SUITE_P(
    Models, Beast, testing::Values(Model::coroutines, Model::fibers), model_name
);

tcp::endpoint example_server() {
    const char* port = std::getenv("ZSYNC_HTTP_PORT"); // NOLINT(concurrency-mt-unsafe)
    EXPECT_NE(port, nullptr) << "test_beast.py sets ZSYNC_HTTP_PORT";
    return {
        net::ip::address_v4::loopback(),
        static_cast<unsigned short>(std::atoi(port != nullptr ? port : "0"))
    };
}

Task<Result<http::response<http::string_body>>> get(beast::tcp_stream& stream, std::string target) {
    http::request<http::empty_body> request(http::verb::get, target, 11);
    request.set(http::field::host, "localhost");
    ZCO_CHECK(co_await http::async_write(stream, request, use_task));
    beast::flat_buffer buffer;
    http::response_parser<http::string_body> parser;
    parser.body_limit(64 << 20);
    ZCO_CHECK(co_await http::async_read(stream, buffer, parser, use_task));
    co_return parser.release();
}

/// Serves one connection: each request is answered with what it asked for.
Task<Result<void>> serve(tcp::socket socket) {
    beast::tcp_stream stream(std::move(socket));
    beast::flat_buffer buffer;
    for (;;) {
        http::request<http::string_body> request;
        const auto read = co_await http::async_read(stream, buffer, request, use_task);
        if (!read && asio::is(read.error(), http::error::end_of_stream)) {
            co_return {};
        }
        ZCO_CHECK(read);
        http::response<http::string_body> response(http::status::ok, request.version());
        response.keep_alive(request.keep_alive());
        response.body() = std::string(request.method_string()) + " " +
                          std::string(request.target()) + " " + request.body();
        response.prepare_payload();
        ZCO_CHECK(co_await http::async_write(stream, response, use_task));
        if (response.need_eof()) {
            co_return {};
        }
    }
}

Task<Result<void>> accept_and_serve(Io io, tcp::acceptor& acceptor) {
    Group connections(io, "connections");
    Result<tcp::socket> client = co_await acceptor.async_accept(use_task);
    while (client) {
        (void)connections.spawn("connection", serve, *std::move(client));
        client = co_await acceptor.async_accept(use_task);
    }
    connections.cancel();
    ZCO_CHECK(co_await connections.join());
    co_return fail(client.error());
}

/// Runs curl beside the worker's tasks, with its output in `output`.
Task<Result<int>> run_curl(Io io, std::vector<std::string> words, Fd output) {
    std::vector<char*> arguments;
    for (std::string& word : words) {
        arguments.push_back(word.data());
    }
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, output.get(), STDOUT_FILENO);
    pid_t pid = 0;
    const int spawned = ::posix_spawnp(&pid, "curl", &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (spawned != 0) {
        co_return fail(os_error(spawned));
    }
    const Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    ZCO_TRY(const ExitStatus ended, co_await io.wait_exit(process));
    co_return ended.code;
}

Task<Result<void>> echo_frames(tcp::acceptor& acceptor) {
    ZCO_TRY(tcp::socket socket, co_await acceptor.async_accept(use_task));
    WebSocket stream(std::move(socket));
    ZCO_CHECK(co_await stream.async_accept(use_task));
    for (;;) {
        beast::flat_buffer buffer;
        const auto read = co_await stream.async_read(buffer, use_task);
        if (!read && asio::is(read.error(), beast::websocket::error::closed)) {
            co_return {};
        }
        ZCO_CHECK(read);
        stream.binary(stream.got_binary());
        ZCO_CHECK(co_await stream.async_write(buffer.data(), use_task));
    }
}

} // namespace

TEST_P(Beast, a_client_gets_files_of_any_size) {
    in_context([](Context& context, Io /*io*/) -> Task<Result<void>> {
        beast::tcp_stream stream(context);
        ZCO_CHECK(co_await stream.async_connect(example_server(), use_task));
        for (int n = 0; n < 20; ++n) {
            ZCO_TRY(const auto small, co_await get(stream, "/small"));
            EXPECT_EQ(small.result(), http::status::ok);
            EXPECT_EQ(small.body(), "small\n");
        }
        ZCO_TRY(const auto large, co_await get(stream, "/large"));
        EXPECT_EQ(large.body(), std::string(5'000'000, 'L'));
        ZCO_TRY(const auto missing, co_await get(stream, "/missing"));
        EXPECT_EQ(missing.result(), http::status::not_found);
        co_return {};
    });
}

TEST_P(Beast, curl_is_served) {
    in_context([](Context& context, Io io) -> Task<Result<void>> {
        tcp::acceptor acceptor(context, {net::ip::address_v4::loopback(), 0});
        auto serving = io.async(accept_and_serve, io, std::ref(acceptor));
        const std::string url =
            "http://127.0.0.1:" + std::to_string(acceptor.local_endpoint().port());
        std::array<int, 2> ends{};
        EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
        const Fd reader(ends[0]);
        std::vector<std::string> words{"curl", "-sS", "--max-time", "30", "-d", "some data"};
        words.insert(words.end(), {url + "/one", url + "/two"});
        ZCO_TRY(const int code, co_await run_curl(io, words, Fd(ends[1])));
        EXPECT_EQ(code, 0);
        std::array<char, 256> text{};
        const auto [count, got] = co_await io.read(reader, std::span(text));
        ZCO_CHECK(count);
        EXPECT_EQ(std::string_view(text.data(), *count), "POST /one some dataPOST /two some data");
        EXPECT_TRUE((co_await serving.cancel()).error().is_canceled());
        co_return {};
    });
}

TEST_P(Beast, a_stream_that_runs_out_of_time_says_so) {
    in_context([](Context& context, Io io) -> Task<Result<void>> {
        tcp::acceptor silent(context, {net::ip::address_v4::loopback(), 0});
        beast::tcp_stream stream(context);
        ZCO_CHECK(co_await stream.async_connect(silent.local_endpoint(), use_task));
        stream.expires_after(2ms);
        const auto by_beast = co_await get(stream, "/");
        EXPECT_TRUE(asio::is(by_beast.error(), beast::error::timeout))
            << by_beast.error().message();

        beast::tcp_stream other(context);
        ZCO_CHECK(co_await other.async_connect(silent.local_endpoint(), use_task));
        beast::flat_buffer buffer;
        http::response<http::string_body> response;
        const auto by_us =
            co_await http::async_read(other, buffer, response, use_task).until(io.now() + 2ms);
        EXPECT_EQ(by_us.error(), Error(CoreError::timed_out));
        co_return {};
    });
}

TEST_P(Beast, websockets_carry_messages_both_ways) {
    in_context([](Context& context, Io io) -> Task<Result<void>> {
        tcp::acceptor acceptor(context, {net::ip::address_v4::loopback(), 0});
        auto echoing = io.async(echo_frames, std::ref(acceptor));
        WebSocket stream(context);
        ZCO_CHECK(co_await beast::get_lowest_layer(stream).async_connect(
            acceptor.local_endpoint(), use_task
        ));
        ZCO_CHECK(co_await stream.async_handshake("localhost", "/", use_task));
        for (const std::size_t size : {0UL, 1UL, 125UL, 70'000UL, 1'000'000UL}) {
            const std::string sent(size, 'm');
            ZCO_CHECK(co_await stream.async_write(net::buffer(sent), use_task));
            beast::flat_buffer got;
            ZCO_CHECK(co_await stream.async_read(got, use_task));
            EXPECT_EQ(beast::buffers_to_string(got.data()), sent);
        }
        ZCO_CHECK(co_await stream.async_close(beast::websocket::close_code::normal, use_task));
        const Result<void>& echoed = co_await echoing;
        EXPECT_TRUE(echoed);
        co_return {};
    });
}

TEST_P(Beast, a_cancel_ends_a_read_of_frames) {
    in_context([](Context& context, Io io) -> Task<Result<void>> {
        tcp::acceptor acceptor(context, {net::ip::address_v4::loopback(), 0});
        auto echoing = io.async(echo_frames, std::ref(acceptor));
        WebSocket stream(context);
        ZCO_CHECK(co_await beast::get_lowest_layer(stream).async_connect(
            acceptor.local_endpoint(), use_task
        ));
        ZCO_CHECK(co_await stream.async_handshake("localhost", "/", use_task));
        const Result<void> stopped = co_await echoing.cancel();
        EXPECT_TRUE(stopped.error().is_canceled()) << stopped.error().message();
        co_return {};
    });
}
