// Per-CPU counters: reading their sums, and handing out their slots.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>
#include <zsync/packet/engine.hpp>
#include <zsync/packet/meta.hpp>

#include <bpf/zsync_xdp.h>

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace zsync::packet {

/// What one rule has counted on all CPUs.
struct RuleCount {
    std::uint64_t packets = 0; ///< that it matched
    std::uint64_t bytes = 0;
    std::uint64_t limited = 0; ///< packets of these that it dropped because they came too fast

    friend bool operator==(const RuleCount&, const RuleCount&) = default;
};

/// What one interface has counted on all CPUs. `passed` and `dropped` together are every frame that
/// the program saw; ARP and malformed frames are in one of the two as well.
struct InterfaceStats {
    RuleCount passed;
    RuleCount dropped;
    RuleCount arp;
    RuleCount malformed;

    struct Reason {
        std::string_view name;
        std::string_view words;
        std::uint64_t packets;
    };
    /// One entry for each reason, in the order of `enum zsync_malformed`, zeros included.
    std::vector<Reason> malformed_by;

    std::uint64_t sampled = 0;      ///< chosen by rules with `sample`
    std::uint64_t samples_lost = 0; ///< of these, because the ring was full
    /// What GSO or GRO had merged when it was judged, counted once here; elsewhere as its segments.
    RuleCount merged;
    std::uint64_t redirected = 0;          ///< of those passed, sent out of another interface
    std::uint64_t challenges_sent = 0;     ///< of those dropped: SYNs answered with a cookie
    std::uint64_t challenges_verified = 0; ///< of those passed: ACKs that brought a cookie back
    std::uint64_t challenges_refused = 0;  ///< of those dropped: ACKs without one, odd SYNs
    std::uint64_t challenges_passed = 0;   ///< of those passed: for MPTCP, not challenged
    std::uint64_t unmarked = 0; ///< of those dropped: the driver has no room for what they bear
    std::uint64_t unjudged = 0; ///< dropped because too many packets were under way on a CPU
};

/// The sums of all slots, by slot.
Result<std::vector<RuleCount>> read_counters(const Fd& counters);
Result<InterfaceStats> read_stats(const Fd& stats);

/// Sets the counts of one slot on all CPUs.
Result<void> write_counter(const Fd& counters, std::uint32_t slot, RuleCount value);

/// Copies the sums from maps of another layout into new ones, as far as they have a place there.
/// Returns false when something could not be carried over. Packets counted meanwhile are lost.
bool carry_counters(const Fd& from, const Fd& to);
bool carry_stats(const Fd& from, const Fd& to);

/// Returns when every XDP program that ran at the time of the call has ended: a slot that only they
/// counted into is still after that.
Result<void> wait_for_running_programs();

/// The slots of one counter map. A rule keeps its slot, and so its counts, as long as rules with
/// its text stay; slots of rules that left are zeroed before another rule gets them.
class SlotTable {
public:
    /// All slots zero and free but the default's.
    static SlotTable fresh();
    /// As left behind by another process: whatever `live` does not use may hold old counts.
    static SlotTable adopted(const Meta& live);

    /// Slots for `rules`, those of `live` kept for the same rules. Zeroes slots in `counters`
    /// when it must. Call `commit` when the rules are live; until then nothing is taken.
    Outcome<CounterSlots>
    assign(const RuleSet& rules, std::span<const LiveRule> live, const Fd& counters);
    void commit(const CounterSlots& slots);

private:
    enum class Slot : std::uint8_t { clean, used, stale };
    Result<void> clean(const Fd& counters);

    std::vector<Slot> slots_;
};

} // namespace zsync::packet
