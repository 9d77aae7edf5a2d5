// TimerWheel: a million timers without a system call each.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>

namespace zsync {

using Clock = std::chrono::steady_clock; // CLOCK_MONOTONIC, the clock io_uring waits by
using TimePoint = Clock::time_point;
using Duration = Clock::duration;

/// One timer, embedded in what waits for it. Must be disarmed before it is destroyed.
struct Timer {
    using Expired = void (*)(Timer&) noexcept;

    Timer(Expired expired_, void* owner_) noexcept : expired(expired_), owner(owner_) {}
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

    Expired expired;
    void* owner; ///< whatever `expired` needs to find
    TimePoint deadline{};
    Timer* previous = nullptr;
    Timer* next = nullptr;
    std::uint8_t level = 0;
    std::uint8_t slot = 0;
    bool armed = false;
};

/// A hierarchical timing wheel (Varghese and Lauck, 1987): 64 slots a level, the lowest of 1 ms.
/// Adding and removing are O(1); a timer never fires early and fires at most one slot late.
class TimerWheel {
public:
    explicit TimerWheel(TimePoint start) noexcept : start_(start) {}

    void add(Timer& timer, TimePoint deadline) noexcept;
    void remove(Timer& timer) noexcept;
    /// Fires what is due at `now`, in order of slots. Expired callbacks may add and remove timers.
    void advance(TimePoint now) noexcept;
    /// When to look again: the earliest deadline, rounded up to its slot. Nothing if no timer is
    /// armed.
    [[nodiscard]] std::optional<TimePoint> next() const noexcept;
    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }

private:
    static constexpr unsigned level_count = 7; // 64^7 ms is 139 years
    static constexpr unsigned slot_bits = 6;
    static constexpr unsigned slot_count = 1U << slot_bits;

    struct Level {
        std::uint64_t occupied = 0;
        std::array<Timer*, slot_count> slots{};
    };
    struct Expiry {
        unsigned level;
        unsigned slot;
        std::uint64_t tick;
    };

    [[nodiscard]] std::uint64_t tick_after(TimePoint deadline) const noexcept;
    [[nodiscard]] std::uint64_t tick_at(TimePoint now) const noexcept;
    [[nodiscard]] std::optional<Expiry> next_expiry() const noexcept;
    void link(Timer& timer, std::uint64_t earliest) noexcept;
    Timer* unlink_slot(unsigned level, unsigned slot) noexcept;

    std::array<Level, level_count> levels_{};
    TimePoint start_;
    std::uint64_t elapsed_ = 0; ///< ticks; everything due at or before it has fired
    std::uint64_t count_ = 0;
};

} // namespace zsync
