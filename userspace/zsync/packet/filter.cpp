#include <zsync/packet/engine.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/filter.hpp>
#include <zsync/packet/limits.hpp>

#include <bpf/bpf.h>
#include <linux/if_link.h>

#include <algorithm>
#include <cerrno>
#include <format>
#include <unordered_set>
#include <utility>

namespace zsync::packet {
namespace {

Result<bpf_link_info> info_of(const Fd& link) {
    bpf_link_info info{};
    std::uint32_t bytes = sizeof(info);
    if (bpf_link_get_info_by_fd(link.get(), &info, &bytes) < 0) {
        return fail(os_error(errno));
    }
    return info;
}

/// "id 17 (its_name)", the name only for those who may ask for it.
std::string program_words(std::uint32_t id) {
    const Fd program(bpf_prog_get_fd_by_id(id));
    bpf_prog_info info{};
    std::uint32_t bytes = sizeof(info);
    if (!program || bpf_prog_get_info_by_fd(program.get(), &info, &bytes) < 0) {
        return std::format("id {}", id);
    }
    return std::format("id {} ({})", id, info.name);
}

Outcome<void> check_attachable(const InterfaceFacts& facts) {
    if (facts.master_kind == "bond" || facts.master_kind == "team") {
        const auto master = interface_facts(facts.master_ifindex);
        return fail(
            PacketError::interface_enslaved,
            std::format(
                "{} is a port of the {} {}, which owns its packet path; attach to that instead",
                facts.name,
                facts.master_kind,
                master ? master->name : std::format("number {}", facts.master_ifindex)
            )
        );
    }
    if (facts.xdp_mode != XdpMode::none) {
        return fail(
            PacketError::foreign_program,
            std::format(
                "{} already carries an XDP program that is not zsync's, {}; remove that first "
                "(zsync "
                "never replaces it)",
                facts.name,
                program_words(facts.xdp_program_id)
            )
        );
    }
    return {};
}

Fault link_fault(int error, const InterfaceFacts& facts, AttachMode mode) {
    switch (error) {
    case EPERM:
    case EACCES:
        return {
            Error(PacketError::not_permitted, error),
            "attaching an XDP program needs CAP_BPF and CAP_NET_ADMIN (or root)"
        };
    case EBUSY:
    case EEXIST:
        return {
            Error(PacketError::foreign_program, error),
            std::format("{} already carries another XDP program", facts.name)
        };
    case ENODEV:
        return {
            Error(PacketError::no_such_interface, error),
            std::format("interface {} went away", facts.name)
        };
    default:
        return {
            Error(PacketError::mode_unavailable, error),
            std::format(
                "{} (driver kind '{}', MTU {}) cannot take an XDP program in {} mode: {}",
                facts.name,
                facts.kind.empty() ? "hardware" : facts.kind,
                facts.mtu,
                mode == AttachMode::native ? "native" : "generic",
                os_error(error).message()
            )
        };
    }
}

std::uint32_t count_kept(const std::vector<LiveRule>& before, const std::vector<LiveRule>& after) {
    std::unordered_set<std::uint32_t> slots;
    for (const LiveRule& rule : before) {
        slots.insert(rule.slot);
    }
    const auto kept = [&](const LiveRule& rule) { return slots.contains(rule.slot); };
    return static_cast<std::uint32_t>(std::ranges::count_if(after, kept));
}

std::uint64_t realtime_usec() {
    using namespace std::chrono;
    return static_cast<std::uint64_t>(
        duration_cast<microseconds>(system_clock::now().time_since_epoch()).count()
    );
}

} // namespace

Outcome<Filter> Filter::attach(const FilterOptions& options, const RuleSet& rules) {
    const InterfaceFacts facts = ZTRY(interface_facts(options.ifname));
    Pins pins(options.bpf_dir, options.ifname, options.on_step);
    if (const auto link = pins.open_link()) {
        const bpf_link_info info = ZTRY(info_of(*link));
        if (info.xdp.ifindex != 0) {
            return fail(
                PacketError::already_attached,
                std::format(
                    "{} has a zsync filter already, pinned in {}", facts.name, pins.directory()
                )
            );
        }
        pins.remove_all();
    }
    ZTRY(check_attachable(facts));
    ZTRY(pins.create());
    auto maps = create_shared_maps();
    if (!maps) {
        pins.remove_all();
        return std::unexpected(std::move(maps).error());
    }
    Filter filter(options.ifname, pins, *std::move(maps), SlotTable::fresh());
    if (auto attached = filter.attach_pinned(options, rules, facts); !attached) {
        if (filter.link_) {
            bpf_link_detach(filter.link_.get());
        }
        pins.remove_all();
        return std::unexpected(std::move(attached).error());
    }
    return filter;
}

/// A crash before the last step closes the link with the process: nothing stays attached, and what
/// is pinned by then is no filter without a pinned link.
Outcome<void> Filter::attach_pinned(
    const FilterOptions& options, const RuleSet& rules, const InterfaceFacts& facts
) {
    pins_.remove_generations_but(0);
    const CounterSlots slots = ZTRY(slots_.assign(rules, {}, maps_.counters));
    LoadedProgram program = ZTRY(load_program(ZTRY(compile(rules, slots)), maps_));
    meta_.ifindex = facts.ifindex;
    ZTRY(pin_generation(program, maps_));
    ZTRY(create_link(program, options.mode, facts));
    const Meta meta = describe(rules, slots, program.id);
    ZTRY(pins_.pin(program.id, "meta", ZTRY(create_meta_map(meta))));
    ZTRY(pins_.pin_link(link_));
    program_ = std::move(program.fd);
    meta_ = meta;
    slots_.commit(slots);
    return {};
}

Outcome<void>
Filter::create_link(const LoadedProgram& program, AttachMode mode, const InterfaceFacts& facts) {
    const auto create = [&](std::uint32_t flags) {
        LIBBPF_OPTS(bpf_link_create_opts, link_options, .flags = flags);
        link_ = Fd(bpf_link_create(
            program.fd.get(), static_cast<int>(facts.ifindex), BPF_XDP, &link_options
        ));
        return link_ ? 0 : errno;
    };
    int error = 0;
    if (mode != AttachMode::generic) {
        error = create(XDP_FLAGS_DRV_MODE);
        meta_.mode = XdpMode::native;
    }
    // What a driver cannot do, the stack can; who may not do the one may not do the other.
    const bool driver_cannot =
        error != EPERM && error != EBUSY && error != EEXIST && error != ENODEV;
    if (mode == AttachMode::generic ||
        (mode == AttachMode::automatic && error != 0 && driver_cannot)) {
        mode = AttachMode::generic;
        error = create(XDP_FLAGS_SKB_MODE);
        meta_.mode = XdpMode::generic;
    }
    if (error != 0) {
        return std::unexpected(link_fault(
            error, facts, mode == AttachMode::generic ? AttachMode::generic : AttachMode::native
        ));
    }
    pins_.created_link_step();
    return {};
}

Outcome<void> Filter::pin_generation(const LoadedProgram& program, const SharedMaps& maps) const {
    ZTRY(pins_.create_generation(program.id));
    ZTRY(pins_.pin(program.id, "program", program.fd));
    ZTRY(pins_.pin(program.id, "counters", maps.counters));
    if (program.has_samples) {
        ZTRY(pins_.pin(program.id, "samples", maps.samples));
    }
    return pins_.pin(program.id, "stats", maps.stats);
}

Meta Filter::describe(const RuleSet& rules, const CounterSlots& slots, std::uint32_t program_id)
    const {
    Meta meta{
        .layout_version = ZSYNC_LAYOUT_VERSION,
        .code_hash = program_code_hash(),
        .program_id = program_id,
        .ifindex = meta_.ifindex,
        .ifname = ifname_,
        .mode = meta_.mode,
        .default_verdict = rules.default_verdict,
        .malformed_verdict = rules.malformed_verdict,
        .default_slot = slots.by_default,
        .prefixes = prefix_count(rules),
        .loaded_realtime_usec = realtime_usec(),
        .rules = {},
    };
    for (std::size_t i = 0; i < rules.rules.size(); ++i) {
        const Rule& rule = rules.rules[i];
        meta.rules.push_back({rule.text, rule.name, slots.rules[i], rule.verdict});
    }
    return meta;
}

Outcome<Filter> Filter::adopt(const FilterOptions& options) {
    Pins pins(options.bpf_dir, options.ifname, options.on_step);
    auto link = pins.open_link();
    if (!link) {
        const int error = link.error().os_error();
        if (error == EPERM || error == EACCES) {
            return fail(
                Error(PacketError::not_permitted, error),
                std::format("may not open what is pinned in {}", pins.directory())
            );
        }
        pins.remove_all();
        return fail(
            PacketError::not_attached,
            std::format("no zsync filter is pinned for {}", options.ifname)
        );
    }
    const bpf_link_info info = ZTRY(info_of(*link));
    if (info.type != BPF_LINK_TYPE_XDP) {
        return fail(
            PacketError::damaged_pins, std::format("{}/link is not an XDP link", pins.directory())
        );
    }
    if (info.xdp.ifindex == 0) {
        pins.remove_all();
        return fail(
            PacketError::interface_gone,
            std::format("the device that {}'s filter was attached to is gone", options.ifname)
        );
    }
    const auto open = [&](std::string_view name) -> Outcome<Fd> {
        auto fd = pins.open(info.prog_id, name);
        if (!fd) {
            return fail(
                PacketError::damaged_pins,
                std::format(
                    "{} of the live generation in {}: {}",
                    name,
                    pins.directory(),
                    fd.error().message()
                )
            );
        }
        return *std::move(fd);
    };
    Fd program = ZTRY(open("program"));
    SharedMaps maps{
        .counters = ZTRY(open("counters")),
        .stats = ZTRY(open("stats")),
        .samples = pins.open(info.prog_id, "samples").value_or(Fd()),
    };
    Meta meta = ZTRY(read_meta_map(ZTRY(open("meta"))));
    if (ZTRY(packet::program_id(program)) != info.prog_id || meta.program_id != info.prog_id) {
        return fail(
            PacketError::damaged_pins,
            std::format("the generations in {} do not fit the link", pins.directory())
        );
    }
    pins.remove_generations_but(info.prog_id);

    Filter filter(options.ifname, std::move(pins), std::move(maps), SlotTable::adopted(meta));
    filter.link_ = *std::move(link);
    filter.program_ = std::move(program);
    filter.meta_ = std::move(meta);
    filter.meta_.ifindex = info.xdp.ifindex;
    return filter;
}

std::vector<std::string> Filter::list_pinned(std::string_view bpf_dir) {
    return Pins::list(bpf_dir);
}

bool Filter::needs_upgrade() const {
    return meta_.layout_version != ZSYNC_LAYOUT_VERSION || meta_.code_hash != program_code_hash();
}

Outcome<LoadReport> Filter::load(const RuleSet& rules) {
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
    const CounterSlots assigned = ZTRY(slots.assign(rules, meta_.rules, maps.counters));
    LoadedProgram program = ZTRY(load_program(ZTRY(compile(rules, assigned)), maps));
    Meta meta = describe(rules, assigned, program.id);
    if (auto switched = switch_to(program, maps, meta); !switched) {
        pins_.remove_generations_but(meta_.program_id);
        return std::unexpected(std::move(switched).error());
    }
    const auto visible = std::chrono::steady_clock::now();
    pins_.updated_link_step();
    LoadReport report{
        .rules = static_cast<std::uint32_t>(rules.rules.size()),
        .prefixes = meta.prefixes,
        .kept = count_kept(meta_.rules, meta.rules),
        .visible_after = std::chrono::duration_cast<std::chrono::microseconds>(visible - start),
        .note = {},
    };
    pins_.remove_generations_but(program.id);
    if (!program.has_samples) {
        maps.samples.reset();
    }
    program_ = std::move(program.fd);
    slots.commit(assigned);
    meta_ = std::move(meta);
    return report;
}

Outcome<void>
Filter::switch_to(const LoadedProgram& program, const SharedMaps& maps, const Meta& meta) const {
    ZTRY(pin_generation(program, maps));
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
    if (bpf_link_detach(link_.get()) < 0 && errno != ENOLINK) {
        const int error = errno;
        return fail(
            error == EPERM ? Error(PacketError::not_permitted, error) : os_error(error),
            std::format("cannot detach from {}: {}", ifname_, os_error(error).message())
        );
    }
    pins_.detached_link_step();
    pins_.remove_all();
    return {};
}

Outcome<void> Filter::rename(std::string_view ifname) {
    ZTRY(pins_.rename(ifname));
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

Outcome<SampleReader> Filter::read_samples() const {
    if (!maps_.samples) {
        return fail(
            PacketError::no_samples,
            std::format("no rule of {} samples: give one 'sample 1/N'", ifname_)
        );
    }
    return SampleReader::open(maps_.samples);
}

Outcome<Whereabouts> Filter::whereabouts() const {
    const bpf_link_info info = ZTRY(info_of(link_));
    Whereabouts where{.state = Whereabouts::State::here, .ifindex = info.xdp.ifindex, .name = {}};
    if (where.ifindex == 0) {
        where.state = Whereabouts::State::gone;
        return where;
    }
    // In another namespace the index may be free here, or be another device's.
    const auto facts = interface_facts(where.ifindex);
    if (!facts && facts.error().error != Error(PacketError::no_such_interface)) {
        return std::unexpected(facts.error());
    }
    if (!facts || facts->xdp_program_id != info.prog_id) {
        where.state = Whereabouts::State::moved;
        return where;
    }
    where.name = facts->name;
    if (where.name != ifname_) {
        where.state = Whereabouts::State::renamed;
    }
    return where;
}

} // namespace zsync::packet
