// Broadcast: every receiver gets every value.
#pragma once

#include <zsync/core/limits.hpp>
#include <zsync/core/wait_queue.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace zsync {

/// Every receiver gets a copy of every value sent after it subscribed. Sending never waits: the
/// last `capacity` values are kept, and a receiver that is further behind is told how many it
/// missed. Memory is taken once, when the broadcast is made.
template <class T> class Broadcast {
public:
    explicit Broadcast(std::size_t capacity) : places_(capacity) {
        ZASSERT(
            capacity != 0 && capacity <= limits::channel_capacity_max,
            "a broadcast has at least one place and not more than its limit"
        );
    }
    Broadcast(const Broadcast&) = delete;
    Broadcast& operator=(const Broadcast&) = delete;
    ~Broadcast() { ZASSERT(receivers_ == 0, "a broadcast ends before its receivers"); }

    struct Received {
        T value;
        std::uint64_t missed = 0; ///< values lost between the one received before and this one
    };

    /// One subscription, for one task at a time. Must end before the broadcast.
    class Receiver {
    public:
        Receiver(Receiver&& other) noexcept
            : broadcast_(std::exchange(other.broadcast_, nullptr)), next_(other.next_) {}
        Receiver(const Receiver&) = delete;
        Receiver& operator=(const Receiver&) = delete;
        Receiver& operator=(Receiver&&) = delete;
        ~Receiver() {
            if (broadcast_ != nullptr) {
                const RuntimeLock lock;
                --broadcast_->receivers_;
            }
        }

        /// Awaits to `Result<Received>`: `closed` once the broadcast is closed and all was
        /// received.
        class Receive final : public QueueWait {
        public:
            explicit Receive(Receiver& receiver) noexcept : receiver_(receiver) {}
            [[nodiscard]] bool await_ready() const noexcept {
                const RuntimeLock lock;
                return is_over();
            }
            bool suspend(PromiseBase& promise) noexcept {
                return suspend_in(receiver_.broadcast_->waiting_, promise);
            }
            [[nodiscard]] Result<Received> await_resume() const {
                if (failed()) [[unlikely]] {
                    return fail(reason());
                }
                const RuntimeLock lock;
                return receiver_.take();
            }
            [[nodiscard]] std::string_view kind() const noexcept override { return "broadcast"; }

        private:
            [[nodiscard]] bool is_over() const noexcept {
                const Broadcast& from = *receiver_.broadcast_;
                return receiver_.next_ != from.end_ || from.closed_;
            }
            bool try_without_waiting() noexcept override { return is_over(); }

            Receiver& receiver_;
        };

        [[nodiscard]] Receive receive() noexcept { return Receive(*this); }

    private:
        friend class Broadcast;
        explicit Receiver(Broadcast& broadcast) noexcept
            : broadcast_(&broadcast), next_(broadcast.end_) {
            ++broadcast.receivers_;
        }
        Result<Received> take() {
            const Broadcast& from = *broadcast_;
            if (next_ == from.end_) {
                return fail(CoreError::closed);
            }
            const std::uint64_t kept = std::min<std::uint64_t>(from.end_, from.places_.size());
            const std::uint64_t oldest = from.end_ - kept;
            const std::uint64_t first = std::max(next_, oldest);
            const std::uint64_t missed = first - next_;
            next_ = first + 1;
            return Received{.value = *from.places_[first % from.places_.size()], .missed = missed};
        }

        Broadcast* broadcast_;
        std::uint64_t next_;
    };

    /// Gets what is sent from here on.
    [[nodiscard]] Receiver subscribe() noexcept {
        const RuntimeLock lock;
        return Receiver(*this);
    }
    /// Gives the value to all receivers; returns how many there are. None once closed.
    std::uint32_t send(T value) {
        const RuntimeLock lock;
        if (closed_) {
            return 0;
        }
        places_[end_++ % places_.size()] = std::move(value);
        waiting_.wake_all();
        return receivers_;
    }
    void close() noexcept {
        const RuntimeLock lock;
        closed_ = true;
        waiting_.wake_all();
    }

private:
    std::vector<std::optional<T>> places_;
    std::uint64_t end_ = 0; ///< values sent so far
    WaitQueue waiting_;
    std::uint32_t receivers_ = 0;
    bool closed_ = false;
};

} // namespace zsync
