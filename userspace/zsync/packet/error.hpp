// Errors of the packet subsystem.
#pragma once

#include <zsync/core/error.hpp>

#include <cstdint>

namespace zsync::packet {

enum class PacketError : std::uint16_t {
    /// A rule file is wrong; the diagnostics say where.
    invalid_rules,
    /// A saved desired state is not one this version can read.
    invalid_desired_state,
    /// A rule set is over one of the match engine's limits.
    rule_set_too_big,
    no_such_interface,
    /// The device of an attached filter is no more.
    interface_gone,
    /// The interface belongs to a bond or team, which owns its packet path.
    interface_enslaved,
    /// Another XDP program is attached; it is never replaced.
    foreign_program,
    not_permitted,
    /// The BPF directory is not on a bpffs.
    no_bpffs,
    /// The kernel's verifier refused the program.
    program_refused,
    /// The driver cannot do the mode that was asked for.
    mode_unavailable,
    already_attached,
    not_attached,
    /// What is pinned for an interface cannot be understood.
    damaged_pins,
    /// No rule uses a set of that name.
    no_such_set,
    /// A text is no address or prefix.
    invalid_prefix,
    /// A text describes no packet that can be made.
    invalid_packet,
    /// Rules name a cgroup that is not there.
    no_such_cgroup,
    /// No temporary rule, or none that limits, has that text.
    no_such_rule,
    /// No rule copies packets.
    no_samples,
    /// The rules say nothing of such a hook.
    no_such_hook,
    /// SYN cookies would not be taken back, or could not be sent.
    challenge_unavailable,
    /// No loaded shape has a class of that name.
    no_such_class,
    /// Packets could not be held until their time.
    shaping_unavailable,
};

extern const ErrorDomain packet_errors;
constexpr const ErrorDomain& error_domain(PacketError) noexcept { return packet_errors; }

} // namespace zsync::packet
