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
    ErrorEntry{
        std::to_underlying(PacketError::rule_set_too_big),
        "RuleSetTooBig",
        "the rule set is over a limit"
    },
    ErrorEntry{
        std::to_underlying(PacketError::no_such_interface), "NoSuchInterface", "no such interface"
    },
    ErrorEntry{
        std::to_underlying(PacketError::interface_gone), "InterfaceGone", "the interface is gone"
    },
    ErrorEntry{
        std::to_underlying(PacketError::interface_enslaved),
        "InterfaceEnslaved",
        "the interface belongs to a bond or team"
    },
    ErrorEntry{
        std::to_underlying(PacketError::foreign_program),
        "ForeignProgram",
        "another XDP program is attached"
    },
    ErrorEntry{std::to_underlying(PacketError::not_permitted), "NotPermitted", "not permitted"},
    ErrorEntry{
        std::to_underlying(PacketError::no_bpffs),
        "NoBpffs",
        "the BPF directory is not on a BPF file system"
    },
    ErrorEntry{
        std::to_underlying(PacketError::program_refused),
        "ProgramRefused",
        "the kernel refused the filter program"
    },
    ErrorEntry{
        std::to_underlying(PacketError::mode_unavailable),
        "ModeUnavailable",
        "the driver cannot do this mode"
    },
    ErrorEntry{
        std::to_underlying(PacketError::already_attached),
        "AlreadyAttached",
        "a filter is attached already"
    },
    ErrorEntry{
        std::to_underlying(PacketError::not_attached), "NotAttached", "no filter is attached"
    },
    ErrorEntry{
        std::to_underlying(PacketError::damaged_pins),
        "DamagedPins",
        "the pinned filter cannot be understood"
    },
    ErrorEntry{std::to_underlying(PacketError::no_such_set), "NoSuchSet", "no such set"},
    ErrorEntry{std::to_underlying(PacketError::invalid_prefix), "InvalidPrefix", "no prefix"},
    ErrorEntry{
        std::to_underlying(PacketError::invalid_packet), "InvalidPacket", "no packet to be made"
    },
    ErrorEntry{std::to_underlying(PacketError::no_such_cgroup), "NoSuchCgroup", "no such cgroup"},
    ErrorEntry{std::to_underlying(PacketError::no_such_rule), "NoSuchRule", "no such rule"},
    ErrorEntry{std::to_underlying(PacketError::no_samples), "NoSamples", "no rule samples"},
    ErrorEntry{
        std::to_underlying(PacketError::no_such_hook), "NoSuchHook", "no rules at this hook"
    },
    ErrorEntry{
        std::to_underlying(PacketError::challenge_unavailable),
        "ChallengeUnavailable",
        "SYN cookies cannot be used here"
    },
    ErrorEntry{std::to_underlying(PacketError::no_such_class), "NoSuchClass", "no such class"},
    ErrorEntry{
        std::to_underlying(PacketError::shaping_unavailable),
        "ShapingUnavailable",
        "the interface cannot shape what it sends"
    },
};

} // namespace

constinit const ErrorDomain packet_errors{"packet", entries};

} // namespace zsync::packet
