#include <zsync/core/assert.hpp>
#include <zsync/core/timer_wheel.hpp>

#include <algorithm>
#include <bit>

namespace zsync {

std::uint64_t TimerWheel::tick_after(TimePoint deadline) const noexcept {
    if (deadline <= start_) {
        return 0;
    }
    // Rounded up: a timer never fires before its deadline.
    const auto since = static_cast<std::uint64_t>((deadline - start_).count());
    constexpr std::uint64_t tick_max = (1ULL << (slot_bits * level_count)) - 1;
    return std::min(((since - 1) >> tick_bits_) + 1, tick_max);
}

std::uint64_t TimerWheel::tick_at(TimePoint now) const noexcept {
    return now <= start_ ? 0 : static_cast<std::uint64_t>((now - start_).count()) >> tick_bits_;
}

void TimerWheel::link(Timer& timer, std::uint64_t earliest) noexcept {
    const std::uint64_t due = std::max(tick_after(timer.due), earliest);
    // The level is where the due tick and the elapsed one first differ, seen from the top.
    const auto distance = static_cast<unsigned>(std::bit_width(due ^ elapsed_));
    const unsigned level = distance == 0 ? 0 : (distance - 1) / slot_bits;
    const unsigned slot = (due >> (level * slot_bits)) & (slot_count - 1);
    Timer*& head = levels_[level].slots[slot];
    timer.link = &head;
    timer.next = head;
    if (head != nullptr) {
        head->link = &timer.next;
    }
    head = &timer;
    levels_[level].occupied |= 1ULL << slot;
}

void TimerWheel::add(Timer& timer, TimePoint deadline) noexcept {
    ZASSERT(!timer.armed(), "a timer is armed once at a time");
    timer.due = deadline;
    ++count_;
    // A deadline in the past fires in the next tick, never within the tick that is firing.
    link(timer, elapsed_ + 1);
}

std::optional<TimerWheel::Expiry> TimerWheel::next_expiry() noexcept {
    for (unsigned level = 0; level < level_count; ++level) {
        Level& at = levels_[level];
        while (at.occupied != 0) {
            const unsigned shift = level * slot_bits;
            // Slots are used from the one after the elapsed tick's, and only within its own
            // revolution, so the lowest occupied slot is the earliest.
            const auto slot = static_cast<unsigned>(std::countr_zero(at.occupied));
            if (at.slots[slot] == nullptr) {
                at.occupied &= at.occupied - 1;
                continue;
            }
            const std::uint64_t revolution = elapsed_ >> (shift + slot_bits) << (shift + slot_bits);
            return Expiry{
                .level = level,
                .slot = slot,
                .tick = revolution + (static_cast<std::uint64_t>(slot) << shift),
            };
        }
    }
    return std::nullopt;
}

Timer* TimerWheel::pop_due(TimePoint now) noexcept {
    const std::uint64_t target = tick_at(now);
    while (const auto expiry = next_expiry()) {
        if (expiry->tick > target) {
            break;
        }
        elapsed_ = std::max(elapsed_, expiry->tick);
        Timer*& head = levels_[expiry->level].slots[expiry->slot];
        if (expiry->level == 0) {
            Timer* due = head;
            unlink(*due);
            --count_;
            return due;
        }
        // Down to a finer level; what is due in this very tick to the slot that fires next.
        Timer* timer = std::exchange(head, nullptr);
        while (timer != nullptr) {
            Timer* next = timer->next;
            link(*timer, elapsed_);
            timer = next;
        }
    }
    elapsed_ = std::max(elapsed_, target);
    return nullptr;
}

std::optional<TimePoint> TimerWheel::next() noexcept {
    if (count_ == 0) {
        return std::nullopt;
    }
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
        earliest = std::min(earliest, tick_after(timer->due));
    }
    return start_ +
           Duration(static_cast<std::int64_t>(std::max(earliest, elapsed_ + 1) << tick_bits_));
}

} // namespace zsync
