#include <zsync/core/assert.hpp>
#include <zsync/core/timer_wheel.hpp>

#include <algorithm>
#include <bit>
#include <utility>

namespace zsync {
namespace {

constexpr Duration tick = std::chrono::milliseconds(1);

} // namespace

std::uint64_t TimerWheel::tick_after(TimePoint deadline) const noexcept {
    if (deadline <= start_) {
        return 0;
    }
    constexpr std::uint64_t tick_max = (1ULL << (slot_bits * level_count)) - 1;
    // Rounded up: a timer never fires before its deadline.
    const auto ticks = static_cast<std::uint64_t>((deadline - start_) / tick) +
                       ((deadline - start_) % tick == Duration::zero() ? 0 : 1);
    return std::min(ticks, tick_max);
}

std::uint64_t TimerWheel::tick_at(TimePoint now) const noexcept {
    return now <= start_ ? 0 : static_cast<std::uint64_t>((now - start_) / tick);
}

void TimerWheel::link(Timer& timer, std::uint64_t earliest) noexcept {
    const std::uint64_t due = std::max(tick_after(timer.deadline), earliest);
    // The level is where the due tick and the elapsed one first differ, seen from the top.
    const auto distance = static_cast<unsigned>(std::bit_width(due ^ elapsed_));
    const unsigned level = distance == 0 ? 0 : (distance - 1) / slot_bits;
    const unsigned slot = (due >> (level * slot_bits)) & (slot_count - 1);
    timer.level = static_cast<std::uint8_t>(level);
    timer.slot = static_cast<std::uint8_t>(slot);
    Timer*& head = levels_[level].slots[slot];
    timer.previous = nullptr;
    timer.next = head;
    if (head != nullptr) {
        head->previous = &timer;
    }
    head = &timer;
    levels_[level].occupied |= 1ULL << slot;
}

void TimerWheel::add(Timer& timer, TimePoint deadline) noexcept {
    ZASSERT(!timer.armed, "a timer is armed once at a time");
    timer.deadline = deadline;
    timer.armed = true;
    ++count_;
    // A deadline in the past fires in the next tick, never within the tick that is firing.
    link(timer, elapsed_ + 1);
}

void TimerWheel::remove(Timer& timer) noexcept {
    if (!timer.armed) {
        return;
    }
    timer.armed = false;
    --count_;
    if (timer.next != nullptr) {
        timer.next->previous = timer.previous;
    }
    if (timer.previous != nullptr) {
        timer.previous->next = timer.next;
        return;
    }
    Level& level = levels_[timer.level];
    level.slots[timer.slot] = timer.next;
    if (timer.next == nullptr) {
        level.occupied &= ~(1ULL << timer.slot);
    }
}

std::optional<TimerWheel::Expiry> TimerWheel::next_expiry() const noexcept {
    for (unsigned level = 0; level < level_count; ++level) {
        const std::uint64_t occupied = levels_[level].occupied;
        if (occupied == 0) {
            continue;
        }
        const unsigned shift = level * slot_bits;
        // Slots are used from the one after the elapsed tick's, and only within its own revolution,
        // so the lowest occupied slot is the earliest.
        const auto slot = static_cast<unsigned>(std::countr_zero(occupied));
        const std::uint64_t revolution = elapsed_ >> (shift + slot_bits) << (shift + slot_bits);
        return Expiry{
            .level = level,
            .slot = slot,
            .tick = revolution + (static_cast<std::uint64_t>(slot) << shift),
        };
    }
    return std::nullopt;
}

Timer* TimerWheel::unlink_slot(unsigned level, unsigned slot) noexcept {
    levels_[level].occupied &= ~(1ULL << slot);
    return std::exchange(levels_[level].slots[slot], nullptr);
}

void TimerWheel::advance(TimePoint now) noexcept {
    const std::uint64_t target = tick_at(now);
    while (const auto expiry = next_expiry()) {
        if (expiry->tick > target) {
            break;
        }
        elapsed_ = std::max(elapsed_, expiry->tick);
        if (expiry->level == 0) {
            // One at a time from the head: a callback may remove its neighbours.
            Level& level = levels_[0];
            while (level.slots[expiry->slot] != nullptr) {
                Timer& timer = *level.slots[expiry->slot];
                remove(timer);
                timer.expired(timer);
            }
            continue;
        }
        // Down to a finer level; what is due in this very tick to the slot that fires next.
        for (Timer* timer = unlink_slot(expiry->level, expiry->slot); timer != nullptr;) {
            Timer* next = timer->next;
            link(*timer, elapsed_);
            timer = next;
        }
    }
    elapsed_ = std::max(elapsed_, target);
}

std::optional<TimePoint> TimerWheel::next() const noexcept {
    const auto expiry = next_expiry();
    if (!expiry) {
        return std::nullopt;
    }
    // A long slot is not searched: its start is early enough, and the wheel sorts it then.
    constexpr unsigned search_max = 64;
    std::uint64_t earliest = ~0ULL;
    unsigned searched = 0;
    for (const Timer* timer = levels_[expiry->level].slots[expiry->slot]; timer != nullptr;
         timer = timer->next) {
        if (++searched > search_max) {
            earliest = expiry->tick;
            break;
        }
        earliest = std::min(earliest, tick_after(timer->deadline));
    }
    return start_ + std::max(earliest, elapsed_ + 1) * tick;
}

} // namespace zsync
