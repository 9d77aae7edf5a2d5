// Replaying a capture that a client passed: the analysis, offline.
#pragma once

#include <zsync/bus/connection.hpp>
#include <zsync/core/fd.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/result.hpp>
#include <zsync/packet/analysis/analyser.hpp>

#include <cstdint>
#include <string>
#include <tuple>

namespace zsync::zsyncd {

class JobRegistry;

/// `report, packets, flows, complaint` as org.zsync1.Packet.Replay returns them.
using ReplayReply = std::tuple<Fd, std::uint64_t, std::uint64_t, std::string>;

/// Reads a capture to its end, a step at a time on offload threads between which others get their
/// turn, as a job that can be cancelled. The report is a sealed memfd. The capture must be a
/// regular file, because reading a pipe could hold a thread for as long as its writer likes.
class PacketReplays {
public:
    /// Takes the thresholds that replays begun from here on have.
    void configure(
        const packet::analysis::DetectorOptions& detectors,
        const packet::analysis::FlowOptions& flows
    ) {
        options_ = {.flows = flows, .detectors = detectors};
    }
    Task<Outcome<ReplayReply>> run(Io io, JobRegistry* jobs, Fd capture, std::string source_name);

private:
    packet::analysis::AnalyserOptions options_;
    std::uint32_t running_ = 0;
};

} // namespace zsync::zsyncd
