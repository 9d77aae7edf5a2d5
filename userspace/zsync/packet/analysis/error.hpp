// Errors of the traffic analysis.
#pragma once

#include <zsync/core/error.hpp>

#include <cstdint>

namespace zsync::packet::analysis {

enum class AnalysisError : std::uint16_t {
    /// The file is no capture, or one of a kind that cannot be read; the detail says what and
    /// where.
    invalid_capture,
    /// A capture ends in the middle of a packet.
    capture_cut_short,
};

extern const ErrorDomain analysis_errors;
constexpr const ErrorDomain& error_domain(AnalysisError) noexcept { return analysis_errors; }

} // namespace zsync::packet::analysis
