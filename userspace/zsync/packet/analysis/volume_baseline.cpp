#include <zsync/packet/analysis/volume_baseline.hpp>

#include <algorithm>
#include <cmath>

namespace zsync::packet::analysis {
namespace {

constexpr std::uint64_t hour_ns = 3'600'000'000'000;
constexpr double weight_min = 0.02;
constexpr double factor_min = 3;
/// Empty intervals learned at most at a time: a pause of a month is not a month of work.
constexpr std::uint64_t empty_intervals_max = 1500;

} // namespace

void VolumeBaseline::Level::learn(double bytes, double weight) noexcept {
    ++intervals;
    // A plain average first, so that the beginning does not weigh for ever.
    const double step = weight * std::max(weight_min, 1 / static_cast<double>(intervals));
    const double before = bytes - mean;
    mean += step * before;
    variance = (1 - step) * (variance + step * before * before);
}

double VolumeBaseline::Level::deviation() const noexcept {
    // At least a twentieth of the mean: what is always the same has no deviation of its own.
    return std::max(std::sqrt(variance), mean / 20);
}

void VolumeBaseline::learn(std::uint64_t begin_ns, double bytes) noexcept {
    constexpr double anomaly_weight = 0.1;
    const double weight = is_anomaly_ ? anomaly_weight : 1;
    hour_of(begin_ns).learn(bytes, weight);
    whole_.learn(bytes, weight);
}

VolumeBaseline::Level& VolumeBaseline::hour_of(std::uint64_t begin_ns) noexcept {
    return by_hour_[(begin_ns + epoch_ns_) / hour_ns % hours];
}

void VolumeBaseline::begin_interval_anew() noexcept {
    interval_begin_ns_ = 0;
    bytes_ = 0;
    is_anomaly_ = false;
}

void VolumeBaseline::end_interval(std::uint64_t now_ns, std::uint64_t interval_ns) {
    learn(interval_begin_ns_, bytes_);
    is_anomaly_ = false;
    bytes_ = 0;
    const std::uint64_t now_begin_ns = now_ns / interval_ns * interval_ns;
    const std::uint64_t empty = (now_begin_ns - interval_begin_ns_) / interval_ns - 1;
    for (std::uint64_t i = 0; i < std::min(empty, empty_intervals_max); ++i) {
        learn(interval_begin_ns_ + (i + 1) * interval_ns, 0);
    }
    interval_begin_ns_ = now_begin_ns;
}

std::optional<VolumeBaseline::Anomaly> VolumeBaseline::add(
    std::uint64_t time_ns,
    std::uint32_t bytes,
    std::uint64_t interval_ns,
    double intervals_learned,
    double deviations,
    std::uint64_t epoch_ns
) {
    epoch_ns_ = epoch_ns;
    if (interval_begin_ns_ == 0) {
        interval_begin_ns_ = time_ns / interval_ns * interval_ns;
    }
    if (time_ns >= interval_begin_ns_ + interval_ns) {
        end_interval(time_ns, interval_ns);
    }
    bytes_ += bytes;
    const Level& hour = hour_of(interval_begin_ns_);
    const bool hour_is_known = static_cast<double>(hour.intervals) >= intervals_learned;
    const Level& usual = hour_is_known ? hour : whole_;
    if (is_anomaly_ || static_cast<double>(usual.intervals) < intervals_learned ||
        bytes_ < factor_min * usual.mean) {
        return std::nullopt;
    }
    const double above = (bytes_ - usual.mean) / std::max(usual.deviation(), 1.0);
    if (above < deviations) {
        return std::nullopt;
    }
    is_anomaly_ = true;
    return Anomaly{.bytes = bytes_, .usual_bytes = usual.mean, .deviations = above};
}

} // namespace zsync::packet::analysis
