// Channel: a bounded queue between tasks.
#pragma once

#include <zsync/core/limits.hpp>
#include <zsync/core/wait_queue.hpp>

#include <bit>
#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

namespace zsync {

/// A bounded queue between tasks: any number of senders and receivers, each served in order of
/// arrival. A value goes straight to a receiver that waits; else into one of `capacity` places;
/// else the sender waits. With capacity 0 each sender waits for its receiver. Memory is taken once,
/// when the channel is made.
///
///     Channel<Job> jobs(64);
///     ZCO_CHECK(co_await jobs.send(std::move(job)));      // waits for room
///     ZCO_TRY(Job job, co_await jobs.receive().until(soon)); // waits for a value
///
/// Closing it ends senders with `closed`; receivers get what is in it first.
template <class T> class Channel {
    static_assert(std::is_nothrow_move_constructible_v<T>, "values move between tasks");

public:
    explicit Channel(std::size_t capacity)
        : capacity_(capacity), room_(capacity), mask_(std::bit_ceil(capacity) - 1) {
        ZASSERT(capacity <= limits::channel_capacity_max, "a channel is larger than its limit");
        places_ = std::allocator<T>().allocate(mask_ + 1);
    }
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;
    ~Channel() {
        while (count_ != 0) {
            take_first().~T();
        }
        std::allocator<T>().deallocate(places_, mask_ + 1);
    }

    /// Awaits to `Result<void>`. When that is an error, the value has not been sent.
    class Send final : public QueueWait {
    public:
        Send(Channel& channel, T&& value) noexcept : channel_(channel), value_(std::move(value)) {}
        [[nodiscard]] bool await_ready() noexcept {
            const RuntimeLock lock;
            return try_without_waiting();
        }
        bool suspend(PromiseBase& promise) noexcept {
            return suspend_in(channel_.senders_, promise);
        }
        [[nodiscard]] Result<void> await_resume() const noexcept { return outcome(); }
        [[nodiscard]] std::string_view kind() const noexcept override { return "channel room"; }
        /// The value that could not be sent. After the wait.
        ///
        ///     auto sending = channel.send(std::move(buffer));
        ///     if (!co_await sending) { buffer = sending.take_back(); }
        [[nodiscard]] T take_back() noexcept { return std::move(value_); }

    private:
        friend class Channel;
        bool try_without_waiting() noexcept override {
            if (channel_.put(value_)) [[likely]] {
                return true;
            }
            if (channel_.closed_) {
                refuse(CoreError::closed);
                return true;
            }
            return false;
        }

        Channel& channel_;
        T value_;
    };

    /// Awaits to `Result<T>`: `closed` once the channel is closed and empty.
    class Receive final : public QueueWait {
    public:
        explicit Receive(Channel& channel) noexcept : channel_(channel) {}
        Receive(const Receive&) = delete;
        Receive& operator=(const Receive&) = delete;
        // The value is only there between the wait's end and `await_resume`.
        ~Receive() {}
        [[nodiscard]] bool await_ready() noexcept {
            const RuntimeLock lock;
            return try_without_waiting();
        }
        bool suspend(PromiseBase& promise) noexcept {
            return suspend_in(channel_.receivers_, promise);
        }
        [[nodiscard]] Result<T> await_resume() noexcept {
            if (failed()) [[unlikely]] {
                return fail(reason());
            }
            Result<T> result(std::move(value_));
            value_.~T();
            return result;
        }
        [[nodiscard]] std::string_view kind() const noexcept override { return "channel"; }

    private:
        friend class Channel;
        bool try_without_waiting() noexcept override {
            if (channel_.count_ != 0) [[likely]] {
                T* first = std::addressof(channel_.take_first());
                std::construct_at(&value_, std::move(*first));
                std::destroy_at(first);
                channel_.refill();
                return true;
            }
            return take_otherwise();
        }
        bool take_otherwise() noexcept {
            if (auto* sender = static_cast<Send*>(channel_.senders_.front())) {
                std::construct_at(&value_, std::move(sender->value_));
                channel_.senders_.wake(*sender);
                return true;
            }
            if (channel_.closed_) {
                refuse(CoreError::closed);
                return true;
            }
            return false;
        }

        Channel& channel_;
        union {
            T value_; // NOLINT(readability-identifier-naming): as private as the union is
        };
    };

    /// Puts a value, waiting for room; `closed` when the channel is closed.
    [[nodiscard]] Send send(T value) noexcept { return Send(*this, std::move(value)); }
    /// The next value.
    [[nodiscard]] Receive receive() noexcept { return Receive(*this); }

    /// Puts a value without waiting. False when the channel is full or closed; `value` is kept
    /// then.
    [[nodiscard]] bool try_send(T& value) noexcept {
        const RuntimeLock lock;
        return put(value);
    }
    /// The next value if there is one: nothing when the channel is empty.
    [[nodiscard]] std::optional<T> try_receive() noexcept {
        Receive now(*this);
        const RuntimeLock lock;
        if (!now.try_without_waiting() || now.failed()) {
            return std::nullopt;
        }
        return *now.await_resume();
    }

    /// No value goes in any more. Senders that wait get `closed` and keep their values.
    void close() noexcept {
        const RuntimeLock lock;
        closed_ = true;
        room_ = 0;
        senders_.fail_all(CoreError::closed);
        receivers_.fail_all(CoreError::closed);
    }
    [[nodiscard]] bool is_closed() const noexcept {
        const RuntimeLock lock;
        return closed_;
    }
    /// Values in it that nobody has received.
    [[nodiscard]] std::size_t size() const noexcept {
        const RuntimeLock lock;
        return count_;
    }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

private:
    // Whoever receives waits only while the channel is empty and nobody sends; whoever sends waits
    // only while it is full.
    [[nodiscard]] bool put(T& value) noexcept {
        if (auto* receiver = static_cast<Receive*>(receivers_.front())) [[unlikely]] {
            std::construct_at(&receiver->value_, std::move(value));
            receivers_.wake(*receiver);
            return true;
        }
        if (count_ >= room_) [[unlikely]] {
            return false;
        }
        append(value);
        return true;
    }
    void append(T& value) noexcept {
        std::construct_at(places_ + ((first_ + count_) & mask_), std::move(value));
        ++count_;
    }
    [[nodiscard]] T& take_first() noexcept {
        T& first = places_[first_ & mask_];
        ++first_;
        --count_;
        return first;
    }
    /// There is room again: for who has waited longest for it.
    void refill() noexcept {
        if (auto* sender = static_cast<Send*>(senders_.front())) [[unlikely]] {
            append(sender->value_);
            senders_.wake(*sender);
        }
    }

    T* places_ = nullptr;
    std::size_t capacity_;
    std::size_t room_; ///< the capacity; 0 once closed
    std::size_t mask_;
    std::size_t first_ = 0;
    std::size_t count_ = 0;
    WaitQueue senders_;
    WaitQueue receivers_;
    bool closed_ = false;
};

} // namespace zsync
