// WorkDeque: work of one thread that others may take.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace zsync {

/// A work-stealing deque of pointers (Chase and Lev, 2005; orderings after Lê, Pop, Cohen and
/// Nardelli, 2013). Its owner pushes and pops at one end without a lock; any thread steals at the
/// other. Only for the last item do they meet, at one compare-and-swap.
///
/// Where that paper has sequentially consistent fences, here the accesses around them are: the
/// owner's claim on `bottom_` before it reads `top_`, and a thief's read of `top_` before that of
/// `bottom_`. So of an owner and a thief who want the same item one sees the other.
/// `tests/proofs/work_deque.pml` checks it.
template <class T, std::size_t Capacity> class WorkDeque {
    static_assert((Capacity & (Capacity - 1)) == 0, "positions are masked");

public:
    /// Owner. False when it is full. Who pushes and then looks whether somebody sleeps is seen by
    /// who says that it sleeps and then looks here.
    [[nodiscard]] bool push(T& item) noexcept {
        const std::int64_t bottom = bottom_.load(std::memory_order_relaxed);
        if (bottom - top_.load(std::memory_order_acquire) >= static_cast<std::int64_t>(Capacity)) {
            return false;
        }
        place(bottom).store(&item, std::memory_order_relaxed);
        bottom_.store(bottom + 1, std::memory_order_seq_cst);
        return true;
    }
    /// Owner: the item pushed last; null when none is left.
    [[nodiscard]] T* pop() noexcept {
        const std::int64_t bottom = bottom_.load(std::memory_order_relaxed) - 1;
        bottom_.store(bottom, std::memory_order_seq_cst);
        std::int64_t top = top_.load(std::memory_order_seq_cst);
        T* item = nullptr;
        if (top <= bottom) {
            item = place(bottom).load(std::memory_order_relaxed);
            if (top < bottom) {
                return item;
            }
            if (!top_.compare_exchange_strong(top, top + 1, std::memory_order_seq_cst)) {
                item = nullptr; // a thief was faster
            }
        }
        bottom_.store(bottom + 1, std::memory_order_relaxed);
        return item;
    }
    /// Any thread: the item pushed first; null when there is none, or somebody else took it.
    [[nodiscard]] T* steal() noexcept {
        std::int64_t top = top_.load(std::memory_order_seq_cst);
        if (top >= bottom_.load(std::memory_order_seq_cst)) {
            return nullptr;
        }
        T* item = place(top).load(std::memory_order_relaxed);
        return top_.compare_exchange_strong(top, top + 1, std::memory_order_seq_cst) ? item
                                                                                     : nullptr;
    }
    [[nodiscard]] bool empty() const noexcept {
        return top_.load(std::memory_order_seq_cst) >= bottom_.load(std::memory_order_seq_cst);
    }

private:
    [[nodiscard]] std::atomic<T*>& place(std::int64_t position) noexcept {
        return places_[static_cast<std::size_t>(position) & (Capacity - 1)];
    }

    alignas(64) std::atomic<std::int64_t> top_{0};
    alignas(64) std::atomic<std::int64_t> bottom_{0};
    std::array<std::atomic<T*>, Capacity> places_{};
};

} // namespace zsync
