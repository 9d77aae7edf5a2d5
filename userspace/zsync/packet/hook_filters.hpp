// HookFilters: the filters that an interface's rules want beside its own.
#pragma once

#include <zsync/core/result.hpp>
#include <zsync/packet/filter.hpp>
#include <zsync/packet/rule_set.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace zsync::packet {

/// A hook as it is shown: `out`, or `in /system.slice/nginx.service`.
[[nodiscard]] std::string hook_name(const Hook& hook);

[[nodiscard]] HookKind hook_kind(const Hook& hook);

/// What an interface sends, and what the sockets of cgroups send and receive: a filter for each
/// hook that the rules name, and none for others. Calls block; one at a time.
class HookFilters {
public:
    struct Attached {
        Hook hook;
        Filter filter;
        bool wanted = true; ///< while rules are applied: named by them
    };

    HookFilters(std::string bpf_dir, std::string ifname)
        : bpf_dir_(std::move(bpf_dir)), ifname_(std::move(ifname)) {}

    /// Takes over what is pinned for the interface. A cgroup's path is known after `apply` only.
    void adopt();
    /// Makes the filters those of `rules.hooks`: loads and attaches, then detaches. Each hook's
    /// packets meet its old rules or its new ones. What failed, and what would have come after it,
    /// has its old rules.
    Outcome<void> apply(const RuleSet& rules);
    /// The same of an interface that has none yet: what failed keeps nothing else from its rules.
    /// The first failure.
    Outcome<void> apply_each(const RuleSet& rules);
    /// Removes those whose device or cgroup is gone.
    Outcome<void> remove_gone();
    /// Detaches what the device has; filters of cgroups stay.
    Outcome<void> leave_device();
    /// Detaches all.
    Outcome<void> detach();
    Outcome<void> rename(std::string_view ifname);

    [[nodiscard]] const std::vector<Attached>& attached() const { return attached_; }

private:
    [[nodiscard]] FilterOptions options_for(const Hook& hook) const;
    Outcome<void> apply_hook(const RuleSet& rules, std::uint32_t hook);
    Outcome<void> begin_apply();
    Outcome<void> detach_unwanted();
    [[nodiscard]] Attached* find(HookKind kind, std::uint64_t cgroup_id);

    std::string bpf_dir_;
    std::string ifname_;
    std::vector<Attached> attached_;
};

} // namespace zsync::packet
