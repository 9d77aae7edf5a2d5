#include <zsync/packet/analysis/error.hpp>

#include <array>

namespace zsync::packet::analysis {
namespace {

constexpr std::array entries{
    ErrorEntry{
        .code = std::to_underlying(AnalysisError::invalid_capture),
        .name = "InvalidCapture",
        .text = "the file is no capture that can be read"
    },
    ErrorEntry{
        .code = std::to_underlying(AnalysisError::capture_cut_short),
        .name = "CaptureCutShort",
        .text = "the capture ends in the middle of a packet"
    },
};

} // namespace

constinit const ErrorDomain analysis_errors{.name = "packet.analysis", .entries = entries};

} // namespace zsync::packet::analysis
