#include <zsync/packet/samples.hpp>

#include <bpf/zsync_xdp.h>

namespace zsync::packet {

Outcome<SampleReader> SampleReader::open(const Fd& ring) {
    auto opened = RecordRing::open(ring.get());
    if (!opened) {
        return fail(opened.error(), "cannot map the ring of samples");
    }
    return SampleReader(*std::move(opened));
}

Outcome<std::size_t>
SampleReader::take(std::size_t samples_max, const std::function<void(const Sample&)>& visit) {
    const auto taken = ring_.take<zsync_sample>(
        samples_max,
        [&](const zsync_sample& record, std::uint64_t epoch_ns) {
            visit({
                .time_ns = record.time_ns + epoch_ns,
                .slot = record.slot,
                .verdict = record.drop != 0 ? Verdict::drop : Verdict::pass,
                .wire_bytes = record.wire_bytes,
                .bytes = {record.data, record.captured_bytes},
            });
        }
    );
    if (!taken) {
        return fail(taken.error(), "cannot read the ring of samples");
    }
    return *taken;
}

} // namespace zsync::packet
