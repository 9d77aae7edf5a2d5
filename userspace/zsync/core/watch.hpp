// Watch: the latest value of something.
#pragma once

#include <zsync/core/wait_queue.hpp>

#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>

namespace zsync {

/// The latest value of something. Receivers learn that it changed, not how often: those that are
/// slow see the last value only.
template <class T> class Watch {
public:
    explicit Watch(T value) : value_(std::move(value)) {}
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch() { ZASSERT(receivers_ == 0, "a watch ends before its receivers"); }

    /// One task's view. Must end before the watch.
    class Receiver {
    public:
        Receiver(Receiver&& other) noexcept
            : watch_(std::exchange(other.watch_, nullptr)), seen_(other.seen_) {}
        Receiver(const Receiver&) = delete;
        Receiver& operator=(const Receiver&) = delete;
        Receiver& operator=(Receiver&&) = delete;
        ~Receiver() {
            if (watch_ != nullptr) {
                const RuntimeLock lock;
                --watch_->receivers_;
            }
        }

        /// Awaits to `Result<void>`: there is a value that `value` has not given to this receiver.
        /// `closed` when there is none and none will come.
        class Changed final : public QueueWait {
        public:
            explicit Changed(Receiver& receiver) noexcept : receiver_(receiver) {}
            [[nodiscard]] bool await_ready() const noexcept {
                const RuntimeLock lock;
                return is_over();
            }
            bool suspend(PromiseBase& promise) noexcept {
                return suspend_in(receiver_.watch_->waiting_, promise);
            }
            [[nodiscard]] Result<void> await_resume() const noexcept {
                if (failed() || receiver_.has_changed()) {
                    return outcome();
                }
                return fail(CoreError::closed);
            }
            [[nodiscard]] std::string_view kind() const noexcept override { return "watch"; }

        private:
            [[nodiscard]] bool is_over() const noexcept {
                const Watch& watch = *receiver_.watch_;
                return receiver_.seen_ != watch.version_ || watch.closed_;
            }
            bool try_without_waiting() noexcept override { return is_over(); }

            Receiver& receiver_;
        };

        [[nodiscard]] Changed changed() noexcept { return Changed(*this); }
        [[nodiscard]] bool has_changed() const noexcept {
            const RuntimeLock lock;
            return seen_ != watch_->version_;
        }
        /// A copy of the latest value, which is seen with that.
        [[nodiscard]] T value() {
            const RuntimeLock lock;
            seen_ = watch_->version_;
            return watch_->value_;
        }

    private:
        friend class Watch;
        explicit Receiver(Watch& watch) noexcept : watch_(&watch), seen_(watch.version_) {
            ++watch.receivers_;
        }
        Watch* watch_;
        std::uint64_t seen_;
    };

    /// Has seen the present value.
    [[nodiscard]] Receiver subscribe() noexcept {
        const RuntimeLock lock;
        return Receiver(*this);
    }
    void set(T value) {
        const RuntimeLock lock;
        value_ = std::move(value);
        tell();
    }
    /// Changes the value in place: `change(T&)`.
    template <std::invocable<T&> F> void update(F change) {
        const RuntimeLock lock;
        std::invoke(change, value_);
        tell();
    }
    [[nodiscard]] T value() const {
        const RuntimeLock lock;
        return value_;
    }
    /// No change will come any more.
    void close() noexcept {
        const RuntimeLock lock;
        closed_ = true;
        waiting_.wake_all();
    }

private:
    void tell() noexcept {
        ++version_;
        waiting_.wake_all();
    }

    T value_;
    std::uint64_t version_ = 0;
    WaitQueue waiting_;
    std::uint32_t receivers_ = 0;
    bool closed_ = false;
};

} // namespace zsync
