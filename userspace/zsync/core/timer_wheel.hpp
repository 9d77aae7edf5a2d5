// TimerWheel: a million timers without a system call each.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

namespace zsync {

using Clock = std::chrono::steady_clock; // CLOCK_MONOTONIC, the clock io_uring waits by
using TimePoint = Clock::time_point;
using Duration = Clock::duration;

/// So long after `from`; the end of time where that is beyond it, so `Duration::max()` is for ever.
/// `from` is a time that a clock has shown.
[[nodiscard]] constexpr TimePoint later(TimePoint from, Duration by) noexcept {
    return by > TimePoint::max() - from ? TimePoint::max() : from + by;
}

/// One timer, embedded in what waits for it. Must be removed before it is destroyed.
struct Timer {                  // NOLINT(*-member-init): as below
    Timer() noexcept = default; // NOLINT(*-member-init): `next`, see there
    Timer(const Timer&) = delete;
    Timer& operator=(const Timer&) = delete;

    [[nodiscard]] bool armed() const noexcept { return link != nullptr; }

    Timer* next;            ///< in its slot; meaningless while not armed
    Timer** link = nullptr; ///< what points at this timer; null while not armed
    TimePoint due;          ///< as given to `TimerWheel::add`
};

/// A hierarchical timing wheel (Varghese and Lauck, 1987): 64 slots a level. Adding and removing
/// are O(1) and touch no other timer but the neighbours in a slot; a timer never fires early and
/// fires at most one tick late.
class TimerWheel {
public:
    /// 1.05 ms: enough for time-outs, and a sleeping worker is woken at most so often.
    static constexpr unsigned coarse_tick_bits = 20;
    /// 0.26 us: for workers that run by urgency.
    static constexpr unsigned fine_tick_bits = 8;

    /// A tick is 2^`tick_bits` ns.
    explicit TimerWheel(TimePoint start, unsigned tick_bits = coarse_tick_bits) noexcept
        : start_(start), tick_bits_(tick_bits) {}

    void add(Timer& timer, TimePoint deadline) noexcept;
    /// No effect on a timer that is not armed.
    void remove(Timer& timer) noexcept {
        if (timer.link != nullptr) {
            unlink(timer);
            --count_;
        }
    }
    /// Takes one timer that is due at `now` out of the wheel; null when none is left. Between two
    /// calls timers may be added and removed.
    [[nodiscard]] Timer* pop_due(TimePoint now) noexcept;
    /// When to look again: the earliest deadline, rounded up to its tick. Nothing if no timer is
    /// armed.
    [[nodiscard]] std::optional<TimePoint> next() noexcept;
    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
    [[nodiscard]] Duration tick() const noexcept { return Duration(1LL << tick_bits_); }

private:
    static constexpr unsigned level_count = 9; // 64^9 fine ticks are 2300 years
    static constexpr unsigned slot_bits = 6;
    static constexpr unsigned slot_count = 1U << slot_bits;

    struct Level {
        std::uint64_t occupied = 0; ///< a superset: removing a timer leaves its slot's bit
        std::array<Timer*, slot_count> slots{};
    };
    struct Expiry {
        unsigned level;
        unsigned slot;
        std::uint64_t tick;
    };

    [[nodiscard]] std::uint64_t tick_after(TimePoint deadline) const noexcept;
    [[nodiscard]] std::uint64_t tick_at(TimePoint now) const noexcept;
    [[nodiscard]] std::optional<Expiry> next_expiry() noexcept;
    void link(Timer& timer, std::uint64_t earliest) noexcept;
    static void unlink(Timer& timer) noexcept {
        *timer.link = timer.next;
        if (timer.next != nullptr) {
            timer.next->link = timer.link;
        }
        timer.link = nullptr;
    }

    std::array<Level, level_count> levels_{};
    TimePoint start_;
    unsigned tick_bits_;
    std::uint64_t elapsed_ = 0; ///< ticks; everything due at or before it has fired
    std::uint64_t count_ = 0;
};

} // namespace zsync
