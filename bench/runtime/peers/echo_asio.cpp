// 64-byte echo on Boost.Asio with C++20 awaitables, built twice: on epoll and on io_uring. One
// thread, no locks, the executor's own type instead of the erased one.
#include "listen.h"

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <tuple>

namespace asio = boost::asio;
using asio::ip::tcp;
using Executor = asio::io_context::executor_type;
using Socket = asio::basic_stream_socket<tcp, Executor>;
using Acceptor = asio::basic_socket_acceptor<tcp, Executor>;
using Done = asio::awaitable<void, Executor>;

namespace {

constexpr asio::as_tuple_t<asio::use_awaitable_t<Executor>> await_it{};

Done echo(Socket socket) {
    std::array<char, 4096> buffer{};
    while (true) {
        const auto [failure, count] =
            co_await socket.async_read_some(asio::buffer(buffer), await_it);
        if (failure) {
            co_return;
        }
        for (std::size_t sent = 0; sent < count;) {
            const auto [broken, part] = co_await socket.async_write_some(
                asio::buffer(buffer.data() + sent, count - sent), await_it
            );
            if (broken) {
                co_return;
            }
            sent += part;
        }
    }
}

Done serve(Acceptor acceptor) {
    while (true) {
        auto [failure, socket] = co_await acceptor.async_accept(await_it);
        if (!failure) {
            const Executor executor = socket.get_executor();
            asio::co_spawn(executor, echo(std::move(socket)), asio::detached);
        }
    }
}

} // namespace

// NOLINTNEXTLINE(bugprone-exception-escape): a peer that cannot start ends loudly
int main(int count, char** words) {
    die_if(count != 2, "usage: echo_asio PORT");
    asio::io_context context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE);
    Acceptor acceptor(context, tcp::v4(), listen_on(words[1], 0));
    asio::co_spawn(context, serve(std::move(acceptor)), asio::detached);
    say_ready();
    context.run();
}
