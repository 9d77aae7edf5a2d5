// Where a filter meets packets, and the BPF link that puts it there. Private to the packet
// subsystem.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>
#include <zsync/packet/attach_mode.hpp>
#include <zsync/packet/interface_facts.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

struct bpf_link_info;

namespace zsync::packet {

/// Of an interface what it receives (XDP) or sends (TCX); of a cgroup's sockets what they receive
/// or send (cgroup_skb).
enum class HookKind : std::uint8_t { xdp, tcx_out, cgroup_in, cgroup_out };

[[nodiscard]] constexpr bool is_of_cgroup(HookKind kind) {
    return kind == HookKind::cgroup_in || kind == HookKind::cgroup_out;
}

/// What a filter is attached to.
struct AttachPoint {
    HookKind kind = HookKind::xdp;
    std::string ifname;
    std::string cgroup; ///< path, of a cgroup's hooks
};

/// An attach point that was found on this host.
struct FoundPoint {
    AttachPoint point;
    InterfaceFacts facts; ///< of an interface's hooks
    Fd cgroup;            ///< its directory

    /// Whether packets begin at the network header.
    [[nodiscard]] bool starts_at_network() const;
};

/// Looks for it and whether a filter may be attached there. `PacketError`: no_such_interface,
/// no_such_cgroup, interface_enslaved, foreign_program.
Outcome<FoundPoint> find_point(const AttachPoint& point);

struct AttachedLink {
    Fd link;
    XdpMode mode = XdpMode::none;
};

/// Attaches `program`. What an interface sends meets it before any other program; a foreign XDP
/// program is never replaced, others are left beside it.
Outcome<AttachedLink> attach_link(const FoundPoint& found, const Fd& program, AttachMode mode);

/// What a link of a kind says of itself; nothing for a link of another kind.
struct LinkFacts {
    std::uint32_t program_id = 0;
    std::uint32_t ifindex = 0;   ///< of an interface's hooks; 0 when the device is gone
    std::uint64_t cgroup_id = 0; ///< of a cgroup's; 0 when it is gone

    [[nodiscard]] bool is_there() const { return ifindex != 0 || cgroup_id != 0; }
};
Result<std::optional<LinkFacts>> link_facts(const Fd& link, HookKind kind);

/// The device of an interface's hook; nothing where it is in another network namespace: its index
/// is free in this one, or another device's.
Outcome<std::optional<InterfaceFacts>> device_of(const LinkFacts& link, HookKind kind);

} // namespace zsync::packet
