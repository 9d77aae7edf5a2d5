// WaitGroup: waiting for a number of things to be done.
#pragma once

#include <zsync/core/wait_queue.hpp>

#include <cstdint>
#include <string_view>

namespace zsync {

/// Counts what is still to be done, and lets tasks wait until nothing is. It joins nobody: tasks
/// belong to a `Scope`, a `JoinSet` or a `Future`.
class WaitGroup {
public:
    /// Awaits to `Result<void>`. Whoever waited when the count came to 0 has seen it.
    class Wait final : public QueueWait {
    public:
        explicit Wait(WaitGroup& group) noexcept : group_(group) {}
        [[nodiscard]] bool await_ready() const noexcept { return group_.count() == 0; }
        bool suspend(PromiseBase& promise) noexcept { return suspend_in(group_.waiting_, promise); }
        [[nodiscard]] Result<void> await_resume() const noexcept { return outcome(); }
        [[nodiscard]] std::string_view kind() const noexcept override { return "wait group"; }

    private:
        bool try_without_waiting() noexcept override { return group_.count_ == 0; }

        WaitGroup& group_;
    };

    void add(std::uint64_t count = 1) noexcept {
        const RuntimeLock lock;
        count_ += count;
    }
    void done() noexcept {
        const RuntimeLock lock;
        ZASSERT(count_ != 0, "more was done in a wait group than was added");
        if (--count_ == 0) {
            waiting_.wake_all();
        }
    }
    [[nodiscard]] Wait wait() noexcept { return Wait(*this); }
    [[nodiscard]] std::uint64_t count() const noexcept {
        const RuntimeLock lock;
        return count_;
    }

private:
    WaitQueue waiting_;
    std::uint64_t count_ = 0;
};

} // namespace zsync
