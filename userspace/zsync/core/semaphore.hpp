// Semaphore: a number of permits, handed out in order.
#pragma once

#include <zsync/core/wait_queue.hpp>

#include <cstdint>
#include <string_view>
#include <utility>

namespace zsync {

/// A number of permits. Whoever waits is served in order of arrival: a task that wants many is not
/// overtaken by others that want few.
///
///     Semaphore connections(100);
///     ZCO_TRY(auto permit, co_await connections.acquire());
class Semaphore {
public:
    explicit Semaphore(std::uint64_t permits) noexcept : available_(permits) {}

    /// Gives its permits back at the end of its life.
    class [[nodiscard]] Permits {
    public:
        Permits(Permits&& other) noexcept
            : semaphore_(std::exchange(other.semaphore_, nullptr)),
              count_(std::exchange(other.count_, 0)) {}
        Permits& operator=(Permits&& other) noexcept {
            Permits old(std::move(*this));
            semaphore_ = std::exchange(other.semaphore_, nullptr);
            count_ = std::exchange(other.count_, 0);
            return *this;
        }
        Permits(const Permits&) = delete;
        Permits& operator=(const Permits&) = delete;
        ~Permits() { give_back(); }

        /// Gives the permits back before the end of its life.
        void give_back() noexcept {
            if (const std::uint64_t count = forget(); count != 0) {
                semaphore_->release(count);
            }
        }
        /// Keeps the permits out of the semaphore; `release` brings them back. Returns how many.
        std::uint64_t forget() noexcept { return std::exchange(count_, 0); }
        [[nodiscard]] std::uint64_t count() const noexcept { return count_; }

    private:
        friend class Semaphore;
        Permits(Semaphore& semaphore, std::uint64_t count) noexcept
            : semaphore_(&semaphore), count_(count) {}

        Semaphore* semaphore_;
        std::uint64_t count_;
    };

    /// Awaits to `Result<Permits>`: all that were asked for, or an error and none.
    class Acquire final : public QueueWait {
    public:
        Acquire(Semaphore& semaphore, std::uint64_t count) noexcept
            : semaphore_(semaphore), count_(count) {}
        [[nodiscard]] bool await_ready() const noexcept {
            const RuntimeLock lock;
            return semaphore_.take_in_turn(count_);
        }
        bool suspend(PromiseBase& promise) noexcept {
            return suspend_in(semaphore_.waiting_, promise);
        }
        [[nodiscard]] Result<Permits> await_resume() const noexcept {
            if (failed()) [[unlikely]] {
                return fail(reason());
            }
            return Permits(semaphore_, count_);
        }
        [[nodiscard]] std::string_view kind() const noexcept override { return "semaphore"; }

    private:
        friend class Semaphore;
        bool try_without_waiting() noexcept override { return semaphore_.take_in_turn(count_); }
        // Others may want less than the one that gave up.
        void interrupted() noexcept override {
            wake();
            semaphore_.serve();
        }

        Semaphore& semaphore_;
        std::uint64_t count_;
    };

    /// Waits for `count` permits at once.
    [[nodiscard]] Acquire acquire(std::uint64_t count = 1) noexcept { return {*this, count}; }
    /// Never waits: no permits when there are not enough, or others wait.
    [[nodiscard]] Permits try_acquire(std::uint64_t count = 1) noexcept {
        const RuntimeLock lock;
        return {*this, take_in_turn(count) ? count : 0};
    }
    /// Adds permits: those that were forgotten, or new ones.
    void release(std::uint64_t count = 1) noexcept {
        const RuntimeLock lock;
        available_ += count;
        serve();
    }
    [[nodiscard]] std::uint64_t available() const noexcept {
        const RuntimeLock lock;
        return available_;
    }

private:
    [[nodiscard]] bool take_in_turn(std::uint64_t count) noexcept {
        return waiting_.empty() && take(count);
    }
    [[nodiscard]] bool take(std::uint64_t count) noexcept {
        if (available_ < count) {
            return false;
        }
        available_ -= count;
        return true;
    }
    void serve() noexcept {
        while (auto* first = static_cast<Acquire*>(waiting_.front())) {
            if (!take(first->count_)) {
                return;
            }
            waiting_.wake(*first);
        }
    }

    WaitQueue waiting_;
    std::uint64_t available_;
};

} // namespace zsync
