#include <zsync/core/assert.hpp>
#include <zsync/core/blocking_executor.hpp>
#include <zsync/core/operation.hpp>
#include <zsync/core/syscalls.hpp>

#include <thread>

namespace zsync {

BlockingExecutor::~BlockingExecutor() {
    settle("blocking executor");
    ZASSERT(task_count() == 0, "an executor ends with live tasks");
}

void BlockingExecutor::run_root(TaskRecord& root) noexcept {
    ZASSERT(
        TaskRecord::current() == nullptr && task_count() == 1,
        "an executor runs one root task at a time"
    );
    run_on(root, context_);
    ZASSERT(task_count() == 0, "every task has ended inside the one that started it");
}

bool BlockingExecutor::start(TaskRecord& /*record*/, Concurrency /*concurrency*/) noexcept {
    return false;
}

void BlockingExecutor::submit(OperationWait& wait) noexcept {
    const auto deadline = wait.has_deadline() ? std::optional(wait.due) : std::nullopt;
    wait.end_here(carry_out(wait.request(), deadline, nullptr));
}

// While an operation blocks the only thread nobody is left to cancel it.
void BlockingExecutor::cancel(OperationWait& /*wait*/) noexcept {}

void BlockingExecutor::park(TaskRecord& record) noexcept {
    while (is_waiting(record)) {
        if (timer_ != nullptr) {
            wait_for(static_cast<TimedSuspension&>(*timer_));
            continue;
        }
        interrupt(record, CoreError::deadlock);
        ZASSERT(
            !is_waiting(record) || timer_ != nullptr,
            "a task waits for one that is waiting for it, and nothing else runs"
        );
    }
    goes_on(record);
}

void BlockingExecutor::wait_for(TimedSuspension& timer) noexcept {
    std::this_thread::sleep_until(timer.due);
    remove_timer(timer);
    timer.expired();
}

void BlockingExecutor::unpark(TaskRecord& /*record*/) noexcept {}

void BlockingExecutor::add_timer(TimedSuspension& timer, TimePoint deadline) noexcept {
    timer.due = deadline;
    timer.link = &timer_;
    timer_ = &timer;
}

void BlockingExecutor::remove_timer(TimedSuspension& timer) noexcept {
    *timer.link = nullptr;
    timer.link = nullptr;
}

std::vector<RuntimeFeature> BlockingExecutor::features() const {
    return {
        {.name = "concurrency",
         .available = false,
         .detail = "one task after the other on the caller's thread"}
    };
}

} // namespace zsync
