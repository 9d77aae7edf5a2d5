// CycleClock: intervals at the price of one instruction.
#pragma once

#include <zsync/core/timer_wheel.hpp>

#include <cstdint>
#include <x86intrin.h>

namespace zsync {

/// The processor's time-stamp counter, scaled against CLOCK_MONOTONIC since the clock was made. For
/// measuring what tasks take; some parts in a thousand off in the first milliseconds.
class CycleClock {
public:
    using Cycles = std::uint64_t;
    [[nodiscard]] static Cycles now() noexcept { return __rdtsc(); }

    [[nodiscard]] Duration duration(Cycles cycles) const noexcept {
        const double ns_a_cycle = static_cast<double>((Clock::now() - start_).count()) /
                                  static_cast<double>(now() - start_cycles_ + 1);
        return Duration(static_cast<Duration::rep>(static_cast<double>(cycles) * ns_a_cycle));
    }

private:
    TimePoint start_ = Clock::now();
    Cycles start_cycles_ = now();
};

} // namespace zsync
