#include <zsync/packet/error.hpp>

#include <array>

namespace zsync::packet {
namespace {

constexpr std::array entries{
    ErrorEntry{
        std::to_underlying(PacketError::invalid_rules), "InvalidRules", "the rules are wrong"
    },
    ErrorEntry{
        std::to_underlying(PacketError::invalid_desired_state),
        "InvalidDesiredState",
        "the saved packet filter state cannot be read"
    },
};

} // namespace

constinit const ErrorDomain packet_errors{"packet", entries};

} // namespace zsync::packet
