// Barrier: a place where a number of tasks meet, again and again.
#pragma once

#include <zsync/core/wait_queue.hpp>

#include <cstdint>
#include <string_view>

namespace zsync {

/// A place where `parties` tasks meet: none goes on before the last has arrived. Then it is ready
/// for the next round.
class Barrier {
public:
    explicit Barrier(std::uint32_t parties) noexcept : parties_(parties) {
        ZASSERT(parties != 0, "a barrier is for at least one task");
    }

    /// Awaits to `Result<bool>`: true for one task of each round, the last to arrive. A task that
    /// is cancelled or times out has not arrived: the others wait for one more.
    class Arrive final : public QueueWait {
    public:
        explicit Arrive(Barrier& barrier) noexcept : barrier_(barrier) {}
        [[nodiscard]] bool await_ready() noexcept {
            const RuntimeLock lock;
            return try_without_waiting();
        }
        bool suspend(PromiseBase& promise) noexcept {
            return suspend_in(barrier_.waiting_, promise);
        }
        [[nodiscard]] Result<bool> await_resume() const noexcept {
            if (failed()) [[unlikely]] {
                return fail(reason());
            }
            return last_;
        }
        [[nodiscard]] std::string_view kind() const noexcept override { return "barrier"; }

    private:
        bool try_without_waiting() noexcept override {
            if (barrier_.arrived_ + 1 != barrier_.parties_) {
                return false;
            }
            barrier_.arrived_ = 0;
            barrier_.waiting_.wake_all();
            last_ = true;
            return true;
        }
        void entered() noexcept override { ++barrier_.arrived_; }
        void interrupted() noexcept override {
            --barrier_.arrived_;
            wake();
        }

        Barrier& barrier_;
        bool last_ = false;
    };

    [[nodiscard]] Arrive arrive() noexcept { return Arrive(*this); }
    /// Tasks that wait for the others.
    [[nodiscard]] std::uint32_t arrived() const noexcept {
        const RuntimeLock lock;
        return arrived_;
    }

private:
    WaitQueue waiting_;
    std::uint32_t parties_;
    std::uint32_t arrived_ = 0;
};

} // namespace zsync
