// Which rule decides about a packet, and why.
#pragma once

#include <zsync/core/result.hpp>
#include <zsync/packet/attach_point.hpp>
#include <zsync/packet/made_packet.hpp>
#include <zsync/packet/rule_set.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace zsync::packet {

struct Explanation {
    Verdict verdict = Verdict::pass;
    std::optional<std::uint32_t> rule; ///< its index; none when the default decides
    std::string text;                  ///< the rule, or `default VERDICT`
    std::string name;
    /// Each condition of the rule and what of the packet meets it: `from: 1.2.3.4 is
    /// in 1.2.3.0/24`.
    std::vector<std::string> reasons;
};

/// Loads the filter program of a hook over its `rules` with counters of its own, runs it once on
/// the packet (BPF_PROG_TEST_RUN) and reads which counter moved. The packet belongs to no socket,
/// and no interface forwards it, so conditions on those are not met; a cgroup's hook is that of its
/// sockets all the same. Takes what a load takes. Fails as `load_program` does.
[[nodiscard]] Outcome<Explanation>
explain(const RuleSet& rules, const MadePacket& packet, HookKind hook = HookKind::xdp);

} // namespace zsync::packet
