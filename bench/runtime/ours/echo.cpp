// 64-byte echo on zsync: a task a connection. `echo_zsync PORT`, as its peers.
#include "bench/runtime/peers/listen.h"

#include <zsync/core/io.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/worker.hpp>

#include <array>
#include <span>

using namespace zsync;

namespace {

Task<void> echo(Io io, Fd client) {
    std::array<std::byte, 4096> buffer{};
    while (true) {
        const auto received = co_await io.recv(client, std::span(buffer));
        if (!received.count || *received.count == 0) {
            co_return;
        }
        auto rest = std::span(buffer).first(*received.count);
        while (!rest.empty()) {
            const auto sent = co_await io.send(client, rest);
            if (!sent.count) {
                co_return;
            }
            rest = rest.subspan(*sent.count);
        }
    }
}

Task<Result<void>> serve(Io io, Fd listener) {
    Scope clients(io, "clients");
    say_ready();
    while (true) {
        Result<Fd> client = co_await io.accept(listener);
        if (!client) {
            clients.cancel();
            (void)co_await clients.join();
            co_return fail(client.error());
        }
        (void)clients.spawn("client", echo(io, *std::move(client)));
    }
}

} // namespace

int main(int count, char** words) {
    die_if(count != 2, "usage: echo_zsync PORT");
    auto worker = Worker::create();
    die_if(!worker, "worker");
    Fd listener(listen_on(words[1], 0));
    return (*worker)->run("echo", serve((*worker)->io(), std::move(listener))) ? 0 : 1;
}
