// 64-byte echo by Boost.Asio's operations, awaited by zsync's tasks on zsync's ring; the same as
// peers/echo_asio.cpp in all else. `echo_zsync_asio PORT`.
#include "bench/runtime/peers/listen.h"

#include <zsync/asio/use_task.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/worker.hpp>

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <cstddef>

namespace net = boost::asio;
using net::ip::tcp;
using namespace zsync;
using zsync::asio::use_task;
using Loop = net::io_context::executor_type;
using Socket = net::basic_stream_socket<tcp, Loop>;
using Acceptor = net::basic_socket_acceptor<tcp, Loop>;

namespace {

Task<void> echo(Socket socket) {
    std::array<char, 4096> buffer{};
    while (true) {
        const Result<std::size_t> count =
            co_await socket.async_read_some(net::buffer(buffer), use_task);
        if (!count) {
            co_return;
        }
        for (std::size_t sent = 0; sent < *count;) {
            const Result<std::size_t> part = co_await socket.async_write_some(
                net::buffer(buffer.data() + sent, *count - sent), use_task
            );
            if (!part) {
                co_return;
            }
            sent += *part;
        }
    }
}

Task<Result<void>> serve(asio::Context& context, Io io, int listener) {
    Acceptor acceptor(context.get_executor(), tcp::v4(), listener);
    Scope clients(io, "clients");
    say_ready();
    while (true) {
        Result<Socket> client = co_await acceptor.async_accept(use_task);
        if (!client) {
            clients.cancel();
            (void)co_await clients.join();
            co_return fail(client.error());
        }
        (void)clients.spawn("client", echo(*std::move(client)));
    }
}

} // namespace

int main(int count, char** words) {
    die_if(count != 2, "usage: echo_zsync_asio PORT");
    auto worker = Worker::create();
    die_if(!worker, "worker");
    const Io io = (*worker)->io();
    return io.run("echo", asio::in_context(io, serve, io, listen_on(words[1], 0))) ? 0 : 1;
}
