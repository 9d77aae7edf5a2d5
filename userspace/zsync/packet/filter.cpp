#include <zsync/core/epoch_time.hpp>
#include <zsync/packet/engine.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/fair_queue.hpp>
#include <zsync/packet/filter.hpp>
#include <zsync/packet/hook_rules.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/pinned_generation.hpp>
#include <zsync/packet/rules_names.hpp>

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fcntl.h>
#include <format>
#include <optional>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>
extern "C" {
#include <bpf/limit.h>
}

namespace zsync::packet {
namespace {

std::uint32_t count_kept(const std::vector<LiveRule>& before, const std::vector<LiveRule>& after) {
    std::unordered_set<std::uint32_t> slots;
    for (const LiveRule& rule : before) {
        slots.insert(rule.slot);
    }
    const auto kept = [&](const LiveRule& rule) { return slots.contains(rule.slot); };
    return static_cast<std::uint32_t>(std::ranges::count_if(after, kept));
}

std::string_view folder_of(HookKind hook) {
    switch (hook) {
    case HookKind::xdp:
        return "packet";
    case HookKind::tcx_out:
        return "packet_out";
    case HookKind::cgroup_in:
    case HookKind::cgroup_out:
        return "packet_sockets";
    }
    std::unreachable();
}

/// The interface's name; with a cgroup `eth0.1234.out`, by its id.
std::string pinned_name(HookKind hook, std::string_view ifname, std::uint64_t cgroup_id) {
    if (!is_of_cgroup(hook)) {
        return std::string(ifname);
    }
    return std::format("{}.{}.{}", ifname, cgroup_id, hook == HookKind::cgroup_out ? "out" : "in");
}

Pins pins_of(const FilterOptions& options) {
    return {
        options.bpf_dir,
        pinned_name(options.hook, options.ifname, options.cgroup_id),
        options.on_step,
        folder_of(options.hook)
    };
}

/// What the old rules marked is on its way to the stack, maybe over another processor's backlog,
/// and gets its mark there.
void let_handovers_arrive() {
    std::this_thread::sleep_for(std::chrono::milliseconds(limits::handover_linger_ms));
}

/// Nothing where none is pinned; whatever else keeps it from being opened says nothing of that.
Outcome<std::optional<Fd>> find_pinned_link(const Pins& pins) {
    auto link = pins.open_link();
    if (link) {
        return *std::move(link);
    }
    const int error = link.error().os_error();
    if (error == ENOENT) {
        return std::nullopt;
    }
    const bool denied = error == EPERM || error == EACCES;
    return fail(
        denied ? Error(PacketError::not_permitted, error) : os_error(error),
        std::format(
            "cannot open what is pinned in {}: {}", pins.directory(), os_error(error).message()
        )
    );
}

Outcome<Fd> open_pinned_link(const Pins& pins, const FilterOptions& options) {
    std::optional<Fd> link = ZTRY(find_pinned_link(pins));
    if (link) {
        return *std::move(link);
    }
    pins.remove_all();
    return fail(
        PacketError::not_attached, std::format("no zsync filter is pinned for {}", options.ifname)
    );
}

/// Of a link that is attached to something; one that is not goes, and its pins with it.
Outcome<LinkFacts> facts_of_live(const Fd& link, const Pins& pins, const FilterOptions& options) {
    const std::optional<LinkFacts> facts = ZTRY(link_facts(link, options.hook));
    if (!facts) {
        return fail(
            PacketError::damaged_pins,
            std::format("{}/link is not a link of the right kind", pins.directory())
        );
    }
    if (!facts->is_there()) {
        pins.remove_all();
        return fail(
            PacketError::interface_gone,
            std::format(
                "the {} that {}'s filter was attached to is gone",
                is_of_cgroup(options.hook) ? "cgroup" : "device",
                options.ifname
            )
        );
    }
    return *facts;
}

} // namespace

Outcome<Filter> Filter::attach(const FilterOptions& options, const RuleSet& rules) {
    Pins pins = pins_of(options);
    if (const auto link = ZTRY(find_pinned_link(pins))) {
        const auto facts = ZTRY(link_facts(*link, options.hook));
        if (facts && facts->is_there()) {
            return fail(
                PacketError::already_attached,
                std::format(
                    "{} has a zsync filter already, pinned in {}", options.ifname, pins.directory()
                )
            );
        }
        pins.remove_all();
    }
    FoundPoint found =
        ZTRY(find_point({.kind = options.hook, .ifname = options.ifname, .cgroup = options.cgroup})
        );
    ZTRY(pins.create());
    auto maps = create_shared_maps();
    if (!maps) {
        pins.remove_all();
        return std::unexpected(std::move(maps).error());
    }
    Filter filter(options, pins, *std::move(maps), SlotTable::fresh());
    filter.meta_.starts_at_network = found.starts_at_network();
    filter.meta_.mode = options.mode == AttachMode::generic ? XdpMode::generic : XdpMode::native;
    if (rules.shape) {
        if (auto queued = install_fair_queue(found.facts.ifindex, options.ifname, *rules.shape);
            !queued) {
            pins.remove_all();
            return std::unexpected(std::move(queued).error());
        }
    }
    if (auto attached = filter.attach_pinned(options, rules, found); !attached) {
        if (filter.link_) {
            bpf_link_detach(filter.link_.get());
        }
        if (rules.shape) {
            (void)remove_fair_queue(found.facts.ifindex, options.ifname);
        }
        pins.remove_all();
        return std::unexpected(std::move(attached).error());
    }
    return filter;
}

/// A crash before the last step closes the link with the process: nothing stays attached, and what
/// is pinned by then is no filter without a pinned link.
Outcome<void>
Filter::attach_pinned(const FilterOptions& options, const RuleSet& rules, const FoundPoint& found) {
    pins_.remove_generations_but(0);
    meta_.ifindex = found.facts.ifindex;
    const CounterSlots slots = ZTRY(assign_slots(rules, slots_, maps_));
    LoadedProgram program = ZTRY(load_rules(rules, slots, maps_));
    ZTRY(pin_generation(pins_, program, maps_));
    AttachedLink attached = ZTRY(attach_link(found, program.fd, options.mode));
    link_ = std::move(attached.link);
    meta_.mode = attached.mode;
    pins_.created_link_step();
    const Meta meta = describe(rules, slots, program.id);
    ZTRY(pins_.pin(program.id, "meta", ZTRY(create_meta_map(meta))));
    ZTRY(pins_.pin_link(link_));
    program_ = std::move(program.fd);
    meta_ = meta;
    slots_.commit(slots);
    return {};
}

Outcome<LoadedProgram>
Filter::load_rules(const RuleSet& rules, const CounterSlots& slots, SharedMaps& maps) const {
    const NameIds names = ZTRY(resolve_names(rules));
    const Receiver receiver{
        .ifname = ifname_,
        .driver = meta_.mode != XdpMode::generic,
        .starts_at_network = starts_at_network(),
    };
    const Challenges challenges = ZTRY(check_actions(rules, names, receiver));
    Tables tables = ZTRY(compile(rules, slots, names));
    tables.config.starts_at_network = starts_at_network() ? 1 : 0;
    tables.config.to_sockets = to_sockets_ ? 1 : 0;
    if (count_flows_ && !maps.flows) {
        maps.flows = ZTRY(make_flow_maps());
    }
    tables.config.flow_lines = count_flows_ ? ZTRY(flow_lines_of(maps.flows)) : 0;
    tables.config.answers_redirected = challenges.answers_redirected ? 1 : 0;
    tables.config.challenge_takes = challenges.takes;
    tables.config.challenge_mss = challenges.mss;
    tables.config.handover = ZTRY(prepare_handover(rules, maps));
    return load_program(tables, maps, hook_);
}

/// What takes records is there before packets bring some. Another build brings its own.
Outcome<zsync_handover_secret>
Filter::prepare_handover(const RuleSet& rules, SharedMaps& maps) const {
    if (hook_ != HookKind::xdp || !hands_over(rules)) {
        return zsync_handover_secret{};
    }
    if (!maps.handover || (link_ && needs_upgrade())) {
        const std::uint32_t ifindex =
            link_ ? ZTRY(device_for("what marks its packets and takes its connections")).ifindex
                  : meta_.ifindex;
        ZTRY(check_handover(ifindex, ifname_, meta_.mode != XdpMode::generic));
        maps.handover = ZTRY(attach_handover(ifindex, ifname_, maps_.handover));
    }
    return ZTRY(read_secret(maps.handover));
}

Outcome<FlowMaps> Filter::make_flow_maps() const {
    FoundPoint sending;
    sending.point.kind = HookKind::tcx_out;
    sending.facts = link_ ? ZTRY(device_for("what counts the flows that it sends"))
                          : ZTRY(interface_facts(meta_.ifindex));
    return count_sent(sending.facts.ifindex, ifname_, sending.starts_at_network(), flow_options_);
}

Meta Filter::describe(const RuleSet& rules, const CounterSlots& slots, std::uint32_t program_id)
    const {
    Meta meta{
        .layout_version = ZSYNC_LAYOUT_VERSION,
        .code_hash = program_code_hash(hook_),
        .program_id = program_id,
        .ifindex = meta_.ifindex,
        .ifname = ifname_,
        .mode = meta_.mode,
        .default_verdict = rules.default_verdict,
        .malformed_verdict = rules.malformed_verdict,
        .default_slot = slots.by_default,
        .prefixes = prefix_count(rules),
        .loaded_realtime_usec = epoch_time<std::chrono::microseconds>(),
        .rules = {},
        .shape = {},
        .starts_at_network = meta_.starts_at_network,
    };
    if (rules.shape) {
        meta.shape = {.shape = *rules.shape, .slots = slots.classes};
    }
    for (std::size_t i = 0; i < rules.rules.size(); ++i) {
        const Rule& rule = rules.rules[i];
        meta.rules.push_back({rule.text, rule.name, slots.rules[i], rule.verdict});
    }
    return meta;
}

Outcome<Filter> Filter::adopt(const FilterOptions& options) {
    Pins pins = pins_of(options);
    Fd link = ZTRY(open_pinned_link(pins, options));
    const LinkFacts facts = ZTRY(facts_of_live(link, pins, options));
    PinnedGeneration live = ZTRY(open_generation(pins, facts.program_id));
    pins.remove_generations_but(facts.program_id);

    Filter filter(options, std::move(pins), std::move(live.maps), SlotTable::adopted(live.meta));
    filter.link_ = std::move(link);
    filter.program_ = std::move(live.program);
    filter.count_flows_ = static_cast<bool>(filter.maps_.flows);
    filter.meta_ = std::move(live.meta);
    filter.meta_.ifindex = facts.ifindex;
    (void)filter.learn_link_header(); // else the next load says it
    return filter;
}

std::vector<std::string> Filter::list_pinned(std::string_view bpf_dir) {
    return Pins::list(bpf_dir, folder_of(HookKind::xdp));
}

std::vector<PinnedHook> Filter::list_pinned_hooks(std::string_view bpf_dir) {
    std::vector<PinnedHook> hooks;
    for (std::string& name : Pins::list(bpf_dir, folder_of(HookKind::tcx_out))) {
        hooks.push_back({.ifname = std::move(name), .hook = HookKind::tcx_out});
    }
    for (const std::string& name : Pins::list(bpf_dir, folder_of(HookKind::cgroup_in))) {
        const std::size_t way = name.rfind('.');
        const std::size_t id = name.rfind('.', way - 1);
        if (way == std::string::npos || way == 0 || id == std::string::npos) {
            continue;
        }
        PinnedHook& hook = hooks.emplace_back();
        hook.ifname = name.substr(0, id);
        hook.hook = name.substr(way) == ".out" ? HookKind::cgroup_out : HookKind::cgroup_in;
        std::from_chars(name.data() + id + 1, name.data() + way, hook.cgroup_id);
    }
    return hooks;
}

bool Filter::needs_upgrade() const {
    return meta_.layout_version != ZSYNC_LAYOUT_VERSION ||
           meta_.code_hash != program_code_hash(hook_);
}

/// The qdisc is there before packets get times, and is there as long as they do.
Outcome<LoadReport> Filter::load(const RuleSet& rules) {
    if (rules.shape) {
        ZTRY(keep_fair_queue(rules.shape));
    }
    const bool shaped = meta_.shape.has_value();
    Outcome<LoadReport> loaded = load_generation(rules);
    if (loaded ? shaped && !rules.shape : shaped || rules.shape) {
        const Outcome<void> settled =
            keep_fair_queue(meta_.shape ? std::optional(meta_.shape->shape) : std::nullopt);
        if (loaded && !settled) {
            loaded->note = settled.error().message();
        }
    }
    return loaded;
}

/// A device loses its qdiscs when it goes to another network namespace.
Outcome<void> Filter::keep_fair_queue(const std::optional<Shape>& shape) const {
    if (shape) {
        const InterfaceFacts found = ZTRY(device_for("the qdisc fq, which shaping needs"));
        return install_fair_queue(found.ifindex, ifname_, *shape);
    }
    const std::optional<InterfaceFacts> found = device().value_or(std::nullopt);
    return found ? remove_fair_queue(found->ifindex, ifname_) : Outcome<void>{};
}

Outcome<LoadReport> Filter::load_generation(const RuleSet& rules) {
    if (meta_.layout_version == ZSYNC_LAYOUT_VERSION) {
        return replace(rules, maps_, slots_);
    }
    SharedMaps maps = ZTRY(create_shared_maps());
    const bool counters_carried = carry_counters(maps_.counters, maps.counters);
    const bool stats_carried = carry_stats(maps_.stats, maps.stats);
    SlotTable slots = SlotTable::adopted(meta_);
    const std::uint32_t old_layout = meta_.layout_version;
    LoadReport report = ZTRY(replace(rules, maps, slots));
    maps_ = std::move(maps);
    slots_ = std::move(slots);
    report.note = std::format(
        "counters moved from layout {} to {}{}; packets of the moment in between are not counted",
        old_layout,
        ZSYNC_LAYOUT_VERSION,
        counters_carried && stats_carried ? "" : ", not all of them could be carried over"
    );
    return report;
}

/// The link update is the one step that packets and `adopt` see: before it the new generation is a
/// leftover, after it the old one is.
Outcome<LoadReport> Filter::replace(const RuleSet& rules, SharedMaps& maps, SlotTable& slots) {
    const auto start = std::chrono::steady_clock::now();
    ZTRY(learn_link_header());
    const CounterSlots assigned = ZTRY(assign_slots(rules, slots, maps));
    ZTRY(forget_limits(rules, assigned, maps.limits));
    const bool had_flows = static_cast<bool>(maps.flows);
    const bool had_handover = static_cast<bool>(maps.handover);
    const auto forget_new = [&] {
        if (!had_flows) {
            maps.flows = {};
        }
        if (!had_handover) {
            maps.handover = {};
        }
    };
    Outcome<LoadedProgram> loaded = load_rules(rules, assigned, maps);
    if (!loaded) {
        forget_new();
        return std::unexpected(std::move(loaded).error());
    }
    LoadedProgram program = *std::move(loaded);
    Meta meta = describe(rules, assigned, program.id);
    if (auto switched = switch_to(program, maps, meta); !switched) {
        pins_.remove_generations_but(meta_.program_id);
        forget_new();
        return std::unexpected(std::move(switched).error());
    }
    const auto visible = std::chrono::steady_clock::now();
    pins_.updated_link_step();
    const std::vector<zsync_limit> changed = changed_limits(rules);
    LoadReport report{
        .rules = static_cast<std::uint32_t>(rules.rules.size()),
        .prefixes = meta.prefixes,
        .kept = count_kept(meta_.rules, meta.rules),
        .visible_after = std::chrono::duration_cast<std::chrono::microseconds>(visible - start),
        .note = {},
    };
    if (had_handover && !program.has_handover) {
        let_handovers_arrive();
    }
    pins_.remove_generations_but(program.id);
    if (!program.has_samples) {
        maps.samples.reset();
    }
    if (!program.has_sockets) {
        maps.sockets.reset();
    }
    if (!program.has_limits) {
        maps.limits = {};
    }
    if (!program.has_shape) {
        maps.shape.reset();
    }
    if (!program.has_flows) {
        maps.flows = {};
    }
    if (!program.has_handover) {
        maps.handover = {};
    }
    program_ = std::move(program.fd);
    slots.commit(assigned);
    meta_ = std::move(meta);
    if (const auto forgiven = forgive(maps.limits, changed); !forgiven) {
        report.note =
            std::format("what keys owed under former rates stands: {}", forgiven.error().message());
    }
    return report;
}

Outcome<void>
Filter::switch_to(const LoadedProgram& program, const SharedMaps& maps, const Meta& meta) const {
    ZTRY(pin_generation(pins_, program, maps));
    ZTRY(pins_.pin(program.id, "meta", ZTRY(create_meta_map(meta))));
    LIBBPF_OPTS(
        bpf_link_update_opts,
        update,
        .flags = BPF_F_REPLACE,
        .old_prog_fd = static_cast<std::uint32_t>(program_.get())
    );
    if (bpf_link_update(link_.get(), program.fd.get(), &update) < 0) {
        const int error = errno;
        return fail(
            error == ENOLINK ? Error(PacketError::interface_gone, error) : os_error(error),
            std::format("cannot replace the rules of {}: {}", ifname_, os_error(error).message())
        );
    }
    return {};
}

Outcome<void> Filter::detach() {
    // While the link still tells.
    const std::optional<InterfaceFacts> found = device().value_or(std::nullopt);
    // A filter that is off while its pins stay would be taken for one that is wanted.
    ZTRY(pins_.check_removable());
    if (bpf_link_detach(link_.get()) < 0 && errno != ENOLINK) {
        const int error = errno;
        return fail(
            error == EPERM ? Error(PacketError::not_permitted, error) : os_error(error),
            std::format("cannot detach from {}: {}", ifname_, os_error(error).message())
        );
    }
    pins_.detached_link_step();
    if (maps_.handover) {
        let_handovers_arrive();
    }
    pins_.remove_all();
    maps_.handover = {};
    if (meta_.shape && found) {
        ZTRY(remove_fair_queue(found->ifindex, ifname_));
    }
    return {};
}

/// Where rules count, and where the clocks of their classes are.
Outcome<CounterSlots>
Filter::assign_slots(const RuleSet& rules, SlotTable& slots, SharedMaps& maps) const {
    CounterSlots assigned = ZTRY(slots.assign(rules, meta_.rules, maps.counters));
    if (rules.shape) {
        if (!maps.shape) {
            maps.shape = ZTRY(create_shape_clocks());
        }
        assigned.classes = assign_classes(*rules.shape, meta_.shape);
        ZTRY(forget_classes(maps.shape, assigned.classes, meta_.shape));
    }
    return assigned;
}

Outcome<ShapeReading> Filter::read_shape() const {
    if (!meta_.shape || !maps_.shape) {
        return ShapeReading{};
    }
    return packet::read_shape(maps_.shape, *meta_.shape);
}

Outcome<void> Filter::rename(std::string_view ifname) {
    ZTRY(pins_.rename(pinned_name(hook_, ifname, cgroup_id_)));
    ifname_ = ifname;
    return {};
}

Result<InterfaceStats> Filter::stats() const { return read_stats(maps_.stats); }

Result<std::vector<RuleCount>> Filter::rule_counts() const {
    const std::vector<RuleCount> by_slot = ZTRY(read_counters(maps_.counters));
    std::vector<RuleCount> counts;
    counts.reserve(meta_.rules.size());
    for (const LiveRule& rule : meta_.rules) {
        counts.push_back(rule.slot < by_slot.size() ? by_slot[rule.slot] : RuleCount{});
    }
    return counts;
}

Result<RuleCount> Filter::default_count() const {
    const std::vector<RuleCount> by_slot = ZTRY(read_counters(maps_.counters));
    return meta_.default_slot < by_slot.size() ? by_slot[meta_.default_slot] : RuleCount{};
}

/// Those that have the same keys as one of the rules before, but another rate.
std::vector<zsync_limit> Filter::changed_limits(const RuleSet& rules) const {
    std::unordered_map<std::uint64_t, std::string_view> before;
    for (const LiveRule& rule : meta_.rules) {
        if (!packet::limit_rate(rule.text).empty()) {
            before.emplace(limit_name(rule.text), rule.text);
        }
    }
    std::vector<zsync_limit> changed;
    for (const Rule& rule : rules.rules) {
        const std::optional<Limit>& limit = rule.actions.limit;
        if (!limit) {
            continue;
        }
        const auto found = before.find(limit_name(rule.text));
        if (found != before.end() && found->second != rule.text) {
            changed.push_back(compile_limit(rule.text, *limit));
        }
    }
    return changed;
}

/// New rules begin without what the former ones of their slots left. No program uses these yet.
Outcome<void> Filter::forget_limits(
    const RuleSet& rules, const CounterSlots& assigned, const LimitMaps& limits
) const {
    if (!limits) {
        return {};
    }
    for (std::size_t i = 0; i < rules.rules.size(); ++i) {
        const std::uint32_t slot = assigned.rules[i];
        if (rules.rules[i].actions.limit &&
            !std::ranges::contains(meta_.rules, slot, &LiveRule::slot)) {
            ZTRY(forget_slot(limits, slot));
        }
    }
    return {};
}

Outcome<LimitTable> Filter::read_limits(std::size_t keys_max) const {
    return maps_.limits ? packet::read_limits(maps_.limits, keys_max) : LimitTable{};
}

Result<std::uint64_t> Filter::limit_rate(std::uint32_t slot, const Limit& limit) const {
    return maps_.limits ? read_rate(maps_.limits, slot, limit) : limit.rate;
}

Result<void>
Filter::set_limit_rate(std::uint32_t slot, const Limit& limit, std::uint64_t rate) const {
    return maps_.limits ? write_rate(maps_.limits, slot, limit, rate) : Result<void>{};
}

Outcome<SampleReader> Filter::read_samples() const {
    if (!maps_.samples) {
        return fail(
            PacketError::no_samples,
            std::format("no rule of {} samples: give one 'sample 1/N'", ifname_)
        );
    }
    return SampleReader::open(maps_.samples);
}

Outcome<Fd> Filter::stats_map() const {
    Fd stats(::fcntl(maps_.stats.get(), F_DUPFD_CLOEXEC, 0));
    if (!stats) {
        return fail(os_error(errno), "cannot duplicate a descriptor");
    }
    return stats;
}

std::uint32_t Filter::ifindex() const {
    const std::optional<LinkFacts> link = link_facts(link_, hook_).value_or(std::nullopt);
    return link ? link->ifindex : meta_.ifindex;
}

/// The device of an interface's hook, unless it is in another network namespace.
Outcome<std::optional<InterfaceFacts>> Filter::device() const {
    const std::optional<LinkFacts> link = ZTRY(link_facts(link_, hook_));
    if (!link || !link->is_there()) {
        return fail(PacketError::interface_gone, std::format("the device of {} is gone", ifname_));
    }
    return device_of(*link, hook_);
}

/// The device, to give it something that it can be given in this network namespace alone.
Outcome<InterfaceFacts> Filter::device_for(std::string_view something) const {
    auto found = ZTRY(device());
    if (!found) {
        return fail(
            PacketError::mode_unavailable,
            std::format(
                "{} is in another network namespace, from where it cannot be given {}; attach it "
                "there",
                ifname_,
                something
            )
        );
    }
    return *std::move(found);
}

/// Of a filter whose record does not say it.
Outcome<void> Filter::learn_link_header() {
    if (meta_.starts_at_network) {
        return {};
    }
    FoundPoint point;
    point.point.kind = hook_;
    if (!is_of_cgroup(hook_)) {
        auto found = ZTRY(device());
        if (!found) {
            return fail(
                PacketError::mode_unavailable,
                std::format(
                    "{} is in another network namespace, and the version of zsync that attached "
                    "its filter did not write down whether its packets have an Ethernet header; "
                    "bring it back and load once, or detach it and attach it there",
                    ifname_
                )
            );
        }
        point.facts = *std::move(found);
    }
    meta_.starts_at_network = point.starts_at_network();
    return {};
}

Outcome<Whereabouts> Filter::whereabouts() const {
    const std::optional<LinkFacts> link = ZTRY(link_facts(link_, hook_));
    Whereabouts where{
        .state = Whereabouts::State::here, .ifindex = link ? link->ifindex : 0, .name = {}
    };
    if (!link || !link->is_there()) {
        where.state = Whereabouts::State::gone;
        return where;
    }
    if (is_of_cgroup(hook_)) {
        return where;
    }
    auto device = ZTRY(device_of(*link, hook_));
    if (!device) {
        where.state = Whereabouts::State::moved;
        return where;
    }
    where.name = std::move(device->name);
    if (where.name != ifname_) {
        where.state = Whereabouts::State::renamed;
    }
    return where;
}

} // namespace zsync::packet
