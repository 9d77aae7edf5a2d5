#include <zsync/packet/error.hpp>

#include <array>

namespace zsync::packet {
namespace {

constexpr std::array entries{
    ErrorEntry{
        .code = std::to_underlying(PacketError::invalid_rules),
        .name = "InvalidRules",
        .text = "the rules are wrong"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::invalid_desired_state),
        .name = "InvalidDesiredState",
        .text = "the saved packet filter state cannot be read"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::rule_set_too_big),
        .name = "RuleSetTooBig",
        .text = "the rule set is over a limit"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::no_such_interface),
        .name = "NoSuchInterface",
        .text = "no such interface"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::interface_gone),
        .name = "InterfaceGone",
        .text = "the interface is gone"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::interface_enslaved),
        .name = "InterfaceEnslaved",
        .text = "the interface belongs to a bond or team"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::foreign_program),
        .name = "ForeignProgram",
        .text = "another XDP program is attached"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::not_permitted),
        .name = "NotPermitted",
        .text = "not permitted"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::no_bpffs),
        .name = "NoBpffs",
        .text = "the BPF directory is not on a BPF file system"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::program_refused),
        .name = "ProgramRefused",
        .text = "the kernel refused the filter program"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::mode_unavailable),
        .name = "ModeUnavailable",
        .text = "the driver cannot do this mode"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::already_attached),
        .name = "AlreadyAttached",
        .text = "a filter is attached already"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::not_attached),
        .name = "NotAttached",
        .text = "no filter is attached"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::damaged_pins),
        .name = "DamagedPins",
        .text = "the pinned filter cannot be understood"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::no_such_set),
        .name = "NoSuchSet",
        .text = "no such set"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::invalid_prefix),
        .name = "InvalidPrefix",
        .text = "no prefix"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::invalid_packet),
        .name = "InvalidPacket",
        .text = "no packet to be made"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::no_such_cgroup),
        .name = "NoSuchCgroup",
        .text = "no such cgroup"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::no_such_rule),
        .name = "NoSuchRule",
        .text = "no such rule"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::no_samples),
        .name = "NoSamples",
        .text = "no rule samples"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::no_such_hook),
        .name = "NoSuchHook",
        .text = "no rules at this hook"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::challenge_unavailable),
        .name = "ChallengeUnavailable",
        .text = "SYN cookies cannot be used here"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::no_such_class),
        .name = "NoSuchClass",
        .text = "no such class"
    },
    ErrorEntry{
        .code = std::to_underlying(PacketError::shaping_unavailable),
        .name = "ShapingUnavailable",
        .text = "the interface cannot shape what it sends"
    },
};

} // namespace

constinit const ErrorDomain packet_errors{.name = "packet", .entries = entries};

} // namespace zsync::packet
