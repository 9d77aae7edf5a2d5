// PortQueue: a bounded queue from any thread to one.
#pragma once

#include <zsync/core/assert.hpp>

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace zsync {

/// A bounded queue without locks: any thread pushes, one pops (after Dmitry Vyukov's bounded queue:
/// each place says whose turn it is). The word that counts pushes also says that the queue is
/// closed or crowded, so a push either comes before that or does not come at all.
/// `tests/proofs/port_queue.pml` checks it.
template <class T> class PortQueue {
    static_assert(std::is_nothrow_move_constructible_v<T>, "values move between threads");

public:
    enum class Pushed : std::uint8_t { done, full, closed };

    /// Has places for `capacity` values, rounded up to a power of two.
    explicit PortQueue(std::size_t capacity)
        : mask_(std::bit_ceil(capacity) - 1), places_(new Place[mask_ + 1]) {
        for (std::size_t n = 0; n <= mask_; ++n) {
            places_[n].turn.store(free_for(n), std::memory_order_relaxed);
        }
    }
    PortQueue(const PortQueue&) = delete;
    PortQueue& operator=(const PortQueue&) = delete;
    /// Nobody pushes any more.
    ~PortQueue() {
        while (T* value = front()) {
            value->~T();
            pop();
        }
    }

    /// From any thread. `value` has been moved from only when it is `done`.
    [[nodiscard]] Pushed push(T& value) noexcept {
        std::uint64_t tail = tail_.load(std::memory_order_relaxed);
        for (;;) {
            if ((tail & flags) != 0) [[unlikely]] {
                return (tail & closed_flag) != 0 ? Pushed::closed : Pushed::full;
            }
            Place& place = places_[tail & mask_];
            // Acquire: the value that was here before has been moved out.
            const std::uint64_t turn = place.turn.load(std::memory_order_acquire);
            if (turn == free_for(tail)) {
                if (tail_.compare_exchange_weak(tail, tail + 1, std::memory_order_relaxed)) {
                    std::construct_at(place.value(), std::move(value));
                    // Sequentially consistent: who pushes looks next whether somebody waits, who is
                    // about to wait looks next for a value, and one of the two sees the other.
                    place.turn.store(filled_by(tail), std::memory_order_seq_cst);
                    return Pushed::done;
                }
            } else if (turn < free_for(tail)) {
                return Pushed::full;
            } else {
                tail = tail_.load(std::memory_order_relaxed);
            }
        }
    }

    /// \name On the popping thread
    /// \{
    /// The oldest value; null when there is none, or when it is still being written.
    [[nodiscard]] T* front() noexcept {
        Place& place = places_[head_ & mask_];
        return place.turn.load(std::memory_order_seq_cst) == filled_by(head_) ? place.value()
                                                                              : nullptr;
    }
    /// The front has been moved from and destroyed.
    void pop() noexcept {
        places_[head_ & mask_].turn.store(free_for(head_ + mask_ + 1), std::memory_order_release);
        ++head_;
    }
    /// No value is there, nor on its way.
    [[nodiscard]] bool empty() const noexcept {
        return (tail_.load(std::memory_order_relaxed) & ~flags) == head_;
    }
    [[nodiscard]] std::size_t size() const noexcept {
        return static_cast<std::size_t>((tail_.load(std::memory_order_relaxed) & ~flags) - head_);
    }
    /// While it is, pushes find it full.
    void set_crowded(bool crowded) noexcept {
        if (crowded) {
            tail_.fetch_or(crowded_flag, std::memory_order_relaxed);
        } else {
            tail_.fetch_and(~crowded_flag, std::memory_order_relaxed);
        }
    }
    /// \}

    /// From any thread: no push succeeds any more.
    void close() noexcept { tail_.fetch_or(closed_flag, std::memory_order_seq_cst); }
    [[nodiscard]] bool is_closed() const noexcept {
        return (tail_.load(std::memory_order_seq_cst) & closed_flag) != 0;
    }
    [[nodiscard]] std::size_t capacity() const noexcept { return mask_ + 1; }

private:
    struct Place {
        std::atomic<std::uint64_t> turn;
        alignas(T) std::byte memory[sizeof(T)];
        [[nodiscard]] T* value() noexcept { return std::launder(reinterpret_cast<T*>(memory)); }
    };
    static constexpr std::uint64_t closed_flag = std::uint64_t{1} << 63;
    static constexpr std::uint64_t crowded_flag = std::uint64_t{1} << 62;
    static constexpr std::uint64_t flags = closed_flag | crowded_flag;
    // Even and odd, so that a queue of one place can tell them apart.
    static constexpr std::uint64_t free_for(std::uint64_t n) noexcept { return 2 * n; }
    static constexpr std::uint64_t filled_by(std::uint64_t n) noexcept { return 2 * n + 1; }

    std::size_t mask_;
    std::unique_ptr<Place[]> places_;
    alignas(64) std::atomic<std::uint64_t> tail_{0};
    alignas(64) std::uint64_t head_ = 0;
};

} // namespace zsync
