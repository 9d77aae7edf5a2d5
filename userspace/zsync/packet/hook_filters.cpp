#include <zsync/packet/cgroup_tree.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/fair_queue.hpp>
#include <zsync/packet/hook_filters.hpp>
#include <zsync/packet/hook_rules.hpp>
#include <zsync/packet/rules_names.hpp>

#include <algorithm>
#include <format>
#include <utility>

namespace zsync::packet {

HookKind hook_kind(const Hook& hook) {
    if (hook.cgroup.empty()) {
        return HookKind::tcx_out;
    }
    return hook.direction == Direction::in ? HookKind::cgroup_in : HookKind::cgroup_out;
}

std::string hook_name(const Hook& hook) {
    const std::string_view way = direction_words[std::to_underlying(hook.direction)];
    return hook.cgroup.empty() ? std::string(way) : std::format("{} {}", way, hook.cgroup);
}

FilterOptions HookFilters::options_for(const Hook& hook) const {
    FilterOptions options{.ifname = ifname_, .bpf_dir = bpf_dir_};
    options.hook = hook_kind(hook);
    options.cgroup = hook.cgroup;
    return options;
}

HookFilters::Attached* HookFilters::find(HookKind kind, std::uint64_t cgroup_id) {
    const auto found = std::ranges::find_if(attached_, [&](const Attached& attached) {
        return attached.filter.hook() == kind && attached.filter.cgroup_id() == cgroup_id;
    });
    return found == attached_.end() ? nullptr : &*found;
}

void HookFilters::adopt() {
    for (const PinnedHook& pinned : Filter::list_pinned_hooks(bpf_dir_)) {
        if (pinned.ifname != ifname_ || find(pinned.hook, pinned.cgroup_id) != nullptr) {
            continue;
        }
        FilterOptions options{.ifname = ifname_, .bpf_dir = bpf_dir_};
        options.hook = pinned.hook;
        options.cgroup_id = pinned.cgroup_id;
        // What is gone is cleaned up by this; what is damaged is attached anew by `apply`.
        if (auto filter = Filter::adopt(options)) {
            const Direction direction =
                pinned.hook == HookKind::cgroup_in ? Direction::in : Direction::out;
            attached_.push_back(
                {.hook = {.cgroup = {}, .direction = direction}, .filter = *std::move(filter)}
            );
        }
    }
    // A crash between a shape's qdisc and its program, or between its end and the qdisc's.
    if (find(HookKind::tcx_out, 0) == nullptr) {
        if (const auto facts = interface_facts(ifname_)) {
            (void)remove_fair_queue(facts->ifindex, ifname_);
        }
    }
}

Outcome<void> HookFilters::apply_hook(const RuleSet& rules, std::uint32_t hook) {
    const Hook& wanted = rules.hooks[hook - 1];
    const RuleSet own = rules_of_hook(rules, hook);
    FilterOptions options = options_for(wanted);
    if (!wanted.cgroup.empty()) {
        options.cgroup_id = ZTRY(find_cgroup(wanted.cgroup)).id;
    }
    if (Attached* const attached = find(options.hook, options.cgroup_id)) {
        attached->wanted = true;
        ZTRY(attached->filter.load(own));
        attached->hook = wanted;
        return {};
    }
    auto filter = Filter::attach(options, own);
    if (!filter && filter.error().error == Error(PacketError::already_attached)) {
        // Of an earlier run, and `adopt` could not open it then.
        filter = Filter::adopt(options);
        if (filter) {
            ZTRY(filter->load(own));
        }
    }
    attached_.push_back({.hook = wanted, .filter = ZTRY(std::move(filter))});
    return {};
}

Outcome<void> HookFilters::begin_apply() {
    ZTRY(remove_gone());
    for (Attached& attached : attached_) {
        attached.wanted = false;
    }
    return {};
}

Outcome<void> HookFilters::detach_unwanted() {
    for (Attached& attached : attached_) {
        if (!attached.wanted) {
            ZTRY(attached.filter.detach());
        }
    }
    std::erase_if(attached_, [](const Attached& attached) { return !attached.wanted; });
    return {};
}

Outcome<void> HookFilters::apply(const RuleSet& rules) {
    ZTRY(begin_apply());
    for (std::uint32_t hook = 1; hook <= rules.hooks.size(); ++hook) {
        ZTRY(apply_hook(rules, hook));
    }
    return detach_unwanted();
}

Outcome<void> HookFilters::apply_each(const RuleSet& rules) {
    ZTRY(begin_apply());
    Outcome<void> first;
    for (std::uint32_t hook = 1; hook <= rules.hooks.size(); ++hook) {
        if (Outcome<void> applied = apply_hook(rules, hook); !applied && first) {
            first = std::move(applied);
        }
    }
    ZTRY(detach_unwanted());
    return first;
}

Outcome<void> HookFilters::remove_gone() {
    for (std::size_t i = attached_.size(); i-- > 0;) {
        Filter& filter = attached_[i].filter;
        if (ZTRY(filter.whereabouts()).state == Whereabouts::State::gone) {
            ZTRY(filter.detach());
            attached_.erase(attached_.begin() + static_cast<std::ptrdiff_t>(i));
        }
    }
    return {};
}

Outcome<void> HookFilters::leave_device() {
    for (std::size_t i = attached_.size(); i-- > 0;) {
        Filter& filter = attached_[i].filter;
        if (!is_of_cgroup(filter.hook())) {
            ZTRY(filter.detach());
            attached_.erase(attached_.begin() + static_cast<std::ptrdiff_t>(i));
        }
    }
    return {};
}

Outcome<void> HookFilters::detach() {
    while (!attached_.empty()) {
        ZTRY(attached_.back().filter.detach());
        attached_.pop_back();
    }
    return {};
}

Outcome<void> HookFilters::rename(std::string_view ifname) {
    for (Attached& attached : attached_) {
        ZTRY(attached.filter.rename(ifname));
    }
    ifname_ = ifname;
    return {};
}

} // namespace zsync::packet
