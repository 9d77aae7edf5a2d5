// Executor: what runs tasks and carries out their operations.
#pragma once

#include <zsync/core/cycle_clock.hpp>
#include <zsync/core/ledger.hpp>
#include <zsync/core/operation_request.hpp>
#include <zsync/core/result.hpp>
#include <zsync/core/task_record.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace zsync {

class OperationWait;

/// Tasks that are ready, in the order in which they run: a list through their records.
struct ReadyTasks {         // NOLINT(*-member-init): as below
    ReadyTasks() = default; // NOLINT(*-member-init): `first`, while empty
    ReadyTasks(const ReadyTasks&) = delete;
    ReadyTasks& operator=(const ReadyTasks&) = delete;
    ~ReadyTasks() = default;

    [[nodiscard]] bool empty() const noexcept { return end == &first; }
    /// For who goes through all of it: the last link holds nothing else.
    void terminate() noexcept { *end = nullptr; }

    TaskRecord* first;         ///< unless it is empty
    TaskRecord** end = &first; ///< where the next task goes: the last one's link
};

/// One optional or required feature, and whether it is there.
struct RuntimeFeature {
    std::string name;
    bool available = false;
    std::string detail; ///< what it is used for, or why it is missing
};

/// How much a start asks for.
enum class Concurrency : std::uint8_t {
    allowed,  ///< the task may run to its end before `start` returns
    required, ///< the starter goes on while the task runs, or `start` fails
};

/// What is behind an `Io`. `Worker` runs coroutines and fibers on a ring; `ThreadExecutor` gives
/// each task a thread; `BlockingExecutor` runs one after the other on the caller's thread.
class Executor {
public:
    Executor() noexcept;
    Executor(const Executor&) = delete;
    Executor& operator=(const Executor&) = delete;
    virtual ~Executor();

    /// Gives a new task what it runs on and lets it begin. False when concurrency is required and
    /// cannot be had; the task has not begun then.
    [[nodiscard]] virtual bool start(TaskRecord& record, Concurrency concurrency) noexcept = 0;
    /// As `start`, and where nothing can run beside the caller, runs the task here to its end.
    void start_anyhow(TaskRecord& record) noexcept {
        if (record.resumption_ == Resumption::of_coroutine) [[likely]] {
            make_ready(record);
        } else if (!start(record, Concurrency::allowed)) {
            run_inline(record);
        }
    }
    /// Begins an operation of a coroutine or fiber; `wait.complete` follows. Tasks on threads:
    /// carries it out and completes it.
    virtual void submit(OperationWait& wait) noexcept = 0;
    /// The errno that an operation fails with here without being tried; 0 for none.
    [[nodiscard]] virtual int refusal(const OperationRequest& /*request*/) const noexcept {
        return 0;
    }
    /// Asks for the end of an operation that was submitted.
    virtual void cancel(OperationWait& wait) noexcept = 0;
    /// Waits on the task's own thread until it has been woken.
    virtual void park(TaskRecord& record) noexcept = 0;
    /// The task, which has a thread of its own, has been woken: it is to run.
    virtual void unpark(TaskRecord& record) noexcept = 0;
    /// A worker's task is to run in its turn.
    void make_ready(TaskRecord& record) noexcept {
        record.state_ = TaskState::ready;
        *ready_.end = &record;
        ready_.end = &record.next_ready_;
    }
    virtual void add_timer(TimedSuspension& timer, TimePoint deadline) noexcept = 0;
    virtual void remove_timer(TimedSuspension& timer) noexcept = 0;
    /// The time by this executor's clock: CLOCK_MONOTONIC, or a simulation's own.
    [[nodiscard]] virtual TimePoint now() const noexcept { return Clock::now(); }
    /// The time to within one turn of the executor: for ages that people read.
    [[nodiscard]] TimePoint recent_time() noexcept {
        return time_is_recent_ ? recent_time_ : look_at_clock();
    }

    /// Runs the executor's first task, and with it everything else, on this thread to its end.
    virtual void run_root(TaskRecord& root) noexcept = 0;

    /// Scales what tasks have run.
    [[nodiscard]] const CycleClock& cycles() const noexcept { return cycles_; }
    /// Every live task, parents before children.
    [[nodiscard]] std::vector<TaskInfo> tasks() const;
    [[nodiscard]] std::uint64_t task_count() const noexcept;
    [[nodiscard]] virtual std::vector<RuntimeFeature> features() const = 0;
    [[nodiscard]] const Ledger::Account& account() const noexcept { return account_; }

protected:
    /// Reads the clock; one that has turns keeps it in `recent_time_` until the next of them.
    [[nodiscard]] virtual TimePoint look_at_clock() noexcept { return now(); }
    /// Adds what only the executor knows of a task.
    virtual void describe(const TaskRecord& /*record*/, TaskInfo& /*info*/) const {}
    /// Before it is taken apart: tells what its tasks have left.
    // NOLINTNEXTLINE(bugprone-exception-escape): without memory the process ends
    void settle(std::string_view kind, const std::vector<std::string>& requests = {}) noexcept {
        Ledger::settle(*this, kind, requests);
    }
    /// Runs a new task on the stack of the current one.
    static void run_inline(TaskRecord& record) noexcept;
    /// \name For tasks on threads; under the runtime lock, but for `run_on`
    /// \{
    /// Runs a new task, the first on this stack, until its root coroutine has ended.
    static void run_on(TaskRecord& record, StackContext& context) noexcept;
    [[nodiscard]] static bool is_waiting(const TaskRecord& record) noexcept;
    /// Its wait is over and it has the processor.
    static void goes_on(TaskRecord& record) noexcept;
    static void interrupt(TaskRecord& record, CoreError reason) noexcept;
    /// \}

    friend class TaskRecord;
    friend class Ledger;
    friend struct DebugLayout;
    CycleClock cycles_;
    ReadyTasks ready_; ///< a worker's
    /// How tasks of each kind are resumed: these, where they run in order of arrival.
    std::array<Resumption, task_kind_count> resumptions_ = {
        Resumption::of_coroutine, Resumption::of_fiber, Resumption::otherwise
    };
    bool time_is_recent_ = false;
    TimePoint recent_time_;
    TaskRecord* root_ = nullptr;
    Ledger::Account account_;
    Executor* next_executor_ = nullptr; ///< of the process, for debuggers
    std::uint64_t last_task_id_ = 0;
    std::uint64_t ended_tasks_ = 0;
};

inline void Suspension::wake() noexcept {
    TaskRecord& record = task();
    record.suspension_ = nullptr;
    if (record.kind_ != TaskKind::thread) [[likely]] {
        record.executor_->make_ready(record);
    } else {
        wake_thread(record);
    }
}

} // namespace zsync
