#include <zsync/core/assert.hpp>
#include <zsync/core/real_time_task.hpp>
#include <zsync/core/worker.hpp>

namespace zsync {

Outcome<RealTimeTask> RealTimeTask::enter(Io io, const Urgency& urgency) {
    TaskRecord* task = TaskRecord::current();
    ZASSERT(task != nullptr && &task->executor() == &io.executor(), "a task enters for itself");
    auto* worker = io.kind() == TaskKind::thread ? nullptr : static_cast<Worker*>(&io.executor());
    TaskOrder* order = worker != nullptr ? worker->task_order() : nullptr;
    if (order == nullptr) {
        return fail(
            CoreError::unsupported,
            "tasks run in order of arrival here: a real-time task needs a worker with "
            "RunOrder::urgency"
        );
    }
    TaskOrder::Entry& entry = *ZTRY(order->admit(*task, urgency));
    entry.release = worker->now();
    entry.due = entry.release + entry.asked.deadline;
    entry.cycles_at_release = worker->cycles_of_current();
    return RealTimeTask(*worker, entry);
}

RealTimeTask::~RealTimeTask() {
    if (entry_ == nullptr) {
        return;
    }
    if (entry_->asked.priority == 0) {
        end_job(worker_->now());
    }
    worker_->task_order()->leave(*entry_);
}

void RealTimeTask::count_miss() noexcept {
    ++entry_->stats.misses;
    ++worker_->task_order()->total().misses;
}

void RealTimeTask::end_job(TimePoint now) noexcept {
    JobStats& total = worker_->task_order()->total();
    ++entry_->stats.jobs;
    ++total.jobs;
    if (entry_->asked.priority != 0) {
        return;
    }
    if (now > entry_->due) {
        count_miss();
    }
    const std::uint64_t cycles = worker_->cycles_of_current();
    const auto used = worker_->cycles().duration(cycles - entry_->cycles_at_release);
    entry_->cycles_at_release = cycles;
    if (used > entry_->asked.budget) {
        ++entry_->stats.overruns;
        ++total.overruns;
    }
}

SleepWait RealTimeTask::next_period() noexcept {
    const TimePoint now = worker_->now();
    const Duration period = entry_->asked.period;
    ZASSERT(period != Duration(), "a task without a period has one job");
    end_job(now);
    entry_->release += period;
    entry_->due += period;
    while (now > entry_->due) {
        count_miss();
        entry_->release += period;
        entry_->due += period;
    }
    return SleepWait(entry_->release);
}

} // namespace zsync
