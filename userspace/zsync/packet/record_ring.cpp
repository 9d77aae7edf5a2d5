#include <zsync/core/epoch_time.hpp>
#include <zsync/packet/record_ring.hpp>

#include <bpf/libbpf.h>

#include <chrono>
#include <utility>

namespace zsync::packet {
namespace {

struct FreeRing {
    void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
};

} // namespace

struct RecordRing::State {
    std::unique_ptr<ring_buffer, FreeRing> ring;
    std::uint64_t realtime_offset_ns = 0; ///< of the clock that stamps records
    const VisitAny* visit = nullptr;

    static int record(void* context, void* data, std::size_t bytes) {
        const State& state = *static_cast<State*>(context);
        return (*state.visit)(data, bytes, state.realtime_offset_ns);
    }
};

RecordRing::RecordRing(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
RecordRing::RecordRing(RecordRing&&) noexcept = default;
RecordRing& RecordRing::operator=(RecordRing&&) noexcept = default;
RecordRing::~RecordRing() = default;

Result<RecordRing> RecordRing::open(int ring) {
    auto state = std::make_unique<State>();
    state->ring.reset(ring_buffer__new(ring, &State::record, state.get(), nullptr));
    if (!state->ring) {
        return fail(os_error(errno));
    }
    return RecordRing(std::move(state));
}

int RecordRing::ready_fd() const noexcept { return ring_buffer__epoll_fd(state_->ring.get()); }

Result<std::size_t> RecordRing::take_any(std::size_t records_max, const VisitAny& visit) {
    // Each time anew: the clock may have been set.
    using std::chrono::nanoseconds;
    state_->realtime_offset_ns =
        epoch_time<nanoseconds>() - epoch_time<nanoseconds, std::chrono::steady_clock>();
    state_->visit = &visit;
    const int taken = ring_buffer__consume_n(state_->ring.get(), records_max);
    if (taken < 0) {
        return fail(os_error(-taken));
    }
    return static_cast<std::size_t>(taken);
}

} // namespace zsync::packet
