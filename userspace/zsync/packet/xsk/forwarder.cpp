#include <zsync/core/scope.hpp>
#include <zsync/packet/xsk/forwarder.hpp>
#include <zsync/packet/xsk/limits.hpp>
#include <zsync/packet/xsk/queues.hpp>

#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <format>
#include <functional>
#include <utility>

namespace zsync::packet::xsk {
namespace {

constexpr std::size_t address_bytes = 6;
constexpr std::size_t header_bytes = 14;
/// The bit of an address that makes it one of a group, the broadcast address among them.
constexpr MacAddress group_bit = 1ULL << 40;

MacAddress read_address(const std::byte* bytes) {
    MacAddress address = 0;
    for (std::size_t i = 0; i < address_bytes; ++i) {
        address = address << 8 | std::to_integer<std::uint64_t>(bytes[i]);
    }
    return address;
}

void write_address(std::byte* bytes, MacAddress address) {
    for (std::size_t i = 0; i < address_bytes; ++i) {
        bytes[i] = static_cast<std::byte>(address >> (8 * (address_bytes - 1 - i)));
    }
}

struct PortFacts {
    MacAddress address = 0;
    std::uint32_t queues = 1;
};

/// netdevice(7).
Outcome<PortFacts> facts_of(const std::string& ifname) {
    const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    if (ifname.size() >= sizeof request.ifr_name) {
        return fail(os_error(ENODEV), std::format("no interface {} here", ifname));
    }
    std::memcpy(request.ifr_name, ifname.data(), ifname.size());
    if (!socket || ::ioctl(socket.get(), SIOCGIFHWADDR, &request) != 0) {
        return fail(
            os_error(errno), std::format("no address of {}: {}", ifname, os_error(errno).message())
        );
    }
    PortFacts facts;
    facts.address = read_address(reinterpret_cast<const std::byte*>(request.ifr_hwaddr.sa_data));
    facts.queues = ZTRY(receive_queues(ifname, limits::forward_queues_max));
    return facts;
}

} // namespace

Task<Outcome<std::unique_ptr<Forwarder>>> Forwarder::open(Io io, ForwardOptions options) {
    if (options.ports[0] == options.ports[1]) {
        co_return fail(CoreError::invalid_argument, "a forwarder has two different ports");
    }
    std::uint64_t seed = 0;
    if (::getrandom(&seed, sizeof seed, 0) != sizeof seed) {
        co_return fail(os_error(errno), "no random numbers");
    }
    std::unique_ptr<Forwarder> forwarder(new Forwarder(io, options, seed));
    std::uint32_t sockets = 0;
    std::array<PortFacts, 2> facts;
    for (std::size_t port = 0; port < 2; ++port) {
        ZCO_TRY(facts[port], facts_of(options.ports[port]));
        sockets += facts[port].queues;
    }
    SocketOptions socket_options;
    socket_options.want = options.want;
    socket_options.multi_buffer = true;
    socket_options.receive_entries = std::max(
        std::bit_floor(limits::forward_entries_all / sockets), limits::forward_entries_min
    );
    // What both rings of all sockets hold, and a batch on its way.
    const std::uint32_t frames =
        sockets * (socket_options.receive_entries + socket_options.send_entries) +
        limits::batch_frames_max;
    ZCO_TRY(forwarder->umem_, Umem::create({.frames = frames}));
    for (std::size_t port = 0; port < 2; ++port) {
        Port& opened = forwarder->ports_[port];
        opened.address = facts[port].address;
        socket_options.ifname = options.ports[port];
        for (std::uint32_t queue = 0; queue < facts[port].queues; ++queue) {
            socket_options.queue = queue;
            ZCO_TRY(auto socket, co_await Socket::open(io, forwarder->umem_, socket_options));
            opened.sockets.push_back(std::move(socket));
        }
    }
    co_return forwarder;
}

/// Whether a packet goes on to the other port; its addresses are what they shall be there.
bool Forwarder::decide(std::uint8_t from, std::span<std::byte> frame) noexcept {
    Port& in = ports_[from];
    Port& out = ports_[1 - from];
    if (frame.size() < header_bytes) {
        ++in.counts.unwanted;
        return false;
    }
    const MacAddress source = read_address(frame.data() + address_bytes);
    MacAddress destination = read_address(frame.data());
    if ((source & group_bit) != 0 || source == 0) {
        ++in.counts.unwanted;
        return false;
    }
    if (in.last_heard != source) {
        stations_.learn(source, from);
        in.last_heard = source;
    }
    if (rewrite_ && destination == in.address) {
        if (!out.last_heard) {
            ++in.counts.unwanted; // nobody has been heard there yet
            return false;
        }
        destination = *out.last_heard;
        write_address(frame.data(), destination);
    }
    if ((destination & group_bit) == 0 && stations_.find(destination) == from) {
        ++in.counts.local;
        return false;
    }
    if (rewrite_) {
        write_address(frame.data() + address_bytes, out.address);
    }
    ++in.counts.forwarded;
    in.counts.bytes += frame.size();
    return true;
}

Task<Result<void>> Forwarder::follow(std::uint8_t from, std::size_t queue) {
    Port& in = ports_[from];
    Port& out = ports_[1 - from];
    const std::size_t sink_index = queue % out.sockets.size();
    Socket& source = *in.sockets[queue];
    Socket& sink = *out.sockets[sink_index];
    const auto decision = [this, from](std::span<std::byte> frame) { return decide(from, frame); };
    bool sends = false;
    const auto set_sends = [&](bool now) {
        out.senders[sink_index] += std::uint32_t{now} - std::uint32_t{std::exchange(sends, now)};
        if (now && out.waits[sink_index] != nullptr) [[unlikely]] {
            out.waits[sink_index]->request_cancel();
        }
    };
    for (;;) {
        const std::size_t moved = source.forward(sink, decision);
        if (const auto pushed = sink.push(); !pushed && pushed.error().os_error() != ENETDOWN) {
            co_return pushed;
        }
        set_sends(moved != 0);
        if (moved != 0 || (in.senders[queue] != 0 && !source.has_received())) {
            // Others get their turn between batches. While packets leave by this socket no poll
            // waits for it: the kernel would look at the poll for each packet that has left.
            ZCO_CHECK(co_await io_.yield());
        } else if (source.has_received()) {
            // The ring of the other side is full: a link that is down, or a receiver that is slow.
            ZCO_CHECK(co_await io_.sleep_for(limits::starved_interval));
        } else {
            ZCO_CHECK(co_await wait_for_packets(&in, queue, io_));
        }
    }
}

/// Ends early, with success, when packets begin to leave by the socket.
Task<Result<void>> Forwarder::wait_for_packets(Port* in, std::size_t queue, Io io) {
    auto waiting = io.async(
        "wait", [](Socket& socket) { return socket.wait_readable(); }, std::ref(*in->sockets[queue])
    );
    in->waits[queue] = &waiting;
    const Result<void> waited = co_await waiting;
    in->waits[queue] = nullptr;
    if (!waited && !waited.error().is_canceled()) {
        co_return waited;
    }
    co_return io.check_cancel();
}

Task<Result<void>> Forwarder::run() {
    for (Port& port : ports_) {
        port.senders.assign(port.sockets.size(), 0);
        port.waits.assign(port.sockets.size(), nullptr);
    }
    Scope scope(io_, "forwarder");
    for (std::uint8_t port = 0; port < 2; ++port) {
        for (std::size_t queue = 0; queue < ports_[port].sockets.size(); ++queue) {
            scope.spawn("forward", follow(port, queue));
        }
    }
    co_return co_await scope.join();
}

ForwardStatus Forwarder::status() const {
    ForwardStatus status;
    status.stations = stations_.size();
    status.balance = umem_->balance();
    for (std::size_t port = 0; port < 2; ++port) {
        status.ports[port] = ports_[port].counts;
        for (const auto& socket : ports_[port].sockets) {
            ++status.queues;
            status.copy_modes[port] = socket->copy_mode();
            if (const auto stats = socket->stats()) {
                status.ports[port].lost +=
                    stats->lost_ring_full + stats->lost_no_frame + stats->lost_other;
            }
        }
    }
    return status;
}

} // namespace zsync::packet::xsk
