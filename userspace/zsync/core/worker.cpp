#include <zsync/core/assert.hpp>
#include <zsync/core/compute_pool.hpp>
#include <zsync/core/epoll_queue.hpp>
#include <zsync/core/fiber.hpp>
#include <zsync/core/inbox.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/offload.hpp>
#include <zsync/core/operation.hpp>
#include <zsync/core/ring.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/standing_request.hpp>
#include <zsync/core/worker.hpp>
#include <zsync/core/worker_address.hpp>

#include <algorithm>
#include <cerrno>
#include <format>
#include <utility>

namespace zsync {

Outcome<std::unique_ptr<Worker>> Worker::create(RunOrder order) {
    const RuntimeOptions options = ZTRY(RuntimeOptions::from_environment());
    ZTRY(LeakPolicy::from_environment());
    std::string why_not = "switched off by ZSYNC_IO";
    if (options.queue != RuntimeOptions::Queue::epoll) {
        auto ring = Ring::create(options);
        if (ring) {
            return std::make_unique<Worker>(*std::move(ring), order);
        }
        // Where no descriptor is left epoll has none either.
        const int error = ring.error().error.os_error();
        if (options.queue == RuntimeOptions::Queue::ring || error == EMFILE || error == ENFILE) {
            return std::unexpected(std::move(ring).error());
        }
        why_not = ring.error().message();
    }
    return std::make_unique<Worker>(ZTRY(EpollQueue::create(options, std::move(why_not))), order);
}

Worker::Worker(std::unique_ptr<OperationQueue> queue, RunOrder order)
    : ring_(dynamic_cast<Ring*>(queue.get())), simulated_(queue->is_simulated()),
      timers_(
          queue->now(),
          order == RunOrder::urgency ? TimerWheel::fine_tick_bits : TimerWheel::coarse_tick_bits
      ),
      busy_since_(CycleClock::now()), queue_(std::move(queue)) {
    if (order == RunOrder::urgency) {
        order_ = std::make_unique<TaskOrder>();
        // Every resume is measured, which is also where tasks are told to wait for their turn.
        resumptions_.fill(Resumption::otherwise);
    }
}

Worker::~Worker() {
    drain(); // of streams that ended after the root task
    settle_and_stop();
    ZASSERT(root_ == nullptr, "a worker ends with live tasks");
    if (inbox_) { // it has not run
        inbox_->close(*this);
    }
}

std::uint64_t Worker::standing_count() const noexcept {
    std::uint64_t count = 0;
    for (const StandingRequest* at = standing_; at != nullptr; at = at->next()) {
        count += at->is_standing() ? 1 : 0;
    }
    return count;
}

// Streams that outlive their worker are a leak; what the kernel still has of them must not outlive
// the ring.
void Worker::settle_and_stop() noexcept {
    std::vector<std::string> requests;
    for (StandingRequest* at = standing_; at != nullptr; at = at->next()) {
        if (at->is_standing()) {
            requests.push_back(at->describe() + Ledger::made(at));
        }
    }
    settle("worker", requests);
    for (StandingRequest* at = standing_; at != nullptr; at = at->next()) {
        if (at->is_standing()) {
            at->stop();
        }
    }
    while (standing_count() != 0) {
        queue_->enter(true, std::nullopt);
        queue_->deliver();
    }
}

TimePoint Worker::now() const noexcept { return queue_->now(); }

TimePoint Worker::look_at_clock() noexcept {
    recent_time_ = now();
    time_is_recent_ = true;
    return recent_time_;
}

std::vector<RuntimeFeature> Worker::features() const {
    std::vector<RuntimeFeature> features = queue_->features();
    if (detector_ && detector_->timer_error() != 0) {
        features.push_back(
            {"watch", false, "no timer to look by: " + os_error(detector_->timer_error()).message()}
        );
    } else if (detector_) {
        features.push_back({"watch", true, "tells which task holds up all others"});
    }
    return features;
}

void Worker::run_root(TaskRecord& record) noexcept {
    ZASSERT(
        TaskRecord::current() == nullptr && task_count() == 1,
        "a worker runs one root task at a time"
    );
    ZASSERT(
        ring_ == nullptr || ring_->is_here(), "a worker on a ring is run by the thread that made it"
    );
    const TaskRef root(record);
    start_anyhow(record);
    if (detector_ && !simulated_) {
        detector_->enter_thread(*this);
    }
    while (!root.is_finished()) {
        if (order_) {
            turn_by_urgency();
        } else {
            turn();
        }
    }
    if (detector_) {
        detector_->leave_thread();
    }
    offload_pool_.reset();
    if (inbox_) {
        inbox_->close(*this);
    }
    drain();
    inbox_.reset();
}

// Every task has ended, so what is left are the runtime's own requests, and those of streams that
// outlive their task.
void Worker::drain() noexcept {
    const TimePoint patience = now() + std::chrono::milliseconds(limits::drain_ms);
    while (queue_->in_flight() > standing_count()) {
        const bool stopping = now() >= patience;
        if (stopping) {
            queue_->queue_cancel_all(); // each time: one that was interrupted begins anew
        }
        queue_->enter(true, stopping ? std::nullopt : std::optional(patience));
        queue_->deliver();
    }
}

const std::shared_ptr<Inbox>& Worker::inbox() {
    if (!inbox_) {
        inbox_ = Inbox::create();
        if (inbox_) {
            inbox_->open(*queue_);
        }
    }
    return inbox_;
}

Result<WorkerAddress> Worker::address() {
    const std::shared_ptr<Inbox>& mine = inbox();
    if (!mine) {
        return fail(os_error(EMFILE));
    }
    return WorkerAddress(mine, TaskKind::coroutine);
}

TaskRecord* Worker::host_of_guests() noexcept {
    return root_ != nullptr && !root_->ending_ ? root_ : nullptr;
}

void Worker::bring_any_first() noexcept {
    ready_.terminate();
    std::size_t count = 0;
    for (const TaskRecord* at = ready_.first; at != nullptr && count < limits::simulated_choice_max;
         at = at->next_ready_) {
        ++count;
    }
    TaskRecord** chosen = &ready_.first;
    for (std::size_t left = queue_->choose(count); left > 0; --left) {
        chosen = &(*chosen)->next_ready_;
    }
    TaskRecord* record = *chosen;
    if (chosen == &ready_.first) {
        return;
    }
    *chosen = record->next_ready_;
    if (ready_.end == &record->next_ready_) {
        ready_.end = chosen;
    }
    record->next_ready_ = ready_.first;
    ready_.first = record;
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
    Fiber* fiber = fibers_->acquire(std::exchange(next_stack_bytes_, limits::fiber_stack_bytes));
    if (fiber != nullptr) {
        fiber->frame = record.leaf_;
        record.context_ = fiber;
    }
    return fiber != nullptr;
}

void Worker::park(TaskRecord& /*record*/) noexcept {
    ZASSERT(false, "what a worker runs leaves its thread while it waits");
}

void Worker::submit(OperationWait& wait) noexcept { queue_->queue(wait.request(), wait); }

void Worker::cancel(OperationWait& wait) noexcept { queue_->queue_cancel(wait); }

void Worker::watch(Duration limit, StallDetector::Report report) {
    detector_ = std::make_unique<StallDetector>(limit, std::move(report), order_ == nullptr);
    if (root_ != nullptr && !simulated_) {
        detector_->enter_thread(*this);
    }
}

std::string Worker::place_of_task(std::uint64_t id) const {
    for (const TaskInfo& task : tasks()) {
        if (task.id == id) {
            return task.where;
        }
    }
    return "its end";
}

// Without recursion: a tree may be deeper than the stack of the fiber that asks.
std::uint64_t Worker::resumes_of_live() const noexcept {
    std::uint64_t resumes = 0;
    for (const TaskRecord* at = root_; at != nullptr;) {
        resumes += at->resumes_;
        if (at->children_ != nullptr) {
            at = at->children_;
            continue;
        }
        while (at != nullptr && at->sibling_next_ == nullptr) {
            at = at->parent_;
        }
        at = at != nullptr ? at->sibling_next_ : nullptr;
    }
    return resumes;
}

WorkerStats Worker::stats() const noexcept {
    return {
        .turns = turns_,
        .enters = queue_->enters(),
        .resumes = resumes_of_ended_ + resumes_of_live(),
        .stalls = detector_ ? detector_->stalls() : 0,
        .tasks = task_count(),
        .timers = timers_.count(),
        .in_flight = queue_->in_flight(),
        .jobs = order_ ? order_->total() : JobStats(),
        .refused = order_ ? order_->refused() : 0,
        .busy = cycles().duration(busy_cycles_ + CycleClock::now() - busy_since_),
        .frames = frame_pool_stats(),
        .fibers = fibers_ ? fibers_->stats() : FiberPoolStats{},
    };
}

std::vector<StackMark> Worker::stack_marks() const {
    return fibers_ ? fibers_->marks() : std::vector<StackMark>();
}

OffloadPool& Worker::offload_pool() {
    if (!offload_pool_) {
        offload_pool_ = std::make_unique<OffloadPool>();
    }
    return *offload_pool_;
}

ComputePool& Worker::compute_pool() {
    return compute_pool_ != nullptr ? *compute_pool_ : ComputePool::shared();
}

CycleClock::Cycles Worker::cycles_of_current() const noexcept {
    return TaskRecord::current_->run_cycles_ + (CycleClock::now() - stretch_began_);
}

void Worker::describe(const TaskRecord& record, TaskInfo& info) const {
    const TaskOrder::Entry* entry = order_ ? order_->find(record) : nullptr;
    if (entry != nullptr) {
        info.priority = entry->asked.priority;
        info.misses = entry->stats.misses;
        if (info.misses != 0) {
            info.state += std::format(", late: {}", info.misses);
        }
    }
}

// The ready list is kept in order: tasks that asked for something by urgency, then all others by
// arrival. What has been made ready since the last call is behind that.
void Worker::bring_most_urgent_first() noexcept {
    ready_.terminate();
    TaskRecord* arrived = std::exchange(*unordered_, nullptr);
    ready_.end = unordered_;
    while (arrived != nullptr) {
        TaskRecord& record = *arrived;
        arrived = record.next_ready_;
        TaskRecord** place = ready_.end;
        if (const TaskOrder::Entry* entry = order_->find(record)) {
            place = &ready_.first;
            while (*place != nullptr && !TaskOrder::is_before(entry, order_->find(**place))) {
                place = &(*place)->next_ready_;
            }
        }
        record.next_ready_ = *place;
        *place = &record;
        if (record.next_ready_ == nullptr) {
            ready_.end = &record.next_ready_;
        }
    }
    // The first is taken out next, and its link with it.
    const bool is_last = ready_.first == nullptr || ready_.first->next_ready_ == nullptr;
    unordered_ = is_last ? &ready_.first : ready_.end;
}

} // namespace zsync
