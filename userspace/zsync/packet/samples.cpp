#include <zsync/packet/samples.hpp>

#include <bpf/libbpf.h>
#include <bpf/zsync_xdp.h>

#include <cerrno>
#include <ctime>

namespace zsync::packet {
namespace {

struct FreeRing {
    void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
};

std::uint64_t clock_ns(clockid_t clock) {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
           static_cast<std::uint64_t>(now.tv_nsec);
}

} // namespace

struct SampleReader::State {
    std::unique_ptr<ring_buffer, FreeRing> ring;
    std::uint64_t realtime_offset_ns = 0; ///< of the clock that stamps records
    const std::function<void(const Sample&)>* visit = nullptr;

    static int record(void* context, void* data, std::size_t bytes) {
        const State& state = *static_cast<State*>(context);
        const auto& record = *static_cast<zsync_sample*>(data);
        if (bytes < sizeof record || record.captured_bytes > bytes - sizeof record) {
            return -EBADMSG;
        }
        (*state.visit)({
            .time_ns = record.time_ns + state.realtime_offset_ns,
            .slot = record.slot,
            .verdict = record.drop != 0 ? Verdict::drop : Verdict::pass,
            .wire_bytes = record.wire_bytes,
            .bytes = {record.data, record.captured_bytes},
        });
        return 0;
    }
};

SampleReader::SampleReader(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
SampleReader::SampleReader(SampleReader&&) noexcept = default;
SampleReader& SampleReader::operator=(SampleReader&&) noexcept = default;
SampleReader::~SampleReader() = default;

Outcome<SampleReader> SampleReader::open(const Fd& ring) {
    auto state = std::make_unique<State>();
    state->ring.reset(ring_buffer__new(ring.get(), &State::record, state.get(), nullptr));
    if (!state->ring) {
        return fail(os_error(errno), "cannot map the ring of samples");
    }
    return SampleReader(std::move(state));
}

int SampleReader::ready_fd() const noexcept { return ring_buffer__epoll_fd(state_->ring.get()); }

Outcome<std::size_t>
SampleReader::take(std::size_t samples_max, const std::function<void(const Sample&)>& visit) {
    // Each time anew: the clock may have been set.
    state_->realtime_offset_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
    state_->visit = &visit;
    const int taken = ring_buffer__consume_n(state_->ring.get(), samples_max);
    if (taken < 0) {
        return fail(os_error(-taken), "cannot read the ring of samples");
    }
    return static_cast<std::size_t>(taken);
}

} // namespace zsync::packet
