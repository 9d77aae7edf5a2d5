// Takes: packets of an interface into a file that a client passed, instead of to the host.
#pragma once

#include "packet_captures.hpp"

#include <zsync/core/fd.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/result.hpp>

#include <cstdint>
#include <string>
#include <tuple>

namespace zsync::packet {
class Service;
}

namespace zsync::zsyncd {

class JobRegistry;
class PacketForwards;

struct TakeRequest {
    std::string ifname;
    bool force = false;            ///< also of an interface that the host is reached by
    std::uint64_t packets_max = 0; ///< 0: no end; what has come together with the last is taken too
    std::uint64_t duration_us = 0; ///< 0: no end
};

/// `packets, bytes, lost, mode` as org.zsync1.PacketInterface.Take returns them.
using TakeReply = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, std::string>;

/// What the rules of an interface pass, from AF_XDP sockets on all of its queues into a file: the
/// host gets none of it. Each runs on a worker of its own, as a job. One ends by its own limits,
/// with its job, or with its client; in each case what had come by then is in the file, whole, and
/// packets go to the host again.
class PacketTakes {
public:
    PacketTakes(packet::Service& service, PacketForwards& forwards) noexcept
        : service_(service), forwards_(forwards) {}

    /// Writes pcapng to `file`, from its offset on. Fails with `invalid_argument` where the
    /// interface has an address or a route of this host, unless forced.
    Task<Outcome<TakeReply>> run(Io io, JobRegistry* jobs, TakeRequest request, Fd file);

private:
    packet::Service& service_;
    PacketForwards& forwards_;
    std::uint32_t running_ = 0;
};

} // namespace zsync::zsyncd
