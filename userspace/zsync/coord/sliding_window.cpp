#include <zsync/coord/sliding_window.hpp>

#include <algorithm>

namespace zsync::coord {

Outcome<SlidingWindow> SlidingWindow::create(Rate rate) {
    ZTRY(check_rate(rate, 1));
    return SlidingWindow(rate);
}

SlidingWindow::Counts SlidingWindow::counts_at(TimePoint at) const noexcept {
    const Duration::rep window = at.time_since_epoch() / rate_.per;
    if (window <= counts_.window) {
        return counts_;
    }
    const bool next = window - counts_.window == 1;
    return {.window = window, .former = next ? counts_.present : 0, .present = 0};
}

TimePoint SlidingWindow::ready_at(std::uint64_t count, TimePoint at) const noexcept {
    const Counts counts = counts_at(at);
    const Wide length = rate_.per.count();
    const TimePoint start(counts.window * rate_.per);
    // The first time into a window at which floor(former * (length - time) / length) fits with the
    // rest. Rounded down, because rounded up it would cost a permit a window.
    const auto first_time = [&](std::uint64_t former, std::uint64_t present) -> Duration {
        const Wide too_many = (Wide{rate_.permits} - present - count + 1) * length;
        if (former == 0 || too_many > former * length) {
            return Duration::zero();
        }
        const Wide left = (too_many + former - 1) / former - 1;
        return Duration(static_cast<Duration::rep>(length - left));
    };
    if (counts.present + count <= rate_.permits) {
        return std::max(at, start + first_time(counts.former, counts.present));
    }
    return std::max(at, start + rate_.per + first_time(counts.present, 0));
}

void SlidingWindow::take(std::uint64_t count, TimePoint at) noexcept {
    counts_ = counts_at(at);
    counts_.present += count;
}

bool SlidingWindow::is_fresh(TimePoint at) const noexcept {
    const Counts counts = counts_at(at);
    return counts.former == 0 && counts.present == 0;
}

} // namespace zsync::coord
