// 64-byte echo on zsync: a task a connection. `echo_zsync PORT`, as its peers.
#include "bench/runtime/peers/listen.h"

#include <zsync/core/accept_stream.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/send_stream.hpp>
#include <zsync/core/stream.hpp>
#include <zsync/core/worker.hpp>

#include <cstdint>
#include <memory>

using namespace zsync;

namespace {

constexpr std::uint32_t buffer_count = 4096;
constexpr std::uint32_t buffer_bytes = 2048;

Task<void> echo(Io io, Fd client, const std::shared_ptr<BufferPool>& pool) {
    RecvStream in(io, client, pool);
    SendStream out(io, client, pool);
    for (;;) {
        Result<Chunk> chunk = co_await in.next();
        if (!chunk || chunk->empty()) {
            co_return;
        }
        if (!co_await out.send(*std::move(chunk))) {
            co_return;
        }
    }
}

Task<Result<void>> serve(Io io, Fd listener) {
    ZCO_TRY(auto pool, BufferPool::create(io, buffer_count, buffer_bytes));
    Scope clients(io, "clients");
    say_ready();
    AcceptStream connections(io, listener);
    while (true) {
        Result<Fd> client = co_await connections.next();
        if (!client) {
            clients.cancel();
            (void)co_await clients.join();
            co_return fail(client.error());
        }
        (void)clients.spawn("client", echo(io, *std::move(client), pool)); // joined before it ends
    }
}

} // namespace

int main(int count, char** words) {
    die_if(count != 2, "usage: echo_zsync PORT");
    auto worker = Worker::create();
    die_if(!worker, "worker");
#ifdef WATCHED
    (*worker)->watch(std::chrono::milliseconds(100), [](const Stall&) {});
#endif
    Fd listener(listen_on(words[1], 0));
#ifdef ON_FIBERS
    const Io io = (*worker)->fiber_io();
#else
    const Io io = (*worker)->io();
#endif
    return io.run("echo", serve(io, std::move(listener))) ? 0 : 1;
}
