// WorkerGroup: several workers in one process.
#pragma once

#include <zsync/core/pool_thread.hpp>
#include <zsync/core/scheduling.hpp>
#include <zsync/core/worker_address.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace zsync {

/// How one worker of a group is made.
struct WorkerOptions {
    std::string name = "zsync-worker"; ///< of its thread; at most 15 characters
    /// The processor that it stays on; any by default.
    std::optional<unsigned> cpu = {};
    /// Under a real-time policy it runs its tasks by urgency. Workers of all policies live side by
    /// side in a group.
    Scheduling scheduling = {};
    /// How long it looks for something to do before it sleeps (`Worker::busy_poll`).
    Duration busy_poll{};
};

/// Threads with a worker each. Every one has its own ring, tasks and memory; they share nothing,
/// and ask each other by address:
///
///     auto workers = ZTRY(WorkerGroup::create(4));
///     Result<Page> page = co_await (*workers)[2].call("render", render, address);
///
/// Stopping ends each worker's root task, which cancels what others have started there and waits
/// for it; callers get what came of it.
class WorkerGroup {
public:
    /// `count` workers with default options.
    static Outcome<std::unique_ptr<WorkerGroup>> create(std::size_t count);
    /// All of them, or an error that says which one could not be had and why; then none is left.
    static Outcome<std::unique_ptr<WorkerGroup>> create(std::vector<WorkerOptions> options);
    WorkerGroup(const WorkerGroup&) = delete;
    WorkerGroup& operator=(const WorkerGroup&) = delete;
    /// Stops.
    ~WorkerGroup();

    [[nodiscard]] std::size_t size() const noexcept { return members_.size(); }
    /// The worker of this number, below `size()`.
    [[nodiscard]] const WorkerAddress& operator[](std::size_t number) const noexcept;

    /// Cancels what runs there and waits, blocking this thread, until every worker has ended. What
    /// is asked of them afterwards gives `closed`. May be called again.
    void stop() noexcept;

private:
    class Member;
    WorkerGroup();

    HomeProcess home_;
    std::vector<std::unique_ptr<Member>> members_;
};

} // namespace zsync
