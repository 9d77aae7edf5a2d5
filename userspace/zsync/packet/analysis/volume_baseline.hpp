// VolumeBaseline: how much traffic is usual, by hour of the day.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

namespace zsync::packet::analysis {

/// Learns the bytes of an interval: an exponentially weighted mean and deviation over all
/// intervals, and one for each hour of the day. An hour that has been seen for long enough is
/// compared with itself, any other with the whole.
///
/// An interval that is an anomaly is learned with a tenth of the usual weight: one attack does not
/// become usual, a new level does after some hours.
class VolumeBaseline {
public:
    struct Anomaly {
        double bytes = 0; ///< so far in this interval
        double usual_bytes = 0;
        double deviations = 0;
    };

    /// Counts a frame. Gives the anomaly that it brings about: once an interval, as soon as its
    /// bytes are `deviations` above the usual, and three times as much, after `intervals_learned`.
    /// `epoch_ns` is what makes `time_ns` the time since 1970, which has hours of the day.
    std::optional<Anomaly>
    add(std::uint64_t time_ns,
        std::uint32_t bytes,
        std::uint64_t interval_ns,
        double intervals_learned,
        double deviations,
        std::uint64_t epoch_ns = 0);

    /// Forgets the interval that goes on, and nothing that was learned.
    void begin_interval_anew() noexcept;

private:
    struct Level {
        double mean = 0;
        double variance = 0;
        std::uint64_t intervals = 0;

        void learn(double bytes, double weight) noexcept;
        [[nodiscard]] double deviation() const noexcept;
    };
    static constexpr std::size_t hours = 24;

    void end_interval(std::uint64_t now_ns, std::uint64_t interval_ns);
    void learn(std::uint64_t begin_ns, double bytes) noexcept;
    [[nodiscard]] Level& hour_of(std::uint64_t begin_ns) noexcept;

    std::array<Level, hours> by_hour_{};
    Level whole_;
    std::uint64_t epoch_ns_ = 0;
    std::uint64_t interval_begin_ns_ = 0;
    double bytes_ = 0;
    bool is_anomaly_ = false; ///< this interval, and it has been told
};

} // namespace zsync::packet::analysis
