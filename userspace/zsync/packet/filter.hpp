// Filter: the packet filter of one network interface.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>
#include <zsync/packet/attach_mode.hpp>
#include <zsync/packet/attach_point.hpp>
#include <zsync/packet/counters.hpp>
#include <zsync/packet/interface_facts.hpp>
#include <zsync/packet/meta.hpp>
#include <zsync/packet/pins.hpp>
#include <zsync/packet/program.hpp>
#include <zsync/packet/rule_set.hpp>
#include <zsync/packet/samples.hpp>
#include <zsync/packet/shape_table.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace zsync::packet {

struct FilterOptions {
    std::string ifname;
    AttachMode mode = AttachMode::automatic;
    std::string bpf_dir = "/sys/fs/bpf/zsync";
    /// For tests that stop in the middle.
    OnPinStep on_step{};
    HookKind hook = HookKind::xdp;
    /// Of a cgroup's hooks: its path, to attach, and its id.
    std::string cgroup{};
    std::uint64_t cgroup_id = 0;
};

/// A filter that is pinned beside an interface's own.
struct PinnedHook {
    std::string ifname;
    HookKind hook = HookKind::tcx_out;
    std::uint64_t cgroup_id = 0;
};

struct LoadReport {
    std::uint32_t rules = 0;
    std::uint64_t prefixes = 0;
    /// Rules that were attached before and kept their counts.
    std::uint32_t kept = 0;
    /// From the call until packets met the new rules.
    std::chrono::microseconds visible_after{};
    /// What a person should know, such as counts that could not be kept; usually empty.
    std::string note;
};

/// Where an attached filter's device is.
struct Whereabouts {
    enum class State : std::uint8_t {
        here,    ///< under the filter's name
        renamed, ///< under another name, `name`
        moved,   ///< in another network namespace; the filter goes on matching there
        gone,    ///< deleted; the filter can only be detached
    };
    State state = State::here;
    std::uint32_t ifindex = 0;
    std::string name;
};

/// The packet filter of one hook: a program that goes on matching whatever happens to this process,
/// because its link, its counters and its own record are pinned on the BPF file system. By default
/// the hook is what an interface receives.
///
/// Destroying a `Filter` leaves everything attached; `detach` ends it. Another process, or the next
/// version of this one, takes it over with `adopt`.
///
///     FilterOptions options{.ifname = "eth0"};
///     Filter filter = ZTRY(Filter::attach(options, rules));
///     ZTRY(filter.load(other_rules)); // packets see all of the old rules or all of the new ones
///     RuleCount first = ZTRY(filter.rule_counts()).front();
///
/// Every call blocks, on system calls and on the verifier (milliseconds), so coroutines make them
/// on an offload thread. A `Filter` is used by one thread at a time; two are independent.
class Filter {
public:
    /// Attaches `rules` to an interface that has no XDP program. When it fails nothing is attached
    /// and nothing pinned. `PacketError`: no_such_interface, interface_enslaved, foreign_program
    /// (named; never replaced), already_attached (adopt it instead), not_permitted, no_bpffs,
    /// program_refused, mode_unavailable, rule_set_too_big.
    static Outcome<Filter> attach(const FilterOptions& options, const RuleSet& rules);

    /// Takes over what is pinned for `options.ifname` and removes what a crash left beside it. The
    /// rules go on matching all the while. `PacketError`: not_attached, interface_gone (both after
    /// removing leftovers), damaged_pins, not_permitted.
    static Outcome<Filter> adopt(const FilterOptions& options);

    /// The names under which filters are pinned, for `adopt`; sorted.
    static std::vector<std::string> list_pinned(std::string_view bpf_dir);
    /// The other filters that are pinned for interfaces.
    static std::vector<PinnedHook> list_pinned_hooks(std::string_view bpf_dir);

    /// Replaces the rules, and the program too when `needs_upgrade`. All or nothing; packets see
    /// the change in one step; rules with the same text keep their counts.
    Outcome<LoadReport> load(const RuleSet& rules);

    /// Whether what passes goes to AF_XDP sockets from the next `load` on: to the one in
    /// `socket_map` at the place of the queue that the packet came by, and without one there, as
    /// after a restart, to the kernel. Nothing of that outlives this object but the map.
    void send_to_sockets(bool on) noexcept { to_sockets_ = on; }
    /// Whether packets are counted into the flow table from the next `load` on, of what the
    /// interface receives and of what it sends: an empty one made for `options`, if they were not.
    /// The table is pinned as counters are, and goes on without this process.
    void count_flows(bool on, const analysis::FlowOptions& options = {}) noexcept {
        count_flows_ = on;
        flow_options_ = options;
    }
    /// The table, or none (false) while flows are not counted.
    [[nodiscard]] const FlowMaps& flow_maps() const noexcept { return maps_.flows; }

    /// An XSKMAP, or none (false) while nothing goes to sockets.
    [[nodiscard]] const Fd& socket_map() const noexcept { return maps_.sockets; }

    /// Ends the filtering and removes every pin. Also for a device that is gone.
    Outcome<void> detach();

    /// Moves the pins after the device got another name.
    Outcome<void> rename(std::string_view ifname);

    [[nodiscard]] Result<InterfaceStats> stats() const;
    /// One entry a rule, in the order of `live_rules`.
    [[nodiscard]] Result<std::vector<RuleCount>> rule_counts() const;
    /// Packets that no rule matched.
    [[nodiscard]] Result<RuleCount> default_count() const;
    /// What rules with `sample` copy. `PacketError::no_samples` when no rule has it. The reader
    /// goes on over loads whose rules still have it.
    [[nodiscard]] Outcome<SampleReader> read_samples() const;
    /// The map of what `stats` reads, for `packet::read_stats`: a descriptor of its own.
    [[nodiscard]] Outcome<Fd> stats_map() const;
    /// The keys of rules with `limit`: nothing when no rule has it.
    [[nodiscard]] Outcome<LimitTable> read_limits(std::size_t keys_max) const;
    /// The rate that the adaptive limit of a live rule's slot has by now, and another one.
    [[nodiscard]] Result<std::uint64_t> limit_rate(std::uint32_t slot, const Limit& limit) const;
    [[nodiscard]] Result<void>
    set_limit_rate(std::uint32_t slot, const Limit& limit, std::uint64_t rate) const;
    /// The classes of a shape: none when the rules have no shape.
    [[nodiscard]] Outcome<ShapeReading> read_shape() const;
    [[nodiscard]] const std::vector<LiveRule>& live_rules() const { return meta_.rules; }

    /// Asks the kernel where the device is by now.
    [[nodiscard]] Outcome<Whereabouts> whereabouts() const;

    /// True when another build of the program is attached: it goes on matching, and `load` replaces
    /// it.
    [[nodiscard]] bool needs_upgrade() const;

    [[nodiscard]] HookKind hook() const { return hook_; }
    /// Whether packets come without a link header.
    [[nodiscard]] bool starts_at_network() const { return meta_.starts_at_network.value_or(false); }
    [[nodiscard]] std::uint64_t cgroup_id() const { return cgroup_id_; }
    [[nodiscard]] const std::string& ifname() const { return ifname_; }
    /// What the kernel says by now; a device that comes to a network namespace where its number is
    /// taken gets another one.
    [[nodiscard]] std::uint32_t ifindex() const;
    [[nodiscard]] XdpMode mode() const { return meta_.mode; }
    [[nodiscard]] std::uint32_t program_id() const { return meta_.program_id; }
    [[nodiscard]] std::uint32_t layout_version() const { return meta_.layout_version; }
    [[nodiscard]] Verdict default_verdict() const { return meta_.default_verdict; }
    [[nodiscard]] Verdict malformed_verdict() const { return meta_.malformed_verdict; }
    [[nodiscard]] std::uint64_t prefixes() const { return meta_.prefixes; }
    [[nodiscard]] std::chrono::microseconds loaded_realtime() const {
        return std::chrono::microseconds(meta_.loaded_realtime_usec);
    }

private:
    Filter(const FilterOptions& options, Pins pins, SharedMaps maps, SlotTable slots)
        : ifname_(options.ifname), hook_(options.hook), cgroup_id_(options.cgroup_id),
          pins_(std::move(pins)), maps_(std::move(maps)), slots_(std::move(slots)) {}

    [[nodiscard]] Outcome<std::optional<InterfaceFacts>> device() const;
    [[nodiscard]] Outcome<InterfaceFacts> device_for(std::string_view something) const;
    Outcome<void> learn_link_header();
    [[nodiscard]] Outcome<void> keep_fair_queue(const std::optional<Shape>& shape) const;
    Outcome<void>
    attach_pinned(const FilterOptions& options, const RuleSet& rules, const FoundPoint& found);
    [[nodiscard]] Outcome<FlowMaps> make_flow_maps() const;
    Outcome<zsync_handover_secret> prepare_handover(const RuleSet& rules, SharedMaps& maps) const;
    [[nodiscard]] Outcome<LoadedProgram>
    load_rules(const RuleSet& rules, const CounterSlots& slots, SharedMaps& maps) const;
    [[nodiscard]] Meta
    describe(const RuleSet& rules, const CounterSlots& slots, std::uint32_t program_id) const;
    Outcome<LoadReport> load_generation(const RuleSet& rules);
    Outcome<CounterSlots>
    assign_slots(const RuleSet& rules, SlotTable& slots, SharedMaps& maps) const;
    Outcome<LoadReport> replace(const RuleSet& rules, SharedMaps& maps, SlotTable& slots);
    [[nodiscard]] std::vector<zsync_limit> changed_limits(const RuleSet& rules) const;
    [[nodiscard]] Outcome<void> forget_limits(
        const RuleSet& rules, const CounterSlots& assigned, const LimitMaps& limits
    ) const;
    [[nodiscard]] Outcome<void>
    switch_to(const LoadedProgram& program, const SharedMaps& maps, const Meta& meta) const;

    std::string ifname_;
    HookKind hook_;
    std::uint64_t cgroup_id_;
    bool to_sockets_ = false;
    bool count_flows_ = false;
    analysis::FlowOptions flow_options_;
    Pins pins_;
    SharedMaps maps_;
    SlotTable slots_;
    Fd link_;
    Fd program_;
    Meta meta_;
};

} // namespace zsync::packet
