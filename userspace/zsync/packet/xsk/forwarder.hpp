// Forwarder: two interfaces joined by AF_XDP sockets.
#pragma once

#include <zsync/core/io.hpp>
#include <zsync/core/result.hpp>
#include <zsync/core/task.hpp>
#include <zsync/packet/xsk/socket.hpp>
#include <zsync/packet/xsk/stations.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace zsync::packet::xsk {

struct ForwardOptions {
    std::array<std::string, 2> ports; ///< names of interfaces
    /// Packets leave with the address of the port that they leave by as their source, and those
    /// for the address of the port where they came in go to the station heard last on the other
    /// side: for networks that let each port have one address only. Else addresses stay.
    bool rewrite_addresses = false;
    SocketOptions::Want want = SocketOptions::Want::any;
};

/// What came in at one port.
struct PortCounts {
    std::uint64_t forwarded = 0; ///< packets
    std::uint64_t bytes = 0;     ///< of their first frames
    std::uint64_t local = 0;     ///< not forwarded: for a station on the same side
    std::uint64_t unwanted = 0;  ///< not forwarded: too short, or from or to no possible station
    std::uint64_t lost = 0;      ///< by the kernel, before they came here: no room
};

struct ForwardStatus {
    std::array<PortCounts, 2> ports;
    std::array<CopyMode, 2> copy_modes{};
    std::uint32_t queues = 0; ///< sockets in all
    std::uint32_t stations = 0;
    UmemBalance balance;
};

/// A learning bridge of two ports. Each queue of each port has a socket, all of one umem, so that
/// packets are forwarded where they lie; those for a station known to be on the side that they came
/// from stay there. Packets come to it where the XDP programs of the interfaces redirect them:
///
///     ZCO_TRY(auto forwarder, co_await Forwarder::open(io, {.ports = {"eth0", "eth1"}}));
///     for (const auto& socket : forwarder->sockets(0)) { ZCO_CHECK(left.enter(*socket)); }
///     ...
///     ZCO_CHECK(co_await forwarder->run());
class Forwarder {
public:
    static Task<Outcome<std::unique_ptr<Forwarder>>> open(Io io, ForwardOptions options);

    /// Forwards until it is cancelled, or fails: ENXIO when an interface has been deleted. While a
    /// link is down what would leave by it waits, and then the kernel drops, and counts, what
    /// comes.
    Task<Result<void>> run();

    [[nodiscard]] std::span<const std::unique_ptr<Socket>> sockets(std::size_t port) const {
        return ports_.at(port).sockets;
    }
    [[nodiscard]] ForwardStatus status() const;

private:
    struct Port {
        MacAddress address = 0;
        std::optional<MacAddress> last_heard;
        std::vector<std::unique_ptr<Socket>> sockets;
        /// For each socket how many tasks send by it, and have not run out of packets.
        std::vector<std::uint32_t> senders;
        /// For each socket who waits for packets of it; null while nobody does.
        std::vector<Future<Result<void>>*> waits;
        PortCounts counts;
    };

    Forwarder(Io io, const ForwardOptions& options, std::uint64_t seed)
        : io_(io), rewrite_(options.rewrite_addresses), stations_(seed) {}
    Task<Result<void>> follow(std::uint8_t from, std::size_t queue);
    static Task<Result<void>> wait_for_packets(Port* in, std::size_t queue, Io io);
    [[nodiscard]] bool decide(std::uint8_t from, std::span<std::byte> frame) noexcept;

    Io io_;
    bool rewrite_;
    StationTable stations_;
    std::shared_ptr<Umem> umem_;
    std::array<Port, 2> ports_;
};

} // namespace zsync::packet::xsk
