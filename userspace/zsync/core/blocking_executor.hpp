// BlockingExecutor: one thing after the other, on the caller's thread.
#pragma once

#include <zsync/core/executor.hpp>
#include <zsync/core/io.hpp>

#include <vector>

namespace zsync {

/// Runs every task to its end inside `async`, with plain system calls, on the caller's thread: for
/// small tools and for tests, with no thread, ring or descriptor of its own. `concurrent` always
/// gives `concurrency_unavailable`. A wait that nothing could ever end, since nothing else runs,
/// gives `deadlock`.
class BlockingExecutor : public Executor {
public:
    BlockingExecutor() = default;
    ~BlockingExecutor() override;

    [[nodiscard]] Io io() noexcept { return {*this, TaskKind::thread}; }
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

protected:
    /// Ends a wait whose time is set.
    virtual void wait_for(TimedSuspension& timer) noexcept;

private:
    StackContext context_;
    Timer* timer_ = nullptr; ///< of the wait that the task is in
};

} // namespace zsync
