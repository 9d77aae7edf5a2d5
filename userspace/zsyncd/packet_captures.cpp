#include "packet_captures.hpp"

#include "jobs.hpp"
#include "limits.hpp"
#include "read_text.hpp"
#include "turn.hpp"

#include <zsync/core/epoch_time.hpp>
#include <zsync/core/text.hpp>
#include <zsync/packet/analysis/capture_writer.hpp>
#include <zsync/packet/capture.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/service.hpp>

#include <algorithm>
#include <chrono>
#include <format>
#include <limits>
#include <optional>
#include <poll.h>

namespace zsync::zsyncd {
namespace {

using packet::CaptureCounts;
using packet::PacketSource;
using packet::analysis::CaptureWriter;
using packet::analysis::Frame;
using packet::analysis::PacketNote;

/// What is going into a file.
struct Written {
    std::string text; ///< what of whole blocks is not in the file yet
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    TimePoint until = TimePoint::max(); ///< how long to try
};

/// Where the packets of a capture come from.
class Source {
public:
    Source(Io io, packet::Service& service, const CaptureRequest& request)
        : io_(io), service_(service), request_(request) {}

    Task<Outcome<void>> open() {
        if (is_of_samples()) {
            ZCO_TRY(
                samples_, co_await service_.read_samples(request_.ifname, request_.sampled_hook)
            );
            source_ = &samples_.source();
        } else {
            ZCO_TRY(capture_, co_await io_.offload([this] {
                return packet::Capture::start(request_.ifname, request_.condition);
            }));
            source_ = &*capture_;
        }
        co_return {};
    }
    /// Before it is forgotten.
    Task<void> close() {
        co_await io_.offload([this] {
            capture_.reset();
            samples_.close();
        });
    }

    Task<Outcome<std::size_t>> take(Written* written, std::uint64_t packets_max) {
        const std::uint64_t left = packets_max - written->packets;
        const std::size_t wanted =
            std::min<std::uint64_t>(packet::limits::live_packets_per_turn, left);
        const PacketSource::Visit add = [written](const Frame& frame, const PacketNote& note) {
            CaptureWriter::add(written->text, frame, note);
            ++written->packets;
            written->bytes += frame.wire_bytes;
        };
        if (is_of_samples()) {
            co_return co_await service_.take_samples(&samples_, wanted, add);
        }
        co_return co_await io_.offload([&] { return capture_->take(wanted, add); });
    }
    Task<Outcome<CaptureCounts>> counts() {
        co_return co_await io_.offload([this] { return source_->counts(); });
    }
    [[nodiscard]] packet::analysis::LinkType link_type() const { return source_->link_type(); }
    [[nodiscard]] int ready_fd() const { return source_->ready_fd(); }
    /// When `take` is due at the latest, though nothing be ready.
    [[nodiscard]] TimePoint take_due() const {
        return is_of_samples()
                   ? io_.now() + std::chrono::milliseconds(limits::sampled_rules_check_ms)
                   : TimePoint::max();
    }

private:
    [[nodiscard]] bool is_of_samples() const { return !request_.sampled_hook.empty(); }

    Io io_;
    packet::Service& service_;
    const CaptureRequest& request_;
    std::optional<packet::Capture> capture_;
    packet::Service::Samples samples_;
    PacketSource* source_ = nullptr; ///< one of them
};

Task<Outcome<void>> write_out(Io io, FdRef file, Written* written) {
    while (!written->text.empty()) {
        auto write = io.write(file, std::span(written->text));
        const auto moved = written->until == TimePoint::max()
                               ? co_await std::move(write)
                               : co_await std::move(write).until(written->until);
        if (!moved.count) {
            co_return fail(
                moved.count.error(), "cannot write the capture: " + moved.count.error().message()
            );
        }
        written->text.erase(0, *moved.count);
    }
    co_return {};
}

/// Until a limit is reached or it is cancelled; what has come is in the file at each wait.
Task<Outcome<void>>
copy_packets(Io io, Source* source, const CaptureRequest* request, FdRef file, Written* written) {
    constexpr std::uint64_t no_end = std::numeric_limits<std::uint64_t>::max();
    const std::uint64_t packets_max = request->packets_max == 0 ? no_end : request->packets_max;
    const TimePoint deadline =
        request->duration_us == 0
            ? TimePoint::max()
            : io.now() + std::chrono::microseconds(
                             std::min(request->duration_us, limits::capture_duration_us_max)
                         );
    for (;;) {
        ZCO_TRY(const std::size_t taken, co_await source->take(written, packets_max));
        ZCO_CHECK(co_await write_out(io, file, written));
        if (written->packets >= packets_max || (taken == 0 && io.now() >= deadline)) {
            co_return {};
        }
        if (taken != 0) {
            continue;
        }
        const TimePoint until = std::min(deadline, source->take_due());
        auto wait = io.poll(FdRef(source->ready_fd()), POLLIN);
        const auto ready = until == TimePoint::max() ? co_await std::move(wait)
                                                     : co_await std::move(wait).until(until);
        if (!ready && ready.error() != Error(CoreError::timed_out)) {
            co_return fail(ready.error());
        }
    }
}

/// What has been counted and is not in the file yet, after a cancel.
Task<Outcome<void>> copy_rest(
    Io io,
    Source* source,
    const CaptureRequest* request,
    FdRef file,
    CaptureCounts counts,
    Written* written
) {
    const std::uint64_t kept = counts.matched - std::min(counts.lost, counts.matched);
    const std::uint64_t wanted =
        request->packets_max == 0 ? kept : std::min(kept, request->packets_max);
    while (written->packets < wanted) {
        ZCO_TRY(const std::size_t taken, co_await source->take(written, wanted));
        ZCO_CHECK(co_await write_out(io, file, written));
        if (taken == 0) {
            break;
        }
    }
    co_return {};
}

} // namespace

Task<Outcome<CaptureReply>>
PacketCaptures::run(Io io, JobRegistry* jobs, CaptureRequest request, Fd file) {
    if (running_ == limits::captures_max) {
        co_return fail(
            CoreError::limit_reached,
            std::format("{} captures are running already; wait until one ends", running_)
        );
    }
    const Turn turn(running_);
    ZCO_TRY(JobRegistry::Entry job, jobs->add("packet-capture", request.ifname));
    Source source(io, service_, request);
    if (const auto opened = co_await source.open(); !opened) {
        co_return job.end(Outcome<CaptureReply>(std::unexpected(opened.error())));
    }
    Written written;
    CaptureWriter::begin(
        written.text,
        {.link_type = source.link_type(),
         .snapshot_bytes = packet::limits::capture_bytes,
         .interface_name = request.ifname,
         .filter = request.sampled_hook.empty() ? request.condition
                                                : "samples at " + request.sampled_hook,
         .application = "zsync"}
    );
    const Outcome<void> copied = co_await copy_packets(io, &source, &request, file, &written);
    // Whatever ended it, the file is whole.
    const CancelProtection protection;
    if (!is_regular(file)) {
        written.until = io.now() + limits::capture_end_patience;
    }
    const Outcome<CaptureCounts> counts = co_await source.counts();
    if (!counts) {
        co_return job.end(Outcome<CaptureReply>(std::unexpected(counts.error())));
    }
    if (!copied && copied.error().error.is_canceled()) {
        const auto rest = co_await copy_rest(io, &source, &request, file, *counts, &written);
        if (!rest) {
            co_return job.end(Outcome<CaptureReply>(std::unexpected(rest.error())));
        }
    }
    CaptureWriter::end(
        written.text,
        {.time_ns = epoch_time<std::chrono::nanoseconds>(),
         .received = counts->matched,
         .dropped = counts->lost}
    );
    if (const auto ended = co_await write_out(io, file, &written); !ended) {
        co_return job.end(Outcome<CaptureReply>(std::unexpected(ended.error())));
    }
    co_await source.close();
    if (!copied) {
        co_return job.end(Outcome<CaptureReply>(std::unexpected(copied.error())));
    }
    co_return job.end(
        Outcome<CaptureReply>(CaptureReply{written.packets, written.bytes, counts->lost})
    );
}

} // namespace zsync::zsyncd
