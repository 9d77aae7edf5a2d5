#include "packet_takes.hpp"

#include "jobs.hpp"
#include "limits.hpp"
#include "packet_forwards.hpp"
#include "read_text.hpp"
#include "turn.hpp"

#include <zsync/core/epoch_time.hpp>
#include <zsync/core/mutex.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/worker_group.hpp>
#include <zsync/packet/analysis/capture_writer.hpp>
#include <zsync/packet/service.hpp>
#include <zsync/packet/xsk/queues.hpp>
#include <zsync/packet/xsk/redirect.hpp>
#include <zsync/packet/xsk/socket.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <format>
#include <fstream>
#include <ifaddrs.h>
#include <limits>
#include <memory>
#include <span>
#include <sstream>
#include <vector>

namespace zsync::zsyncd {
namespace {

using packet::analysis::CaptureWriter;
using packet::xsk::Frame;
using packet::xsk::FrameBatch;
using packet::xsk::Socket;
using packet::xsk::SocketOptions;
using packet::xsk::Umem;

/// One that runs. All but its request and map belong to the worker's thread.
struct Take {
    explicit Take(TakeRequest wanted) : request(std::move(wanted)) {}

    const TakeRequest request;
    Fd map;
    Fd file;
    std::shared_ptr<Umem> umem;
    std::vector<std::unique_ptr<Socket>> sockets;
    Mutex writing;
    std::string text;        ///< whole blocks that are not in the file yet,
    std::size_t written = 0; ///< but for so many bytes of them
    TimePoint write_until = TimePoint::max();
    std::vector<std::uint8_t> packet; ///< of several frames
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    std::uint64_t lost = 0;
    bool begun = false; ///< the file has a beginning
    bool done = false;
    std::string mode;
};
using TakeRef = std::shared_ptr<Take>;

/// Whether the main table's default route, IPv4's or IPv6's, goes by an interface.
bool has_default_route(const std::string& ifname) {
    std::string device;
    std::string destination;
    std::ifstream ipv4("/proc/net/route");
    for (std::string line; std::getline(ipv4, line);) {
        std::istringstream words(line);
        if (words >> device >> destination && device == ifname && destination == "00000000") {
            return true;
        }
    }
    std::ifstream ipv6("/proc/net/ipv6_route");
    for (std::string line; std::getline(ipv6, line);) {
        std::istringstream words(line);
        std::string length;
        words >> destination >> length;
        while (words >> device) {
        }
        if (length == "00" && device == ifname && destination == std::string(32, '0')) {
            return true;
        }
    }
    return false;
}

/// Why the host needs what comes by an interface; empty if it does not. Reads files of the kernel's
/// that grow with its routes.
std::string need_of(const std::string& ifname) {
    ifaddrs* first = nullptr;
    if (::getifaddrs(&first) == 0) {
        const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> list(first, &::freeifaddrs);
        for (const ifaddrs* at = first; at != nullptr; at = at->ifa_next) {
            if (ifname != at->ifa_name || at->ifa_addr == nullptr) {
                continue;
            }
            std::array<char, INET6_ADDRSTRLEN> text{};
            if (at->ifa_addr->sa_family == AF_INET) {
                const auto* address = reinterpret_cast<const sockaddr_in*>(at->ifa_addr);
                ::inet_ntop(AF_INET, &address->sin_addr, text.data(), text.size());
            } else if (at->ifa_addr->sa_family == AF_INET6) {
                const auto* address = reinterpret_cast<const sockaddr_in6*>(at->ifa_addr);
                // Each interface has one of these, and nobody is far away by it.
                if (!IN6_IS_ADDR_LINKLOCAL(&address->sin6_addr)) {
                    ::inet_ntop(AF_INET6, &address->sin6_addr, text.data(), text.size());
                }
            }
            if (text[0] != '\0') {
                return std::format("this host has the address {} there", text.data());
            }
        }
    }
    return has_default_route(ifname) ? "the default route goes by it" : "";
}

Task<Result<void>> write_out(Io io, Take* take) {
    while (take->written < take->text.size()) {
        auto write = io.write(FdRef(take->file), std::span(take->text).subspan(take->written));
        const auto moved = take->write_until == TimePoint::max()
                               ? co_await std::move(write)
                               : co_await std::move(write).until(take->write_until);
        if (!moved.count) {
            co_return fail(moved.count.error());
        }
        take->written += *moved.count;
    }
    take->text.clear();
    take->written = 0;
    co_return {};
}

void add(Take& take, std::span<const std::byte> bytes, std::uint64_t time_ns) {
    CaptureWriter::add(
        take.text,
        {.time_ns = time_ns,
         .wire_bytes = static_cast<std::uint32_t>(bytes.size()),
         .bytes = {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}}
    );
    ++take.packets;
    take.bytes += bytes.size();
}

/// Packets of one frame are written from where they lie.
void add_all(Take& take, FrameBatch& batch) {
    const std::uint64_t time_ns = epoch_time<std::chrono::nanoseconds>();
    for (Frame& frame : batch) {
        const auto bytes = std::as_bytes(frame.bytes());
        if (!frame.continues() && take.packet.empty()) {
            add(take, bytes, time_ns);
            continue;
        }
        const auto* begin = reinterpret_cast<const std::uint8_t*>(bytes.data());
        take.packet.insert(take.packet.end(), begin, begin + bytes.size());
        if (!frame.continues()) {
            add(take, std::as_bytes(std::span(take.packet)), time_ns);
            take.packet.clear();
        }
    }
    batch.clear();
}

Task<Result<void>> follow(Io io, Take* take, Socket* socket, TimePoint deadline, Scope* all) {
    const std::uint64_t packets_max = take->request.packets_max == 0
                                          ? std::numeric_limits<std::uint64_t>::max()
                                          : take->request.packets_max;
    for (FrameBatch batch; !take->done;) {
        const Result<void> ready = co_await socket->wait_readable(deadline);
        if (!ready && ready.error() == Error(CoreError::timed_out)) {
            co_return {};
        }
        ZCO_CHECK(ready);
        ZCO_TRY(const Mutex::Lock lock, co_await take->writing.lock());
        socket->fetch(batch);
        add_all(*take, batch);
        ZCO_CHECK(co_await write_out(io, take));
        if (take->packets >= packets_max) {
            take->done = true;
            all->cancel();
        }
    }
    co_return {};
}

Task<Outcome<void>> open_there(Io io, TakeRef take) {
    const std::string& ifname = take->request.ifname;
    ZCO_TRY(
        const std::uint32_t queues, packet::xsk::receive_queues(ifname, limits::take_queues_max)
    );
    SocketOptions options;
    options.ifname = ifname;
    options.multi_buffer = true;
    options.receive_entries = std::min(
        std::bit_floor(limits::take_frames / queues), packet::xsk::limits::ring_entries_max
    );
    options.send_entries = limits::take_send_entries;
    const std::uint32_t frames = queues * (options.receive_entries + options.send_entries) +
                                 packet::xsk::limits::batch_frames_max;
    ZCO_TRY(take->umem, Umem::create({.frames = frames}));
    for (std::uint32_t queue = 0; queue < queues; ++queue) {
        options.queue = queue;
        ZCO_TRY(auto socket, co_await Socket::open(io, take->umem, options));
        take->mode = packet::xsk::name_of(socket->copy_mode());
        take->sockets.push_back(std::move(socket));
    }
    CaptureWriter::begin(
        take->text,
        {.link_type = packet::analysis::LinkType::ethernet,
         .snapshot_bytes = 0,
         .interface_name = ifname,
         .filter = "taken by AF_XDP",
         .application = "zsync"}
    );
    take->begun = true;
    // A queue without a socket would go to the host; so they are all there before the first packet.
    for (const auto& socket : take->sockets) {
        ZCO_CHECK(packet::xsk::enter_map(FdRef(take->map.get()), *socket));
    }
    co_return {};
}

Task<Result<void>> run_there(Io io, TakeRef take) {
    const TimePoint deadline =
        take->request.duration_us == 0
            ? TimePoint::max()
            : io.now() + std::chrono::microseconds(
                             std::min(take->request.duration_us, limits::capture_duration_us_max)
                         );
    // Whoever waits for it sees that it has begun.
    ZCO_CHECK(co_await write_out(io, take.get()));
    Scope scope(io, "take");
    for (const auto& socket : take->sockets) {
        scope.spawn("take-queue", follow(io, take.get(), socket.get(), deadline, &scope));
    }
    const Result<void> joined = co_await scope.join();
    co_return take->done ? Result<void>() : joined;
}

/// All that a socket's ring holds, and no more than it has room for: the kernel may still fill it.
void add_rest(Take& take, Socket& socket) {
    FrameBatch batch;
    for (std::size_t left = limits::take_frames; left > 0;) {
        socket.fetch(batch);
        if (batch.empty()) {
            return;
        }
        left -= std::min(left, batch.size());
        add_all(take, batch);
    }
}

/// What has come by now is written, what the kernel counted is told, and nothing stays open.
Task<Result<void>> close_there(Io io, TakeRef take) {
    if (take->sockets.empty() || !take->begun) {
        take->sockets.clear();
        take->umem.reset();
        co_return {};
    }
    if (!is_regular(take->file)) {
        take->write_until = io.now() + limits::capture_end_patience;
    }
    for (const auto& socket : take->sockets) {
        add_rest(*take, *socket);
        if (const auto stats = socket->stats()) {
            take->lost += stats->lost_ring_full + stats->lost_no_frame + stats->lost_other;
        }
    }
    CaptureWriter::end(
        take->text,
        {.time_ns = epoch_time<std::chrono::nanoseconds>(),
         .received = take->packets + take->lost,
         .dropped = take->lost}
    );
    const Result<void> written = co_await write_out(io, take.get());
    take->sockets.clear();
    take->umem.reset();
    co_return written;
}

} // namespace

Task<Outcome<TakeReply>> PacketTakes::run(Io io, JobRegistry* jobs, TakeRequest request, Fd file) {
    if (running_ == limits::takes_max) {
        co_return fail(
            CoreError::limit_reached,
            std::format("{} interfaces are taken from already; wait until one ends", running_)
        );
    }
    const Turn turn(running_);
    if (!request.force) {
        ZCO_TRY(const std::string need, co_await io.offload([name = request.ifname] {
            return need_of(name);
        }));
        if (!need.empty()) {
            co_return fail(
                CoreError::invalid_argument,
                std::format(
                    "what is taken from {} does not reach this host, and {}: take from a port that "
                    "a switch mirrors to, or say --force",
                    request.ifname,
                    need
                )
            );
        }
    }
    ZCO_TRY(const PacketForwards::Reservation reservation, forwards_.reserve(request.ifname));
    ZCO_TRY(JobRegistry::Entry job, jobs->add("packet-take", request.ifname));
    auto take = std::make_shared<Take>(std::move(request));
    take->file = std::move(file);
    const std::string& ifname = take->request.ifname;
    std::vector<WorkerOptions> worker(1);
    worker.front().name = "zsync-take";
    auto workers = WorkerGroup::create(std::move(worker));
    if (!workers) {
        co_return job.end(Outcome<TakeReply>(std::unexpected(workers.error())));
    }
    const WorkerAddress& there = (**workers)[0];
    Outcome<void> taken;
    if (auto map = co_await service_.send_to_sockets(ifname, true)) {
        take->map = *std::move(map);
        taken = co_await there.call("packet-take-open", &open_there, take);
        if (taken) {
            if (const auto ran = co_await there.call("packet-take", &run_there, take); !ran) {
                taken = fail(ran.error(), "cannot take packets: " + ran.error().message());
            }
        }
    } else {
        co_return job.end(Outcome<TakeReply>(std::unexpected(std::move(map).error())));
    }
    // Whatever ended it, the file is whole, and packets go to the host again.
    const CancelProtection protection;
    if (const auto closed = co_await there.call("packet-take-close", &close_there, take);
        !closed && taken) {
        taken = fail(closed.error(), "cannot write the capture: " + closed.error().message());
    }
    const auto kept = co_await service_.send_to_sockets(ifname, false);
    co_await io.offload([&workers] { workers->reset(); });
    if (!taken) {
        co_return job.end(Outcome<TakeReply>(std::unexpected(std::move(taken).error())));
    }
    if (!kept) {
        co_return job.end(Outcome<TakeReply>(std::unexpected(kept.error())));
    }
    co_return job.end(
        Outcome<TakeReply>(TakeReply{take->packets, take->bytes, take->lost, take->mode})
    );
}

} // namespace zsync::zsyncd
