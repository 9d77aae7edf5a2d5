// One turn of a worker, and all that it runs through for each operation. In one place so that the
// compiler sees through it: an echo of 64 bytes passes here twice.
#include <zsync/core/assert.hpp>
#include <zsync/core/fiber_switch.hpp>
#include <zsync/core/inbox.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/operation.hpp>
#include <zsync/core/probes.hpp>
#include <zsync/core/ring.hpp>
#include <zsync/core/send_stream.hpp>
#include <zsync/core/stream.hpp>
#include <zsync/core/worker.hpp>

#include <algorithm>
#include <cerrno>
#include <immintrin.h>
#include <utility>

namespace zsync {

void Worker::resume_otherwise(TaskRecord& record) noexcept {
    if (record.kind_ == TaskKind::fiber && record.context_ == nullptr && !give_stack(record)) {
        make_ready(record);
        return;
    }
    if (!order_) {
        resume_fiber(record);
        return;
    }
    if (!std::exchange(ordered_now_, false)) {
        make_ready(record); // a completion: its turn comes by urgency
        return;
    }
    const TaskRef kept(record);
    stretch_began_ = CycleClock::now();
    if (record.kind_ == TaskKind::coroutine) {
        resume_coroutine(record, *record.leaf_);
    } else {
        resume_fiber(record);
    }
    record.run_cycles_ += CycleClock::now() - stretch_began_;
}

[[gnu::always_inline]] inline void
Worker::resume_coroutine(TaskRecord& record, PromiseBase& leaf) noexcept {
    ZSYNC_PROBE_TASK(task__resume, record);
    TaskRecord::current_ = &record;
    ++record.resumes_;
    leaf.frame().resume();
}

[[gnu::always_inline]] inline void Worker::resume_fiber(TaskRecord& record) noexcept {
    ZSYNC_PROBE_TASK(task__resume, record);
    TaskRecord::current_ = &record;
    record.state_ = TaskState::running;
    ++record.resumes_;
    fibers_->enter(*static_cast<Fiber*>(record.context_), *record.leaf_);
}

// The current task stays set: whoever runs tasks in a row resets it after the last.
[[gnu::always_inline]] inline void Worker::resume(TaskRecord& record, PromiseBase& leaf) noexcept {
    if (record.resumption_ == Resumption::of_coroutine) [[likely]] {
        resume_coroutine(record, leaf);
        return;
    }
    auto& worker = static_cast<Worker&>(record.executor());
    if (record.resumption_ == Resumption::of_fiber && record.context_ != nullptr) [[likely]] {
        worker.resume_fiber(record);
    } else {
        worker.resume_otherwise(record);
    }
}

[[gnu::always_inline]] inline void Worker::resume_waiting(Suspension& wait) noexcept {
    PromiseBase& leaf = *wait.promise_;
    TaskRecord& record = *leaf.task;
    record.suspension_ = nullptr;
    resume(record, leaf);
}

void Suspension::resume_inline() noexcept {
    Worker::resume_waiting(*this);
    TaskRecord::leave_current();
}

[[gnu::always_inline]] static inline bool is_place_in_file(const OperationRequest& request
) noexcept {
    return (request.opcode == Opcode::read || request.opcode == Opcode::write) &&
           request.offset != Io::current_position;
}

bool OperationWait::suspend(PromiseBase& promise) noexcept {
    TaskRecord& record = *promise.task;
    if (record.kind() == TaskKind::thread) [[unlikely]] {
        return suspend_thread(promise);
    }
    if (!begin(promise)) {
        result_ = -ECANCELED;
        ended_by_ = CoreError::canceled;
        return false;
    }
    auto& worker = static_cast<Worker&>(record.executor());
    if (Ring* ring = worker.ring()) [[likely]] {
        if (is_place_in_file(request_)) {
            ring->queue_of_file(request_, *this);
        } else {
            ring->queue_now(request_, *this);
        }
    } else {
        worker.submit(*this);
    }
    if (has_deadline_) [[unlikely]] {
        worker.add_timer(*this, due);
    }
    return park();
}

void OperationWait::complete(std::int32_t result) noexcept {
    result_ = result;
    if ((result < 0 || polling_) && !has_ended()) [[unlikely]] {
        return;
    }
    disarm();
    Worker::resume_waiting(*this);
}

[[gnu::always_inline]] inline bool
RecvStreamState::is_usual(std::int32_t result, std::uint32_t flags) const noexcept {
    constexpr std::uint32_t usual = IORING_CQE_F_BUFFER | IORING_CQE_F_MORE;
    return result > 0 && (flags & usual) == usual && attention_ == awaited;
}

[[gnu::always_inline]] inline void
RecvStreamState::hand_over(std::int32_t result, std::uint32_t flags) noexcept {
    attention_ = nothing;
    handed_length_ = static_cast<std::uint32_t>(result);
    handed_buffer_ = static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
    pool_->note_holder_here(handed_buffer_, &task());
    Worker::resume_waiting(*this);
}

void RecvStreamState::complete(std::int32_t result, std::uint32_t flags) noexcept {
    complete_otherwise(result, flags);
}

[[gnu::always_inline]] inline void SendStreamState::completed(std::int32_t result) noexcept {
    if (result != usual_) [[unlikely]] {
        complete_otherwise(result);
        return;
    }
    usual_ = idle;
    pool_->give_back(first_);
}

void SendStreamState::complete(std::int32_t result, std::uint32_t /*flags*/) noexcept {
    completed(result);
}

unsigned Ring::deliver() noexcept {
    const io_uring_cq& cq = ring_.cq;
    const io_uring_cqe* const cqes = cq.cqes;
    const unsigned mask = cq.ring_mask;
    unsigned* const khead = cq.khead;
    unsigned head = *khead;
    const unsigned tail = __atomic_load_n(cq.ktail, __ATOMIC_ACQUIRE);
    const unsigned count = tail - head;
    // What tasks queue meanwhile completes later: the batch is what was there when it began.
    while (head != tail) {
        const io_uring_cqe& cqe = cqes[head & mask];
        const CompletionTarget target(cqe.user_data);
        const std::int32_t result = cqe.res;
        ZSYNC_PROBE(
            op__complete,
            "8@%0 -4@%1 4@%2",
            ZSYNC_PROBE_VALUE(target.data()),
            ZSYNC_PROBE_VALUE(result),
            ZSYNC_PROBE_FIELD(cqe.flags)
        );
        // A task may submit early in here, which makes room for completions up to this one.
        __atomic_store_n(khead, ++head, __ATOMIC_RELEASE);
        if (target.handler_kind() == HandlerKind::recv_stream) {
            auto& stream = static_cast<RecvStreamState&>(target.handler());
            if (stream.is_usual(result, cqe.flags)) [[likely]] {
                stream.hand_over(result, cqe.flags);
                continue;
            }
        } else if (target.handler_kind() == HandlerKind::send_stream) {
            --in_flight_;
            static_cast<SendStreamState&>(target.handler()).completed(result);
            continue;
        } else if (target.is_wait()) {
            --in_flight_;
            target.wait().complete(result);
            continue;
        }
        if (target.is_handler()) {
            const std::uint32_t flags = cqe.flags;
            if ((flags & IORING_CQE_F_MORE) == 0) {
                --in_flight_;
            }
            TaskRecord::leave_current();
            target.handler().complete(result, flags);
        }
    }
    TaskRecord::leave_current();
    return count;
}

[[gnu::always_inline]] inline void Worker::run_first() noexcept {
    TaskRecord& record = *ready_.first;
    ready_.first = record.next_ready_;
    if (ready_.end == &record.next_ready_) {
        ready_.end = &ready_.first;
    }
    record.state_ = TaskState::running;
    resume(record, *record.leaf_);
}

template <bool watched> [[gnu::always_inline]] inline void Worker::wait_and_deliver() noexcept {
    const bool idle = ready_.empty() && root_ != nullptr &&
                      (busy_poll_ <= Duration::zero() || !finds_news_polling()) &&
                      (inbox_ == nullptr || inbox_->go_to_sleep());
    busy_cycles_ += CycleClock::now() - busy_since_;
    if constexpr (watched) {
        detector_->sleeps(idle);
    }
    queue_->enter(idle, idle ? timers_.next() : std::nullopt);
    busy_since_ = CycleClock::now();
    if constexpr (watched) {
        detector_->sleeps(false);
        if (detector_->wants_attention()) {
            detector_->attend(*this);
        }
    }
    if (inbox_ != nullptr) [[unlikely]] {
        inbox_->deliver(*this);
    }
    [[maybe_unused]] bool woken_for_nothing = queue_->deliver() == 0;
    if (timers_.count() != 0) {
        const TimePoint now = queue_->now();
        while (Timer* timer = timers_.pop_due(now)) {
            woken_for_nothing = false;
            static_cast<TimedSuspension*>(timer)->expired();
        }
    }
    if constexpr (watched) {
        if (idle && woken_for_nothing && ready_.empty()) {
            detector_->rest();
        }
    }
}

[[gnu::noinline]] bool Worker::finds_news_polling() noexcept {
    if (ring_ == nullptr) {
        return false; // whether something has come only a system call tells there
    }
    queue_->enter(false, std::nullopt);
    const TimePoint until =
        std::min(later(now(), busy_poll_), timers_.next().value_or(TimePoint::max()));
    while (!queue_->has_news() && (inbox_ == nullptr || !inbox_->has_messages())) {
        if (now() >= until) {
            return false;
        }
        _mm_pause();
    }
    return true;
}

[[gnu::noinline, gnu::cold]] void Worker::wait_and_deliver_watched() noexcept {
    wait_and_deliver<true>();
}

// One task a turn: what has become ready meanwhile may be more urgent. A look at a ring that has
// nothing costs no system call.
void Worker::turn_by_urgency() noexcept {
    ++turns_;
    time_is_recent_ = false;
    ZSYNC_PROBE(turn__enter, "8@%0 8@%1", ZSYNC_PROBE_VALUE(this), ZSYNC_PROBE_FIELD(turns_));
    bring_most_urgent_first();
    if (!ready_.empty()) {
        ordered_now_ = true;
        run_first();
        ordered_now_ = false; // also where it could not be run
        TaskRecord::leave_current();
    }
    if (detector_) [[unlikely]] {
        wait_and_deliver_watched();
    } else {
        wait_and_deliver<false>();
    }
    ZSYNC_PROBE(turn__leave, "8@%0 8@%1", ZSYNC_PROBE_VALUE(this), ZSYNC_PROBE_FIELD(turns_));
}

void Worker::turn() noexcept {
    ++turns_;
    time_is_recent_ = false;
    ZSYNC_PROBE(turn__enter, "8@%0 8@%1", ZSYNC_PROBE_VALUE(this), ZSYNC_PROBE_FIELD(turns_));
    run_ready();
    if (detector_) [[unlikely]] {
        wait_and_deliver_watched();
    } else {
        wait_and_deliver<false>();
    }
    ZSYNC_PROBE(turn__leave, "8@%0 8@%1", ZSYNC_PROBE_VALUE(this), ZSYNC_PROBE_FIELD(turns_));
}

// What is ready behind a task stays first while that one runs, so it is kept at hand: stored and
// read back each time it would cost as much as the rest of these loops. There are two, because the
// switch to a stack leaves a compiler no register to keep anything in.
template <bool is_simple>
[[gnu::always_inline]] inline std::uint32_t Worker::run_ready_of(std::uint32_t left) noexcept {
    TaskRecord* next = ready_.empty() ? nullptr : ready_.first;
    while (next != nullptr && (next->resumption_ == Resumption::of_coroutine) == is_simple &&
           left > 0) {
        --left;
        TaskRecord& record = *next;
        const bool is_last = ready_.end == &record.next_ready_;
        if (is_last) {
            ready_.end = &ready_.first;
        } else {
            next = record.next_ready_;
        }
        record.state_ = TaskState::running;
        if constexpr (is_simple) {
            resume_coroutine(record, *record.leaf_);
        } else {
            resume(record, *record.leaf_);
        }
        if (is_last) {
            next = ready_.empty() ? nullptr : ready_.first;
        }
    }
    ready_.first = next;
    return left;
}

[[gnu::noinline]] std::uint32_t Worker::run_ready_coroutines(std::uint32_t left) noexcept {
    return run_ready_of<true>(left);
}

void Worker::run_ready() noexcept {
    std::uint32_t left = limits::resumes_per_turn_max;
    while (!ready_.empty() && left > 0) {
        if (simulated_) [[unlikely]] {
            bring_any_first();
            run_first();
            --left;
            continue;
        }
        left = run_ready_coroutines(left);
        left = run_ready_of<false>(left);
    }
    TaskRecord::leave_current();
}

} // namespace zsync
