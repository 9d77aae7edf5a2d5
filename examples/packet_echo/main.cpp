// Sends every packet of an interface's first queue back to where it came from, by an AF_XDP socket.
//
//     packet_echo eth0
#include <zsync/core/worker.hpp>
#include <zsync/packet/xsk/redirect.hpp>
#include <zsync/packet/xsk/socket.hpp>

#include <algorithm>
#include <cstdio>
#include <string>

using namespace zsync;
namespace xsk = zsync::packet::xsk;

namespace {

/// Exchanges the addresses of an Ethernet frame.
void turn_round(std::span<std::byte> frame) {
    if (frame.size() >= 12) {
        std::ranges::swap_ranges(frame.first(6), frame.subspan(6, 6));
    }
}

Task<Outcome<void>> echo(Io io, std::string ifname) {
    ZCO_TRY(auto umem, xsk::Umem::create({}));
    ZCO_TRY(auto redirect, xsk::Redirect::attach(ifname));
    ZCO_TRY(auto socket, co_await xsk::Socket::open(io, umem, {.ifname = ifname}));
    ZCO_CHECK(redirect.enter(*socket));
    for (xsk::FrameBatch batch;;) {
        ZCO_TRY(batch, co_await socket->receive(std::move(batch)));
        for (const xsk::Frame& frame : batch) {
            turn_round(frame.bytes());
        }
        ZCO_CHECK(co_await socket->send(std::move(batch)));
        batch = {};
    }
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        (void)std::fprintf(stderr, "usage: packet_echo INTERFACE\n");
        return 2;
    }
    auto worker = Worker::create();
    if (!worker) {
        (void)std::fprintf(stderr, "packet_echo: %s\n", worker.error().message().c_str());
        return 1;
    }
    const auto ended = (*worker)->run("echo", echo((*worker)->io(), argv[1]));
    (void)std::fprintf(stderr, "packet_echo: %s\n", ended.error().message().c_str());
    return 1;
}
