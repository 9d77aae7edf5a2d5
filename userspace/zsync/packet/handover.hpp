// What does to received packets what the XDP program cannot do itself: `mark`, and to
// take who answers a `challenge`. Private to the
// packet subsystem.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>
#include <zsync/packet/rule_set.hpp>

#include <cstdint>
#include <string>
extern "C" {
#include <bpf/handover.h>
}

namespace zsync::packet {

/// The program of `bpf/zsync_handover.bpf.c` on what a device receives: its link, and the map that
/// holds what the XDP program must know to be believed.
struct Handover {
    Fd link;
    Fd secret;

    explicit operator bool() const { return static_cast<bool>(link); }
};

/// Whether rules of what an interface receives have something to hand over.
[[nodiscard]] bool hands_over(const RuleSet& rules);

/// Whether records go from an XDP program to the packet's skb on this device. A driver that keeps
/// nothing before packets in native mode is refused: `PacketError::mode_unavailable`.
[[nodiscard]] Outcome<void>
check_handover(std::uint32_t ifindex, const std::string& ifname, bool driver);

/// Attaches it before all other programs, with the secret of the one that was there, or without one
/// with a new one. `PacketError`: not_permitted, program_refused.
Outcome<Handover>
attach_handover(std::uint32_t ifindex, const std::string& ifname, const Handover& before);

Result<zsync_handover_secret> read_secret(const Handover& handover);

} // namespace zsync::packet
