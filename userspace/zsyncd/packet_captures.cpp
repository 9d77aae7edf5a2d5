#include "packet_captures.hpp"

#include "jobs.hpp"
#include "limits.hpp"
#include "turn.hpp"

#include <zsync/core/epoch_time.hpp>
#include <zsync/packet/analysis/capture_writer.hpp>
#include <zsync/packet/capture.hpp>
#include <zsync/packet/limits.hpp>

#include <algorithm>
#include <chrono>
#include <format>
#include <limits>
#include <poll.h>

namespace zsync::zsyncd {
namespace {

using packet::Capture;
using packet::CaptureCounts;
using packet::analysis::CaptureWriter;
using packet::analysis::Frame;

/// What is going into a file.
struct Written {
    std::string text; ///< whole blocks that are not in the file yet
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
};

Outcome<std::size_t> take(Capture& capture, Written& written, std::uint64_t packets_max) {
    const std::uint64_t left = packets_max - written.packets;
    const std::size_t wanted = std::min<std::uint64_t>(packet::limits::live_packets_per_turn, left);
    return capture.take(wanted, [&](const Frame& frame) {
        CaptureWriter::add(written.text, frame);
        ++written.packets;
        written.bytes += frame.wire_bytes;
    });
}

Task<Outcome<void>> write_out(Io io, FdRef file, Written& written) {
    for (std::size_t done = 0; done < written.text.size();) {
        const auto rest = std::span(written.text).subspan(done);
        const auto moved = co_await io.write(file, rest);
        if (!moved.count) {
            co_return fail(
                moved.count.error(), "cannot write the capture: " + moved.count.error().message()
            );
        }
        done += *moved.count;
    }
    written.text.clear();
    co_return {};
}

/// Until a limit is reached or it is cancelled; what has come is in the file at each wait.
Task<Outcome<void>>
copy_packets(Io io, Capture& capture, const CaptureRequest& request, FdRef file, Written& written) {
    constexpr std::uint64_t no_end = std::numeric_limits<std::uint64_t>::max();
    const std::uint64_t packets_max = request.packets_max == 0 ? no_end : request.packets_max;
    const TimePoint deadline =
        request.duration_us == 0
            ? TimePoint::max()
            : io.now() + std::chrono::microseconds(
                             std::min(request.duration_us, limits::capture_duration_us_max)
                         );
    for (;;) {
        ZCO_TRY(const std::size_t taken, co_await io.offload([&] {
            return take(capture, written, packets_max);
        }));
        ZCO_CHECK(co_await write_out(io, file, written));
        if (written.packets >= packets_max || (taken == 0 && io.now() >= deadline)) {
            co_return {};
        }
        if (taken != 0) {
            continue;
        }
        auto wait = io.poll(FdRef(capture.ready_fd()), POLLIN);
        const auto ready = deadline == TimePoint::max() ? co_await std::move(wait)
                                                        : co_await std::move(wait).until(deadline);
        if (!ready && ready.error() != Error(CoreError::timed_out)) {
            co_return fail(ready.error());
        }
    }
}

} // namespace

Task<Outcome<CaptureReply>>
PacketCaptures::run(Io io, JobRegistry& jobs, CaptureRequest request, Fd file) {
    if (running_ == limits::captures_max) {
        co_return fail(
            CoreError::limit_reached,
            std::format("{} captures are running already; wait until one ends", running_)
        );
    }
    const Turn turn(running_);
    ZCO_TRY(JobRegistry::Entry job, jobs.add("packet-capture", request.ifname));
    Outcome<Capture> capture = co_await io.offload([&request] {
        return Capture::start(request.ifname, request.condition);
    });
    if (!capture) {
        co_return job.end(Outcome<CaptureReply>(std::unexpected(capture.error())));
    }
    Written written;
    CaptureWriter::begin(
        written.text,
        {.link_type = capture->link_type(),
         .snapshot_bytes = packet::limits::capture_bytes,
         .interface_name = request.ifname,
         .filter = request.condition,
         .application = "zsync"}
    );
    const Outcome<void> copied = co_await copy_packets(io, *capture, request, file, written);
    const bool was_canceled = !copied && copied.error().error.is_canceled();
    if (!copied && !was_canceled) {
        co_return job.end(Outcome<CaptureReply>(std::unexpected(copied.error())));
    }
    // Whoever cancelled it has a whole file all the same.
    const CancelProtection protection;
    const Outcome<CaptureCounts> counts = co_await io.offload([&] { return capture->counts(); });
    if (!counts) {
        co_return job.end(Outcome<CaptureReply>(std::unexpected(counts.error())));
    }
    CaptureWriter::end(
        written.text,
        {.time_ns = epoch_time<std::chrono::nanoseconds>(),
         .received = counts->matched,
         .dropped = counts->lost}
    );
    if (const auto ended = co_await write_out(io, file, written); !ended) {
        co_return job.end(Outcome<CaptureReply>(std::unexpected(ended.error())));
    }
    (void)co_await io.offload([&] { capture = fail(CoreError::closed, std::string()); });
    if (was_canceled) {
        co_return job.end(Outcome<CaptureReply>(std::unexpected(copied.error())));
    }
    co_return job.end(
        Outcome<CaptureReply>(CaptureReply{written.packets, written.bytes, counts->lost})
    );
}

} // namespace zsync::zsyncd
