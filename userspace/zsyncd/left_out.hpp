// LeftOut: how much there was no room for, said now and then.
#pragma once

#include "limits.hpp"

#include <zsync/core/io.hpp>

#include <cstdint>
#include <optional>
#include <utility>

namespace zsync::zsyncd {

/// Counts what an interface's traffic asked for and did not get. A flood must not fill the journal
/// with that.
class LeftOut {
public:
    void add(std::uint64_t count) { count_ += count; }
    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
    /// How much was left out since this gave a number last; nothing before
    /// `limits::left_out_said_interval`.
    std::optional<std::uint64_t> to_say(TimePoint now) {
        const bool is_early = said_at_ && now < *said_at_ + limits::left_out_said_interval;
        if (count_ == said_ || is_early) {
            return std::nullopt;
        }
        said_at_ = now;
        return count_ - std::exchange(said_, count_);
    }

private:
    std::uint64_t count_ = 0;
    std::uint64_t said_ = 0;
    std::optional<TimePoint> said_at_;
};

} // namespace zsync::zsyncd
