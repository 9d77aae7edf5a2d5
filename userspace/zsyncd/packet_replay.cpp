#include "packet_replay.hpp"

#include "jobs.hpp"
#include "limits.hpp"
#include "sealed_file.hpp"
#include "turn.hpp"

#include <zsync/packet/analysis/error.hpp>
#include <zsync/packet/analysis/replay.hpp>

#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <format>
#include <string_view>

namespace zsync::zsyncd {
namespace {

using packet::analysis::AnalyserOptions;
using packet::analysis::Replay;

Outcome<std::uint64_t> bytes_of(const Fd& file) {
    struct stat status{};
    if (::fstat(file.get(), &status) != 0) {
        return fail(os_error(errno), "cannot look at the passed file");
    }
    if (!S_ISREG(status.st_mode)) {
        return fail(
            packet::analysis::AnalysisError::invalid_capture,
            "the passed capture is no regular file; copy it to one (zsyncctl does)"
        );
    }
    return static_cast<std::uint64_t>(status.st_size);
}

Outcome<Replay> open_replay(Fd capture, AnalyserOptions options) {
    if (::getrandom(&options.seed, sizeof options.seed, 0) != sizeof options.seed) {
        return fail(os_error(errno), "no random numbers");
    }
    return Replay::open(std::move(capture), options);
}

std::unexpected<Fault> of_file(std::string_view name, const Fault& fault) {
    return fail(fault.error, std::format("{}: {}", name, fault.message()));
}

} // namespace

Task<Outcome<ReplayReply>>
PacketReplays::run(Io io, JobRegistry* jobs, Fd capture, std::string source_name) {
    if (running_ == limits::replays_max) {
        co_return fail(
            CoreError::limit_reached,
            std::format("{} replays are running already; wait until one ends", running_)
        );
    }
    const Turn turn(running_);
    ZCO_TRY(JobRegistry::Entry job, jobs->add("packet-replay", source_name));
    const Outcome<std::uint64_t> bytes = bytes_of(capture);
    if (!bytes) {
        co_return of_file(source_name, bytes.error());
    }
    Outcome<Replay> replay = co_await io.offload([&capture, options = options_] {
        return open_replay(std::move(capture), options);
    });
    if (!replay) {
        co_return of_file(source_name, replay.error());
    }
    for (bool more = true; more;) {
        const Outcome<bool> step = co_await io.offload([&replay] { return replay->step(); });
        if (!step) {
            co_return job.end(Outcome<ReplayReply>(of_file(source_name, step.error())));
        }
        more = *step;
        const auto done = static_cast<double>(replay->offset());
        job.set_progress(
            std::min(1.0, done / static_cast<double>(std::max<std::uint64_t>(*bytes, 1)))
        );
    }
    Outcome<Fd> report = co_await io.offload([&replay] { return sealed_file(replay->report()); });
    if (!report) {
        co_return job.end(Outcome<ReplayReply>(std::unexpected(report.error())));
    }
    const std::string& complaint = replay->complaint();
    co_return job.end(Outcome<ReplayReply>(ReplayReply{
        *std::move(report),
        replay->packets(),
        replay->flows(),
        complaint.empty() ? "" : std::format("{}: {}", source_name, complaint),
    }));
}

} // namespace zsync::zsyncd
