// ManagedInterface: one interface that a person wants filtered, and what came of it.
#pragma once

#include <zsync/core/result.hpp>
#include <zsync/packet/attach_mode.hpp>
#include <zsync/packet/desired.hpp>
#include <zsync/packet/explain.hpp>
#include <zsync/packet/filter.hpp>
#include <zsync/packet/flow_reader.hpp>
#include <zsync/packet/hook_filters.hpp>
#include <zsync/packet/hook_rules.hpp>
#include <zsync/packet/limit_control.hpp>
#include <zsync/packet/rule_set.hpp>
#include <zsync/packet/sampled_hook.hpp>
#include <zsync/packet/set_change.hpp>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace zsync {
namespace store {
class Store;
}
} // namespace zsync

namespace zsync::packet {

enum class InterfaceState : std::uint8_t {
    attached, ///< packets meet the rules
    absent,   ///< no such device; it is filtered when it appears
    moved,    ///< the device is in another network namespace, still filtered
    failed,   ///< the device is there and cannot be filtered; the reason says why
};

[[nodiscard]] std::string_view name_of(InterfaceState state) noexcept;
[[nodiscard]] std::string_view name_of(XdpMode mode) noexcept;
[[nodiscard]] std::string_view name_of(Verdict verdict) noexcept;

/// Whether a device must be there to be attached.
enum class Presence : std::uint8_t { required, optional };

/// What keeps rules from being in force: a person who loads them is told, others wait for its end.
enum class Absent : std::uint8_t { refused, awaited };

/// An interface as it is shown: a copy of plain values.
struct InterfaceView {
    std::string name;
    std::uint32_t ifindex = 0;
    AttachMode requested_mode = AttachMode::automatic;
    XdpMode mode = XdpMode::none;
    InterfaceState state = InterfaceState::absent;
    std::string reason;   ///< why it is not simply attached; empty otherwise
    bool adopted = false; ///< taken over from an earlier run
    std::uint32_t program_id = 0;
    std::uint32_t layout_version = 0;
    std::uint32_t rules = 0;
    std::uint64_t prefixes = 0;
    Verdict default_verdict = Verdict::pass;
    Verdict malformed_verdict = Verdict::pass;
    std::string rules_source; ///< the file the rules came from; empty if none were loaded
    std::uint64_t load_realtime_us = 0;
    std::vector<TemporaryRule> temporary;
    bool adapts = false;       ///< a rule has an adaptive limit
    bool counts_flows = false; ///< see `ManagedInterface::count_flows`
    bool waits = false;        ///< rules are not in force as written; `reason` says why
    bool challenges = false;   ///< a rule does, by settings that may change

    friend bool operator==(const InterfaceView&, const InterfaceView&) = default;
};

/// One reading of the counters of a hook beside an interface's receiving side.
struct HookReading {
    Hook hook;
    std::uint32_t program_id = 0;
    InterfaceStats stats;
    std::vector<LiveRule> rules;
    std::vector<RuleCount> counts; ///< one for each of `rules`
    RuleCount default_count;       ///< what no rule matched
};

/// One reading of an interface's counters.
struct InterfaceReading {
    InterfaceStats stats;
    std::vector<LiveRule> rules;
    std::vector<RuleCount> counts; ///< one for each of `rules`
    Verdict default_verdict = Verdict::pass;
    RuleCount default_count; ///< what no rule matched
    std::vector<HookReading> hooks;
};

/// One reading of a rule that limits.
struct LimitReading {
    std::string hook;          ///< `in`, `out`, `in /system.slice/nginx.service`
    std::string rule;          ///< its text
    std::string name;          ///< for people
    std::string rate_now;      ///< of an adaptive limit what it is by now, without burst
    std::uint64_t passed = 0;  ///< packets
    std::uint64_t limited = 0; ///< packets dropped because they came too fast
    LimitedKeys keys;
};

struct SetReport {
    SetCounts counts;
    LoadReport load;
};

/// Desired state in the store, and the filter that makes it true. Whatever changes it is written
/// first, then applied, and taken back if it cannot be applied: after a crash in between, the next
/// `reconcile` applies it.
///
/// Calls block; one at a time.
class ManagedInterface {
public:
    ManagedInterface(store::Store& store, std::string bpf_dir, DesiredInterface desired);

    /// Takes over what an earlier run left attached, then brings it to the desired rules. With
    /// `rules_known` false the store had lost them: what is attached stays as it is.
    void adopt(bool rules_known);
    /// Writes the desired state and attaches. On failure nothing is left of either; an absent
    /// device is a failure only if its presence is required.
    Outcome<void> attach(Presence presence);
    /// Replaces the rules, in the store and for packets. On failure both stay as they were. For an
    /// absent device only the desired state changes, which the report's note says, as it does for
    /// names that are awaited.
    Outcome<LoadReport>
    load(const RuleSet& rules, std::string source, Absent absent = Absent::refused);
    /// Changes one set of the rules, in the store and for packets, in one step. On failure both
    /// stay as they were. A change that changes nothing writes and loads nothing.
    Outcome<SetReport> change_set(SetChange change);
    /// Gives a rule that limits another rate, in the store and for packets, in one step; see
    /// `packet::change_limit`. Keys keep their states, the rule's counts begin anew. On failure all
    /// stays as it was. Returns the rule's new text.
    Outcome<std::string> change_limit(std::string_view rule, std::string_view rate);
    /// Gives a class of the shape other rates, in the store and for packets, in one step; see
    /// `packet::change_class`. Clocks and counts go on. On failure all is as before.
    Outcome<std::string> change_class(std::string_view name, std::string_view rates);
    /// The same of the shape as a whole; see `packet::change_shape`.
    Outcome<std::string> change_shape(std::string_view rates);
    /// One step of adaptive limits, `limit_adapt_interval_ms` behind the one before.
    Outcome<void> adapt_limits();
    /// Puts rules before the others until they expire, each before those already put there, or
    /// gives those that are there another expiry; in the store and for packets, in one step. On
    /// failure both stay as they were. Returns the canonical texts; fewer when the limit leaves no
    /// room for more, and `CoreError::limit_reached` when it leaves none.
    Outcome<std::vector<std::string>>
    add_rules(const std::vector<std::string>& texts, std::uint64_t expires_realtime_us);
    /// Takes a temporary rule out. `PacketError::no_such_rule`.
    Outcome<std::string> remove_rule(std::string_view text);
    /// Takes out what has expired by then; whether anything had.
    Outcome<bool> expire(std::uint64_t now_realtime_us);
    /// What the rules of a hook, by its `hook_name`, decide about a made packet, by running the
    /// program over them. No counter of the interface counts it.
    [[nodiscard]] Outcome<Explanation>
    explain(std::string_view hook, const MadePacket& packet) const;
    /// Has what passes go to AF_XDP sockets, or no more, by loading the rules once more, in one
    /// step for packets. With `on` the XSKMAP to enter them in. Not desired state: a device that
    /// comes back, or a daemon, begins without.
    Outcome<Fd> send_to_sockets(bool on);
    /// Has packets counted into the flow table, or no more, by loading the rules once more. With
    /// `on` what reads it, else none. Not desired state, but a table that an earlier run left goes
    /// on, unless `options` want one of another size: then an empty one takes its place.
    Outcome<std::optional<FlowReader>>
    count_flows(bool on, const analysis::FlowOptions& options = {});
    /// Ends the filtering and forgets the desired state.
    Outcome<void> detach();
    /// Makes the host match: attaches a device that came, cleans up after one that went, brings
    /// rules into force that name what came. A device that was renamed is left to `follow_renames`,
    /// which knows all interfaces.
    void reconcile();
    /// Ends what is filtered beside a device that is not there, for another one gets its name.
    Outcome<void> yield_name();
    /// What its device is called, if otherwise than it.
    [[nodiscard]] std::optional<std::string> new_name() const;
    /// Takes that name, on disk and for what is pinned. On failure it keeps its own, and says why.
    Outcome<void> rename(const std::string& name);
    [[nodiscard]] bool is_filtered() const noexcept { return filter_.has_value(); }

    [[nodiscard]] InterfaceView view() const;
    [[nodiscard]] Outcome<InterfaceReading> read() const;
    /// Rules that limit, with at most so many keys of each.
    [[nodiscard]] Outcome<std::vector<LimitReading>> read_limits(std::size_t keys_max) const;
    /// The classes of what the interface sends; none without a shape.
    [[nodiscard]] Outcome<ShapeReading> read_shape() const;
    /// What the rules of a hook, by its `hook_name`, sample (`PacketError::no_samples`).
    [[nodiscard]] Outcome<SampledHook> read_samples(std::string_view hook) const;
    /// Takes of them, by the rules of now.
    [[nodiscard]] Outcome<std::size_t> take_samples(
        std::string_view hook,
        SampledHook& samples,
        std::size_t packets_max,
        const PacketSource::Visit& visit
    ) const;
    [[nodiscard]] const DesiredInterface& desired() const noexcept { return desired_; }

private:
    [[nodiscard]] FilterOptions options() const;
    /// Puts changed rules into force, checked as a rule file is: after a restart they are read
    /// again.
    Outcome<LoadReport> load_changed(const RuleSet& rules);
    Outcome<LoadReport> put_into_force(const RuleSet& rules, std::string source);
    /// Of the file alone.
    [[nodiscard]] Outcome<RuleSet> loaded_rules() const;
    /// With the temporary ones.
    [[nodiscard]] Outcome<RuleSet> desired_rules() const;
    Outcome<void> change_temporary(std::vector<TemporaryRule> temporary);
    [[nodiscard]] Outcome<void> save() const;
    Outcome<void> attach_filter();
    /// What of the rules can be in force.
    Outcome<LoadReport> apply(RuleSet rules);
    [[nodiscard]] Receiver receiver() const;
    /// Loads the rules once more after `set(filter, true)`; where they cannot be, `set(filter,
    /// false)` takes that back.
    Outcome<void>
    reload_with(Filter& filter, const std::function<void(Filter& filter, bool yes)>& set);
    void apply_hooks(const RuleSet& rules);
    void load_desired();
    [[nodiscard]] std::unexpected<Fault> not_attached() const;
    [[nodiscard]] Outcome<const Filter*> filter_at(std::string_view hook) const;
    [[nodiscard]] std::unexpected<Fault> no_rules_at(std::string_view hook) const;
    /// Those by now; nothing where no rule challenges.
    [[nodiscard]] std::optional<ChallengeTerms> challenge_terms_of(const RuleSet& rules) const;
    void set_state(InterfaceState state, std::string reason = {});

    store::Store* store_;
    std::string bpf_dir_;
    DesiredInterface desired_;
    std::optional<Filter> filter_;
    HookFilters hooks_;
    LimitControl limit_control_;
    InterfaceState state_ = InterfaceState::absent;
    std::string reason_;
    bool adopted_ = false;
    bool rules_known_ = true;
    Hindrances hindrances_;
    /// Which answers to challenges are made for.
    std::optional<ChallengeTerms> challenge_terms_;
};

} // namespace zsync::packet
