// Captures: packets of an interface into a file that a client passed.
#pragma once

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

struct CaptureRequest {
    std::string ifname;
    std::string condition;         ///< of the rule language; empty: all packets
    std::string sampled_hook;      ///< what its rules sample, instead; empty: no samples
    std::uint64_t packets_max = 0; ///< 0: no end
    std::uint64_t duration_us = 0; ///< 0: no end
};

/// `packets, bytes, lost` as org.zsync1.PacketInterface.Capture returns them.
using CaptureReply = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>;

/// Captures that run, each as a job. One ends by its own limits, with its job, or with its client;
/// in each case what had come by then is in the file, whole.
class PacketCaptures {
public:
    explicit PacketCaptures(packet::Service& service) noexcept : service_(service) {}

    /// Writes pcapng to `file`, from its offset on.
    Task<Outcome<CaptureReply>> run(Io io, JobRegistry* jobs, CaptureRequest request, Fd file);

private:
    packet::Service& service_;
    std::uint32_t running_ = 0;
};

} // namespace zsync::zsyncd
