// One turn of a worker, and all that it runs through for each operation. In one place so that the
// compiler sees through it: an echo of 64 bytes passes here twice.
#include <zsync/core/assert.hpp>
#include <zsync/core/fiber.hpp>
#include <zsync/core/inbox.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/operation.hpp>
#include <zsync/core/probes.hpp>
#include <zsync/core/ring.hpp>
#include <zsync/core/send_stream.hpp>
#include <zsync/core/stream.hpp>
#include <zsync/core/worker.hpp>

#include <cerrno>

namespace zsync {

[[gnu::always_inline]] inline void Worker::resume_now(TaskRecord& record) noexcept {
    ZSYNC_PROBE_TASK(task__resume, record);
    if (record.kind_ == TaskKind::coroutine) [[likely]] {
        TaskRecord::current_ = &record;
        record.state_ = TaskState::running;
        ++record.resumes_;
        record.leaf_->frame().resume();
    } else {
        resume_fiber(record);
    }
    TaskRecord::current_ = nullptr;
}

void Worker::resume_watched(TaskRecord& record) noexcept {
    const TaskRef kept(record);
    const PromiseBase* frame = record.leaf_;
    const std::source_location resumed_at = frame->where;
    const CycleClock::Cycles begin = CycleClock::now();
    resume_now(record);
    const CycleClock::Cycles held = CycleClock::now() - begin;
    record.run_cycles_ += held;
    ++resumes_;
    if (held > stall_cycles_) [[unlikely]] {
        const Duration duration = cycles().duration(held);
        if (duration > stall_limit_) {
            ++stalls_;
            ZSYNC_PROBE(
                stall,
                "8@%0 8@%1 8@%2",
                ZSYNC_PROBE_VALUE(&record),
                ZSYNC_PROBE_FIELD(record.id_),
                ZSYNC_PROBE_VALUE(duration.count())
            );
            stalled_({
                .task = record.id(),
                .name = std::string(record.name()),
                .resumed_at = place_of(resumed_at),
                .held = duration,
            });
        }
    }
}

[[gnu::always_inline]] inline void Worker::resume(TaskRecord& record) noexcept {
    if (stall_cycles_ != 0) [[unlikely]] {
        resume_watched(record);
    } else {
        resume_now(record);
    }
}

void Suspension::resume_inline() noexcept {
    TaskRecord& record = task();
    record.suspension_ = nullptr;
    static_cast<Worker&>(record.executor()).resume(record);
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
        ring->queue_now(request_, *this);
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
    resume_inline();
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
        const std::uint32_t flags = cqe.flags;
        ZSYNC_PROBE(
            op__complete,
            "8@%0 -4@%1 4@%2",
            ZSYNC_PROBE_VALUE(target.data()),
            ZSYNC_PROBE_VALUE(result),
            ZSYNC_PROBE_FIELD(cqe.flags)
        );
        ++head;
        if (target.is_wait()) [[likely]] {
            --in_flight_;
            // A task may submit early in here, which makes room for completions up to this one.
            __atomic_store_n(khead, head, __ATOMIC_RELEASE);
            target.wait().complete(result);
        } else {
            __atomic_store_n(khead, head, __ATOMIC_RELEASE);
            if (target.is_handler()) {
                if ((flags & IORING_CQE_F_MORE) == 0) {
                    --in_flight_;
                }
                target.handler().complete(result, flags);
            }
        }
    }
    return count;
}

void RecvStreamState::complete(std::int32_t result, std::uint32_t flags) noexcept {
    constexpr std::uint32_t usual = IORING_CQE_F_BUFFER | IORING_CQE_F_MORE;
    if (result <= 0 || (flags & usual) != usual || waiter_ == nullptr) [[unlikely]] {
        complete_otherwise(result, flags);
        return;
    }
    pool_->picked();
    RecvNext& waiter = *std::exchange(waiter_, nullptr);
    waiter.length_ = static_cast<std::uint32_t>(result);
    waiter.buffer_ = static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
    waiter.disarm();
    waiter.resume_inline();
}

void SendStreamState::send_first() noexcept {
    const std::byte* data = pool_->buffer(first_) + sent_;
    sending_ = pool_->filled(first_).length - sent_;
    if (ring_ != nullptr) {
        ring_->queue_send(fd_, data, sending_, *this);
        return;
    }
    worker_->queue().queue(
        {
            .opcode = Opcode::send,
            .fd = fd_,
            .address = reinterpret_cast<std::uintptr_t>(data),
            .length = sending_,
            .flags = MSG_NOSIGNAL | MSG_WAITALL,
        },
        *this
    );
}

void SendStreamState::push(Chunk&& chunk) noexcept {
    const auto length = static_cast<std::uint32_t>(chunk.size());
    const std::uint16_t buffer = chunk.release();
    pool_->filled(buffer) = {.length = length, .next = no_buffer};
    if (queued_++ != 0) [[unlikely]] {
        push_behind(buffer);
        return;
    }
    first_ = buffer;
    last_ = buffer;
    if (ring_ == nullptr) [[unlikely]] {
        send_first();
        return;
    }
    sending_ = length;
    ring_->queue_send(fd_, pool_->buffer(buffer), length, *this);
}

void SendStreamState::complete(std::int32_t result, std::uint32_t /*flags*/) noexcept {
    if (static_cast<std::uint32_t>(result) != sending_ || queued_ != 1 || waiter_ != nullptr ||
        sent_ != 0 || abandoned_) [[unlikely]] {
        complete_otherwise(result);
        return;
    }
    queued_ = 0;
    pool_->give_back(std::exchange(first_, no_buffer));
}

void Worker::turn() noexcept {
    ++turns_;
    ZSYNC_PROBE(turn__enter, "8@%0 8@%1", ZSYNC_PROBE_VALUE(this), ZSYNC_PROBE_FIELD(turns_));
    run_ready();
    const bool idle =
        ready_first_ == nullptr && root_ != nullptr && (inbox_ == nullptr || inbox_->go_to_sleep());
    busy_cycles_ += CycleClock::now() - busy_since_;
    queue_->enter(idle, idle ? timers_.next() : std::nullopt);
    busy_since_ = CycleClock::now();
    if (inbox_ != nullptr) [[unlikely]] {
        inbox_->deliver(*this);
    }
    queue_->deliver();
    if (timers_.count() != 0) {
        const TimePoint now = queue_->now();
        while (Timer* timer = timers_.pop_due(now)) {
            static_cast<TimedSuspension*>(timer)->expired();
        }
    }
    ZSYNC_PROBE(turn__leave, "8@%0 8@%1", ZSYNC_PROBE_VALUE(this), ZSYNC_PROBE_FIELD(turns_));
}

void Worker::run_ready() noexcept {
    for (std::uint32_t resumed = 0;
         ready_first_ != nullptr && resumed < limits::resumes_per_turn_max;
         ++resumed) {
        if (simulated_) [[unlikely]] {
            bring_any_first();
        }
        TaskRecord& record = *ready_first_;
        ready_first_ = record.next_ready_;
        if (ready_first_ == nullptr) {
            ready_end_ = &ready_first_;
        }
        resume(record);
    }
}

} // namespace zsync
