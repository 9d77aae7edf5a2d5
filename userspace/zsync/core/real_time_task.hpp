// RealTimeTask: a task's priority or deadline, while it lasts.
#pragma once

#include <zsync/core/io.hpp>
#include <zsync/core/task_order.hpp>

#include <memory>

namespace zsync {

class Worker;

/// Makes the current task a real-time task of its worker, which orders its tasks by urgency
/// (`RunOrder::urgency`, as workers of a group with a real-time policy do). It is run before tasks
/// that did not ask, at its next wait and at every later one; nothing interrupts a task between
/// waits, so what shares its worker must wait often.
///
///     Task<Outcome<void>> control(Io io) {
///         ZCO_TRY(RealTimeTask job, RealTimeTask::enter(io, {.period = 1ms, .budget = 200us}));
///         for (;;) {
///             step();
///             ZCO_CHECK(co_await job.next_period());
///         }
///     }
///
/// A deadline is a promise in both directions: the worker takes no more than it can keep, and a job
/// that ends late is counted, and so is each one whose time passes meanwhile.
class RealTimeTask {
public:
    /// The current task's first job is released now. Refused with `invalid_argument`,
    /// `limit_reached` (no place, or more than the worker has to promise) or `unsupported` (a
    /// worker that runs tasks in order of arrival), each in words.
    static Outcome<RealTimeTask> enter(Io io, const Urgency& urgency);

    RealTimeTask(RealTimeTask&& other) noexcept
        : worker_(other.worker_), entry_(std::exchange(other.entry_, nullptr)) {}
    RealTimeTask& operator=(RealTimeTask&&) = delete;
    RealTimeTask(const RealTimeTask&) = delete;
    RealTimeTask& operator=(const RealTimeTask&) = delete;
    /// The job, if it has a deadline, is over; the task goes on as any other.
    ~RealTimeTask();

    /// Ends the job and waits for the next release, which is a period after the last, and not after
    /// this call. Jobs whose deadline has passed by now are counted as missed and left out. To be
    /// awaited; a cancelled wait leaves the next job released.
    [[nodiscard]] SleepWait next_period() noexcept;

    [[nodiscard]] JobStats stats() const noexcept { return entry_->stats; }
    /// When the current job has to be done.
    [[nodiscard]] TimePoint due() const noexcept { return entry_->due; }

private:
    RealTimeTask(Worker& worker, TaskOrder::Entry& entry) noexcept
        : worker_(&worker), entry_(&entry) {}
    void end_job(TimePoint now) noexcept;
    void count_miss() noexcept;

    Worker* worker_;
    TaskOrder::Entry* entry_;
};

} // namespace zsync
