// ThreadExecutor: a thread for each task.
#pragma once

#include <zsync/core/executor.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/pool_thread.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/syscalls.hpp>

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <vector>

namespace zsync {

/// Runs each task on a thread of its own, which blocks while the task waits: for programs that
/// compute, or call what blocks. Threads are kept for the next task and end with the executor. With
/// `threads_max` at work, `async` runs its task at once on the caller's thread and `concurrent`
/// gives `concurrency_unavailable`.
///
///     auto threads = ZTRY(ThreadExecutor::create());
///     threads->io().run("main", program, threads->io());
class ThreadExecutor final : public Executor {
public:
    /// `threads_max` counts the threads beside the one that calls `run`. Fails where no descriptor
    /// is left.
    static Outcome<std::unique_ptr<ThreadExecutor>>
    create(std::uint32_t threads_max = limits::task_threads_max);
    ~ThreadExecutor() override;

    [[nodiscard]] Io io() noexcept { return {*this, TaskKind::thread}; }
    /// Threads that have been started.
    [[nodiscard]] std::uint32_t thread_count() const noexcept;
    [[nodiscard]] std::vector<RuntimeFeature> features() const override;

    /// \name For the runtime's own parts
    /// \{
    [[nodiscard]] bool start(TaskRecord& record, Concurrency concurrency) noexcept override;
    void run_root(TaskRecord& root) noexcept override;
    void submit(OperationWait& wait) noexcept override;
    void cancel(OperationWait& wait) noexcept override;
    void park(TaskRecord& record) noexcept override;
    void unpark(TaskRecord& record) noexcept override;
    void add_timer(TimedSuspension& timer, TimePoint deadline) noexcept override;
    void remove_timer(TimedSuspension& timer) noexcept override;
    /// \}

private:
    /// Where a thread waits. All but the interrupt under the runtime lock.
    struct Place : StackContext {
        std::condition_variable_any woken;
        Interrupt interrupt;
        Timer* timer = nullptr; ///< of the wait that the thread is in
    };
    struct Member;

    explicit ThreadExecutor(std::uint32_t threads_max) noexcept;
    void end_threads() noexcept;
    void serve(Member& member) noexcept;
    [[nodiscard]] TaskRecord* next_task(Member& member) noexcept;
    [[nodiscard]] bool add_member(TaskRecord& record) noexcept;
    static Place& place_of(TaskRecord& record) noexcept;

    HomeProcess home_;
    RuntimeLock::Threaded threaded_;
    std::uint32_t threads_max_;
    std::uint32_t threads_ = 0; ///< started, or about to be
    bool stopping_ = false;
    Place root_place_;
    std::vector<std::unique_ptr<Member>> members_;
};

} // namespace zsync
