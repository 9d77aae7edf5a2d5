// ComputePool: the threads that compute, one a processor.
#pragma once

#include <zsync/core/call_pool.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/pool_thread.hpp>
#include <zsync/core/result.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <type_traits>
#include <utility>
#include <vector>

namespace zsync {

/// What a pool has done since it was made.
struct ComputePoolStats {
    std::uint32_t threads = 0; ///< started so far
    std::uint64_t calls = 0;   ///< from tasks
    std::uint64_t forks = 0;   ///< by those calls
    std::uint64_t steals = 0;  ///< forks that another thread took
};

/// Half of a `fork_join` that another thread may take. Lies on the stack of who waits for it.
class Fork {
public:
    virtual void run() noexcept = 0;

protected:
    ~Fork() = default;

private:
    friend class ComputePool;
    enum class State : std::uint8_t { running, awaited, done };
    std::atomic<State> state_{State::running};
};

/// Threads for what keeps a processor busy: `io.compute`. All workers of a process share one pool.
/// Calls are begun in the order in which they come; what a call forks goes to a deque of its
/// thread, from which idle threads steal. A call must not wait: it would keep a processor from the
/// others.
class ComputePool final : public CallPool {
public:
    /// At most `threads_max` threads, started when first needed.
    explicit ComputePool(std::uint32_t threads_max);
    ComputePool(const ComputePool&) = delete;
    ComputePool& operator=(const ComputePool&) = delete;
    /// No call is waiting or running.
    ~ComputePool();

    /// The process's own: a thread for each processor that it may use (`usable_processors`: its
    /// affinity and its cgroup's `cpu.max`), at most `limits::compute_threads_max`. Ends with the
    /// process; a forked child gets one of its own.
    static ComputePool& shared();

    /// False when `limits::compute_queue_max` calls are waiting already.
    [[nodiscard]] bool submit(PooledCall& call) override;
    [[nodiscard]] bool withdraw(PooledCall& call) noexcept override;
    [[nodiscard]] ComputePoolStats stats() const noexcept;

    /// \name For `fork_join`
    /// \{
    /// Whether this thread is one of a pool's.
    [[nodiscard]] static bool is_here() noexcept;
    /// Offers a fork to the other threads. False when there is no room for more.
    [[nodiscard]] static bool offer(Fork& fork) noexcept;
    /// Runs it, or waits until who took it has; helps others meanwhile.
    static void finish(Fork& fork) noexcept;
    /// \}

private:
    class Member;

    void serve(Member& member) noexcept;
    bool add_thread() noexcept;
    [[nodiscard]] Fork* steal(const Member& thief) noexcept;
    [[nodiscard]] bool has_forks() const noexcept;
    void run_stolen(Member& member, Fork& fork) noexcept;
    void wait_for(Fork& fork) noexcept;
    void wake_for_fork() noexcept;

    mutable std::mutex mutex_;
    HomeProcess home_;
    PoolCondition available_;   ///< for threads that have nothing to do
    PoolCondition joined_;      ///< for those that wait for a fork, and help
    std::uint32_t resting_ = 0; ///< threads in `available_`
    CallQueue waiting_{limits::compute_queue_max};
    bool stopping_ = false;
    /// Threads that wait in either, or are about to look a last time.
    std::atomic<std::uint32_t> idle_{0};
    std::atomic<std::uint32_t> started_{0}; ///< members below it are there
    std::vector<std::unique_ptr<Member>> members_;
    std::uint64_t calls_ = 0;
};

/// Calls both, at the same time where a thread is free, and waits for both. In a call of
/// `io.compute` the second is offered to the other threads of the pool; elsewhere the two run one
/// after the other. Allocates nothing.
template <class F, class G> void fork_join(F&& first, G&& second) noexcept {
    class Second final : public Fork {
    public:
        explicit Second(G& call) noexcept : call_(call) {}
        void run() noexcept override { call_(); }

    private:
        G& call_;
    };
    Second fork(second);
    if (!ComputePool::is_here() || !ComputePool::offer(fork)) {
        first();
        second();
        return;
    }
    first();
    ComputePool::finish(fork);
}

/// Calls `body(from, to)` for parts of [from, to) of at most `grain` each, on as many threads of
/// the pool as are free. To be called in a call of `io.compute`; elsewhere it is a plain loop.
///
///     co_await io.compute([&] {
///         parallel_for(0, blocks.size(), 16, [&](std::size_t from, std::size_t to) { ... });
///     });
template <class Body>
void parallel_for(std::size_t from, std::size_t to, std::size_t grain, const Body& body) noexcept {
    if (from >= to) {
        return;
    }
    const std::size_t part = grain == 0 ? 1 : grain;
    if (to - from <= part) {
        body(from, to);
        return;
    }
    // At a multiple of the grain, so that there are no more parts than needed.
    const std::size_t parts = (to - from + part - 1) / part;
    const std::size_t middle = from + (parts + 1) / 2 * part;
    fork_join(
        [&] { parallel_for(from, middle, grain, body); },
        [&] { parallel_for(middle, to, grain, body); }
    );
}

} // namespace zsync
