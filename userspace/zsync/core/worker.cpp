#include <zsync/core/assert.hpp>
#include <zsync/core/fiber.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/offload.hpp>
#include <zsync/core/operation.hpp>
#include <zsync/core/ring.hpp>
#include <zsync/core/worker.hpp>

#include <cerrno>

namespace zsync {

Outcome<std::unique_ptr<Worker>> Worker::create() {
    return std::make_unique<Worker>(ZTRY(Ring::create()));
}

Worker::Worker(std::unique_ptr<OperationQueue> queue)
    : ring_(dynamic_cast<Ring*>(queue.get())), timers_(queue->now()), queue_(std::move(queue)) {}

Worker::~Worker() { ZASSERT(root_ == nullptr, "a worker ends with live tasks"); }

TimePoint Worker::now() const noexcept { return queue_->now(); }

std::vector<RuntimeFeature> Worker::features() const { return queue_->features(); }

void Worker::run_root(TaskRecord& record) noexcept {
    ZASSERT(
        TaskRecord::current() == nullptr && task_count() == 1,
        "a worker runs one root task at a time"
    );
    const TaskRef root(record);
    start_anyhow(record);
    while (!root.is_finished()) {
        turn();
    }
    offload_pool_.reset();
    // Every task has ended, so only the runtime's own requests can be left.
    while (queue_->in_flight() != 0) {
        queue_->enter(true, std::nullopt);
        queue_->deliver();
    }
}

void Worker::turn() noexcept {
    ++turns_;
    run_ready();
    const bool idle = ready_first_ == nullptr && root_ != nullptr;
    queue_->enter(idle, idle ? timers_.next() : std::nullopt);
    queue_->deliver();
    if (timers_.count() != 0) {
        const TimePoint now = queue_->now();
        while (Timer* timer = timers_.pop_due(now)) {
            static_cast<TimedSuspension*>(timer)->expired();
        }
    }
}

void Worker::run_ready() noexcept {
    for (std::uint32_t resumed = 0;
         ready_first_ != nullptr && resumed < limits::resumes_per_turn_max;
         ++resumed) {
        TaskRecord& record = *ready_first_;
        ready_first_ = record.next_ready_;
        if (ready_first_ == nullptr) {
            ready_end_ = &ready_first_;
        }
        resume(record);
    }
}

bool Worker::start(TaskRecord& record, Concurrency concurrency) noexcept {
    // A fiber that only may run beside its starter can wait for a stack that others give back.
    if (record.kind_ == TaskKind::fiber && !give_stack(record) &&
        concurrency == Concurrency::required) {
        return false;
    }
    make_ready(record);
    return true;
}

bool Worker::give_stack(TaskRecord& record) noexcept {
    if (!fibers_) {
        fibers_ = std::make_unique<FiberPool>();
    }
    Fiber* fiber = fibers_->acquire();
    if (fiber != nullptr) {
        fiber->frame = record.leaf_;
        record.context_ = fiber;
    }
    return fiber != nullptr;
}

void Worker::park(TaskRecord& record) noexcept { static_cast<Fiber*>(record.context_)->leave(); }

void Worker::submit(OperationWait& wait) noexcept { queue_->queue(wait.request(), wait); }

void Worker::cancel(OperationWait& wait) noexcept { queue_->queue_cancel(wait); }

OffloadPool& Worker::offload_pool() {
    if (!offload_pool_) {
        offload_pool_ = std::make_unique<OffloadPool>(*this);
    }
    return *offload_pool_;
}

void Worker::resume(TaskRecord& record) noexcept {
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

void Worker::resume_fiber(TaskRecord& record) noexcept {
    if (record.context_ == nullptr && !give_stack(record)) {
        make_ready(record);
        return;
    }
    TaskRecord::current_ = &record;
    record.state_ = TaskState::running;
    ++record.resumes_;
    fibers_->enter(*static_cast<Fiber*>(record.context_), *record.leaf_);
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
        ring->queue(request_, *this);
    } else {
        worker.submit(*this);
    }
    if (wait_until_) [[unlikely]] {
        worker.add_timer(*this, *wait_until_);
    }
    return park();
}

void OperationWait::complete(std::int32_t result) noexcept {
    disarm();
    result_ = result;
    if (result < 0) [[unlikely]] {
        failed();
    }
    resume_inline();
}

} // namespace zsync
