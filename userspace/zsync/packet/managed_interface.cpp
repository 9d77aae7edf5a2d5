#include <zsync/core/epoch_time.hpp>
#include <zsync/core/text.hpp>
#include <zsync/packet/attach_point.hpp>
#include <zsync/packet/engine.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/hook_rules.hpp>
#include <zsync/packet/limit_change.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/managed_interface.hpp>
#include <zsync/packet/rules.hpp>
#include <zsync/packet/rules_names.hpp>
#include <zsync/packet/shape_change.hpp>
#include <zsync/store/store.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <format>

namespace zsync::packet {
namespace {

template <class Value> struct Named {
    Value value;
    std::string_view name;
};

constexpr std::array state_names{
    Named{.value = InterfaceState::attached, .name = "attached"},
    Named{.value = InterfaceState::absent, .name = "absent"},
    Named{.value = InterfaceState::moved, .name = "moved"},
    Named{.value = InterfaceState::failed, .name = "failed"},
};
constexpr std::array xdp_mode_names{
    Named{.value = XdpMode::none, .name = ""},
    Named{.value = XdpMode::native, .name = "native"},
    Named{.value = XdpMode::generic, .name = "generic"},
    Named{.value = XdpMode::offload, .name = "offload"},
};
constexpr std::array verdict_names{
    Named{.value = Verdict::pass, .name = "pass"}, Named{.value = Verdict::drop, .name = "drop"}
};

template <class Value, std::size_t N>
constexpr std::string_view find_name(const std::array<Named<Value>, N>& names, Value value) {
    for (const auto& entry : names) {
        if (entry.value == value) {
            return entry.name;
        }
    }
    return {};
}

/// An interface that no rules were loaded for lets everything through.
RuleSet pass_everything() {
    RuleSet rules;
    rules.malformed_verdict = Verdict::pass;
    return rules;
}

bool is_absence(const Fault& fault) { return fault.error == Error(PacketError::no_such_interface); }

} // namespace

std::string_view name_of(InterfaceState state) noexcept { return find_name(state_names, state); }
std::string_view name_of(XdpMode mode) noexcept { return find_name(xdp_mode_names, mode); }
std::string_view name_of(Verdict verdict) noexcept { return find_name(verdict_names, verdict); }

ManagedInterface::ManagedInterface(
    store::Store& store, std::string bpf_dir, DesiredInterface desired
)
    : store_(&store), bpf_dir_(std::move(bpf_dir)), desired_(std::move(desired)),
      hooks_(bpf_dir_, desired_.name) {}

FilterOptions ManagedInterface::options() const {
    return {.ifname = desired_.name, .mode = desired_.mode, .bpf_dir = bpf_dir_};
}

void ManagedInterface::set_state(InterfaceState state, std::string reason) {
    state_ = state;
    reason_ = std::move(reason);
}

Outcome<RuleSet> ManagedInterface::desired_rules() const {
    return with_temporary(ZTRY(loaded_rules()), desired_.temporary);
}

Outcome<RuleSet> ManagedInterface::loaded_rules() const {
    if (desired_.rules.empty()) {
        return pass_everything();
    }
    auto rules = parse_rules(desired_.rules, desired_.source, &read_regular_file);
    if (!rules) {
        return fail(PacketError::invalid_rules, join_messages(rules.error()));
    }
    return *std::move(rules);
}

Outcome<void> ManagedInterface::save() const {
    return store_->put(document_name(desired_.name), encode(desired_));
}

/// Whose failure leaves the interface attached, with a reason.
void ManagedInterface::apply_hooks(const RuleSet& rules) {
    if (const Outcome<void> applied = hooks_.apply_each(rules); !applied) {
        reason_ = applied.error().message();
    }
}

Receiver ManagedInterface::receiver() const {
    if (filter_) {
        return {
            .ifname = desired_.name,
            .driver = filter_->mode() != XdpMode::generic,
            .starts_at_network = filter_->starts_at_network(),
        };
    }
    // As `Filter::attach` takes it to be before it has tried.
    FoundPoint point;
    point.point.kind = HookKind::xdp;
    point.facts = interface_facts(desired_.name).value_or(InterfaceFacts{});
    return {
        .ifname = desired_.name,
        .driver = desired_.mode != AttachMode::generic,
        .starts_at_network = point.starts_at_network(),
    };
}

std::optional<ChallengeTerms> ManagedInterface::challenge_terms_of(const RuleSet& rules) const {
    return challenges(rules) ? std::optional(challenge_terms(desired_.name)) : std::nullopt;
}

Outcome<void> ManagedInterface::attach_filter() {
    RulesHere here = ZTRY(rules_here(ZTRY(desired_rules()), receiver()));
    const RuleSet& all_rules = here.rules;
    const RuleSet rules = rules_of_hook(all_rules, 0);
    // Before the rules are made for them: a change in between is seen next time.
    const std::optional<ChallengeTerms> terms = challenge_terms_of(rules);
    auto filter = Filter::attach(options(), rules);
    if (!filter && filter.error().error == Error(PacketError::already_attached)) {
        // Left by an earlier run whose desired state was lost.
        filter = Filter::adopt(options());
        adopted_ = filter.has_value();
        if (filter) {
            ZTRY(filter->load(rules));
        }
    }
    filter_.emplace(ZTRY(std::move(filter)));
    challenge_terms_ = terms;
    hindrances_ = std::move(here.hindrances);
    set_state(InterfaceState::attached, hindrances_.words());
    hooks_.adopt();
    apply_hooks(all_rules);
    return {};
}

Outcome<void> ManagedInterface::attach(Presence presence) {
    ZTRY(save());
    const Outcome<void> attached = attach_filter();
    if (attached) {
        return {};
    }
    if (presence == Presence::optional && is_absence(attached.error())) {
        set_state(InterfaceState::absent, attached.error().message());
        return {};
    }
    ZTRY(store_->erase(document_name(desired_.name)));
    return attached;
}

void ManagedInterface::adopt(bool rules_known) {
    rules_known_ = rules_known;
    std::erase_if(
        desired_.temporary,
        [now = epoch_time<std::chrono::microseconds>()](const TemporaryRule& rule) {
            return rule.expires_realtime_us <= now;
        }
    );
    hooks_.adopt();
    auto filter = Filter::adopt(options());
    if (filter) {
        filter_.emplace(*std::move(filter));
        adopted_ = true;
        set_state(InterfaceState::attached);
        load_desired();
        return;
    }
    const Error error = filter.error().error;
    if (error != Error(PacketError::not_attached) && error != Error(PacketError::interface_gone)) {
        set_state(InterfaceState::failed, filter.error().message());
    }
}

void ManagedInterface::load_desired() {
    if (!rules_known_) {
        reason_ = "the saved rules were lost; the rules that were attached go on matching";
        return;
    }
    const auto loaded =
        desired_rules().and_then([this](RuleSet rules) { return apply(std::move(rules)); });
    if (!loaded) {
        reason_ = "the rules that were attached go on matching: " + loaded.error().message();
    }
}

/// The hooks first: they are more likely to fail, and nothing has changed by then.
Outcome<LoadReport> ManagedInterface::apply(RuleSet wanted) {
    if (!filter_) {
        return not_attached();
    }
    RulesHere here = ZTRY(rules_here(std::move(wanted), receiver()));
    const RuleSet& rules = here.rules;
    ZTRY(hooks_.apply(rules));
    const std::optional<ChallengeTerms> terms = challenge_terms_of(rules);
    LoadReport report = ZTRY(filter_->load(rules_of_hook(rules, 0)));
    challenge_terms_ = terms;
    hindrances_ = std::move(here.hindrances);
    reason_ = hindrances_.words();
    report.rules = static_cast<std::uint32_t>(rules.rules.size());
    report.prefixes = prefix_count(rules);
    if (hindrances_.any()) {
        report.note += (report.note.empty() ? "" : "; ") + reason_;
    }
    return report;
}

Outcome<LoadReport>
ManagedInterface::load(const RuleSet& rules, std::string source, Absent absent) {
    if (filter_ && absent == Absent::refused) {
        ZTRY(check_rules_here(rules, receiver()));
    }
    return put_into_force(rules, std::move(source));
}

Outcome<LoadReport> ManagedInterface::put_into_force(const RuleSet& rules, std::string source) {
    const DesiredInterface before = desired_;
    desired_.rules = format_rules(rules);
    desired_.source = std::move(source);
    desired_.load_realtime_us = epoch_time<std::chrono::microseconds>();
    if (const Outcome<void> saved = save(); !saved) {
        desired_ = before;
        return fail(saved.error().error, saved.error().detail);
    }
    if (!filter_) {
        rules_known_ = true;
        LoadReport report;
        report.rules = static_cast<std::uint32_t>(rules.rules.size());
        for (const AddressSet& set : rules.address_sets) {
            report.prefixes += set.size();
        }
        report.note = std::format(
            "{} is {}: the rules apply when it is attached", desired_.name, name_of(state_)
        );
        return report;
    }
    Outcome<LoadReport> loaded = apply(with_temporary(rules, desired_.temporary));
    if (!loaded) {
        desired_ = before;
        ZTRY(save());
        // Hooks that had their new rules by then; what they came from is known to load.
        if (const auto restored =
                desired_rules().and_then([this](RuleSet old) { return apply(std::move(old)); });
            !restored) {
            reason_ = "not all rules before could be put back: " + restored.error().message();
        }
        return loaded;
    }
    rules_known_ = true;
    return loaded;
}

Outcome<SetReport> ManagedInterface::change_set(SetChange change) {
    RuleSet rules = ZTRY(loaded_rules());
    SetReport report{.counts = ZTRY(packet::change_set(rules, std::move(change))), .load = {}};
    if (report.counts.added == 0 && report.counts.removed == 0) {
        return report;
    }
    report.load = ZTRY(load_changed(rules));
    return report;
}

Outcome<std::string> ManagedInterface::change_limit(std::string_view rule, std::string_view rate) {
    RuleSet rules = ZTRY(loaded_rules());
    std::string changed = ZTRY(packet::change_limit(rules, rule, rate));
    if (changed != rule) {
        ZTRY(load_changed(rules));
    }
    return changed;
}

Outcome<std::string> ManagedInterface::change_class(std::string_view name, std::string_view rates) {
    RuleSet rules = ZTRY(loaded_rules());
    const std::optional<Shape> before = rules.shape;
    std::string changed = ZTRY(packet::change_class(rules, name, rates));
    if (rules.shape != before) {
        ZTRY(load_changed(rules));
    }
    return changed;
}

Outcome<std::string> ManagedInterface::change_shape(std::string_view rates) {
    RuleSet rules = ZTRY(loaded_rules());
    const std::optional<Shape> before = rules.shape;
    std::string changed = ZTRY(packet::change_shape(rules, rates));
    if (rules.shape != before) {
        ZTRY(load_changed(rules));
    }
    return changed;
}

Outcome<LoadReport> ManagedInterface::load_changed(const RuleSet& rules) {
    auto checked = parse_rules(format_rules(rules), desired_.source, &read_regular_file);
    if (!checked) {
        return fail(PacketError::invalid_rules, join_messages(checked.error()));
    }
    return put_into_force(*checked, desired_.source);
}

Outcome<void> ManagedInterface::change_temporary(std::vector<TemporaryRule> temporary) {
    if (!rules_known_) {
        return fail(
            PacketError::invalid_desired_state,
            std::format("the saved rules of {} were lost: load them first", desired_.name)
        );
    }
    std::vector<TemporaryRule> before = std::exchange(desired_.temporary, std::move(temporary));
    Outcome<void> saved = save();
    if (!saved) {
        desired_.temporary = std::move(before);
        return saved;
    }
    if (!filter_) {
        return {};
    }
    const auto applied =
        desired_rules().and_then([this](RuleSet rules) { return apply(std::move(rules)); });
    if (applied) {
        return {};
    }
    desired_.temporary = std::move(before);
    ZTRY(save());
    load_desired();
    return std::unexpected(applied.error());
}

Outcome<std::vector<std::string>> ManagedInterface::add_rules(
    const std::vector<std::string>& texts, std::uint64_t expires_realtime_us
) {
    std::vector<TemporaryRule> temporary = desired_.temporary;
    std::vector<std::string> added;
    for (const std::string& text : texts) {
        const TemporaryRule rule{
            .text = ZTRY(canonical_rule(text)), .expires_realtime_us = expires_realtime_us
        };
        if (filter_) {
            ZTRY(check_rules_here(with_temporary(RuleSet{}, std::span(&rule, 1)), receiver()));
        }
        std::erase_if(temporary, [&](const TemporaryRule& known) {
            return known.text == rule.text;
        });
        if (temporary.size() == limits::temporary_rules_max) {
            break;
        }
        temporary.push_back(rule);
        added.push_back(rule.text);
    }
    if (added.empty()) {
        return fail(
            CoreError::limit_reached,
            std::format(
                "{} has {} temporary rules, which is the limit",
                desired_.name,
                limits::temporary_rules_max
            )
        );
    }
    ZTRY(change_temporary(std::move(temporary)));
    return added;
}

Outcome<std::string> ManagedInterface::remove_rule(std::string_view text) {
    std::string canonical = ZTRY(canonical_rule(text));
    std::vector<TemporaryRule> temporary = desired_.temporary;
    if (std::erase_if(temporary, [&](const TemporaryRule& rule) {
            return rule.text == canonical;
        }) == 0) {
        return fail(
            PacketError::no_such_rule,
            std::format("{} has no temporary rule '{}'", desired_.name, canonical)
        );
    }
    ZTRY(change_temporary(std::move(temporary)));
    return canonical;
}

Outcome<bool> ManagedInterface::expire(std::uint64_t now_realtime_us) {
    std::vector<TemporaryRule> temporary = desired_.temporary;
    if (std::erase_if(temporary, [&](const TemporaryRule& rule) {
            return rule.expires_realtime_us <= now_realtime_us;
        }) == 0) {
        return false;
    }
    ZTRY(change_temporary(std::move(temporary)));
    return true;
}

Outcome<Explanation>
ManagedInterface::explain(std::string_view hook, const MadePacket& packet) const {
    const RuleSet all = ZTRY(rules_here(ZTRY(desired_rules()), receiver())).rules;
    const auto place = std::ranges::find(all.hooks, hook, hook_name);
    const bool is_own = hook == "in";
    if (!is_own && place == all.hooks.end()) {
        return no_rules_at(hook);
    }
    const auto index =
        is_own ? 0U : static_cast<std::uint32_t>(std::distance(all.hooks.begin(), place) + 1);
    const RuleSet rules = rules_of_hook(all, index);
    const auto same = [](const LiveRule& live, const Rule& rule) { return live.text == rule.text; };
    if (filter_ && !std::ranges::equal(ZTRY(filter_at(hook))->live_rules(), rules.rules, same)) {
        return fail(
            PacketError::not_attached,
            std::format(
                "the rules in force on {} are not those that are saved ({}): load them first",
                desired_.name,
                reason_
            )
        );
    }
    return packet::explain(rules, packet, is_own ? HookKind::xdp : hook_kind(*place));
}

Outcome<void> ManagedInterface::reload_with(
    Filter& filter, const std::function<void(Filter& filter, bool yes)>& set
) {
    if (!rules_known_) {
        return fail(
            PacketError::not_attached,
            std::format("the saved rules of {} were lost: load them first", desired_.name)
        );
    }
    set(filter, true);
    const auto loaded =
        desired_rules().and_then([this](RuleSet rules) { return apply(std::move(rules)); });
    if (!loaded) {
        set(filter, false);
        return std::unexpected(loaded.error());
    }
    return {};
}

Outcome<Fd> ManagedInterface::send_to_sockets(bool on) {
    if (!filter_) {
        return fail(
            PacketError::not_attached,
            std::format("{} is {}: it has no packets", desired_.name, name_of(state_))
        );
    }
    if (on && filter_->starts_at_network()) {
        return fail(
            PacketError::mode_unavailable,
            std::format(
                "packets of {} have no Ethernet header, and so none goes to AF_XDP sockets",
                desired_.name
            )
        );
    }
    ZTRY(reload_with(*filter_, [on](Filter& filter, bool yes) {
        filter.send_to_sockets(on == yes);
    }));
    if (!on) {
        return Fd();
    }
    Fd map(::fcntl(filter_->socket_map().get(), F_DUPFD_CLOEXEC, 0));
    if (!map) {
        return fail(os_error(errno), "no descriptor for a map of sockets");
    }
    return map;
}

Outcome<std::optional<FlowReader>>
ManagedInterface::count_flows(bool on, const analysis::FlowOptions& options) {
    if (!filter_) {
        return not_attached();
    }
    const auto count = [this, &options](bool wanted) {
        return reload_with(*filter_, [&](Filter& filter, bool yes) {
            filter.count_flows(wanted == yes, options);
        });
    };
    if (on && filter_->flow_maps() &&
        ZTRY(flow_lines_of(filter_->flow_maps())) != flow_lines_for(options.flows_max)) {
        ZTRY(count(false));
    }
    if (on != static_cast<bool>(filter_->flow_maps())) {
        ZTRY(count(on));
    }
    std::optional<FlowReader> reader;
    if (on) {
        reader = ZTRY(FlowReader::open(filter_->flow_maps(), options));
    }
    return reader;
}

Outcome<void> ManagedInterface::detach() {
    ZTRY(store_->erase(document_name(desired_.name)));
    if (const Outcome<void> detached = hooks_.detach(); !detached) {
        ZTRY(save());
        return detached;
    }
    if (filter_) {
        if (const Outcome<void> detached = filter_->detach(); !detached) {
            ZTRY(save());
            return detached;
        }
        filter_.reset();
    }
    return {};
}

std::optional<std::string> ManagedInterface::new_name() const {
    if (!filter_) {
        return std::nullopt;
    }
    auto where = filter_->whereabouts();
    if (!where || where->state != Whereabouts::State::renamed) {
        return std::nullopt;
    }
    return std::move(where->name);
}

Outcome<void> ManagedInterface::rename(const std::string& name) {
    const std::string old = desired_.name;
    desired_.name = name;
    // The new document first: a crash in between leaves two, of which one names no device.
    Outcome<void> moved = save();
    if (moved && filter_) {
        moved = filter_->rename(name);
    }
    if (moved) {
        moved = hooks_.rename(name);
    }
    if (!moved) {
        desired_.name = old;
        set_state(
            InterfaceState::attached,
            std::format("the device is called {} now: {}", name, moved.error().message())
        );
        return moved;
    }
    const Outcome<void> erased = store_->erase(document_name(old));
    set_state(InterfaceState::attached, erased ? hindrances_.words() : erased.error().message());
    return {};
}

void ManagedInterface::reconcile() {
    if (filter_) {
        const auto where = filter_->whereabouts();
        if (!where) {
            set_state(InterfaceState::failed, where.error().message());
            return;
        }
        switch (where->state) {
        case Whereabouts::State::here:
            // One that comes back has lost its qdiscs.
            if (state_ != InterfaceState::attached || hindrances_.is_one_over(receiver()) ||
                (challenge_terms_ && challenge_terms_ != challenge_terms(desired_.name))) {
                set_state(InterfaceState::attached);
                load_desired();
            }
            return;
        case Whereabouts::State::renamed:
            return;
        case Whereabouts::State::moved:
            if (!interface_facts(desired_.name)) {
                set_state(
                    InterfaceState::moved,
                    "the device is in another network namespace, where the rules go on matching"
                );
                return;
            }
            // Another device has the name here: the name is what a person asked to be filtered.
            break;
        case Whereabouts::State::gone:
            break;
        }
        if (const Outcome<void> detached = filter_->detach(); !detached) {
            set_state(InterfaceState::failed, detached.error().message());
            return;
        }
        filter_.reset();
        adopted_ = false;
        if (const Outcome<void> left = hooks_.leave_device(); !left) {
            set_state(InterfaceState::failed, left.error().message());
            return;
        }
    }
    if (const Outcome<void> attached = attach_filter(); !attached) {
        set_state(
            is_absence(attached.error()) ? InterfaceState::absent : InterfaceState::failed,
            attached.error().message()
        );
    }
}

Outcome<void> ManagedInterface::yield_name() { return hooks_.detach(); }

InterfaceView ManagedInterface::view() const {
    InterfaceView view{
        .name = desired_.name,
        .requested_mode = desired_.mode,
        .state = state_,
        .reason = reason_,
        .adopted = adopted_,
        .rules_source = desired_.source,
        .load_realtime_us = desired_.load_realtime_us,
        .temporary = desired_.temporary,
    };
    if (filter_) {
        view.ifindex = filter_->ifindex();
        view.mode = filter_->mode();
        view.program_id = filter_->program_id();
        view.layout_version = filter_->layout_version();
        view.rules = static_cast<std::uint32_t>(filter_->live_rules().size());
        view.prefixes = filter_->prefixes();
        view.default_verdict = filter_->default_verdict();
        view.malformed_verdict = filter_->malformed_verdict();
        view.adapts = LimitControl::adapts(*filter_);
        view.counts_flows = static_cast<bool>(filter_->flow_maps());
        view.waits = hindrances_.any();
        view.challenges = challenge_terms_.has_value();
    }
    for (const HookFilters::Attached& attached : hooks_.attached()) {
        view.rules += static_cast<std::uint32_t>(attached.filter.live_rules().size());
        view.prefixes += attached.filter.prefixes();
        view.adapts = view.adapts || LimitControl::adapts(attached.filter);
    }
    return view;
}

Outcome<void> ManagedInterface::adapt_limits() {
    // In another namespace nobody could say how it fares.
    if (!filter_ || state_ != InterfaceState::attached) {
        return {};
    }
    std::vector<const Filter*> filters{&*filter_};
    for (const HookFilters::Attached& hook : hooks_.attached()) {
        filters.push_back(&hook.filter);
    }
    return limit_control_.step(filter_->ifindex(), filters);
}

std::unexpected<Fault> ManagedInterface::not_attached() const {
    return fail(
        PacketError::not_attached,
        std::format("{} is {}: {}", desired_.name, name_of(state_), reason_)
    );
}

} // namespace zsync::packet
