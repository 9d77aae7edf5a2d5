#include <zsync/packet/counters.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/limits.hpp>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <format>
#include <map>
#include <utility>

extern "C" {
#include <bpf/parse.h>
}

namespace zsync::packet {
namespace {

constexpr std::uint32_t default_slot = 0;

struct ReasonText {
    std::string_view name;
    std::string_view words;
};

constexpr std::array reasons{
#define ZSYNC_REASON(name, words) ReasonText{#name, words},
    ZSYNC_MALFORMED_REASONS(ZSYNC_REASON)
#undef ZSYNC_REASON
};
static_assert(reasons.size() + 1 == ZSYNC_MALFORMED_END);
static_assert(ZSYNC_MALFORMED_END <= ZSYNC_MALFORMED_COUNTERS + 1);

std::size_t cpus() { return static_cast<std::size_t>(std::max(libbpf_num_possible_cpus(), 1)); }

Result<bpf_map_info> info_of(const Fd& map) {
    bpf_map_info info{};
    std::uint32_t bytes = sizeof(info);
    if (bpf_map_get_info_by_fd(map.get(), &info, &bytes) < 0) {
        return fail(os_error(errno));
    }
    return info;
}

/// One element of a per-CPU array: a record a CPU, each rounded up to 8 bytes.
Result<std::vector<std::uint64_t>>
read_element(const Fd& map, std::uint32_t key, std::size_t size) {
    std::vector<std::uint64_t> words(cpus() * ((size + 7) / 8));
    if (bpf_map_lookup_elem(map.get(), &key, words.data()) < 0) {
        return fail(os_error(errno));
    }
    return words;
}

void add(RuleCount& sum, const zsync_counter& counter) {
    sum.packets += counter.packets;
    sum.bytes += counter.bytes;
}

void add(RuleCount& sum, const zsync_rule_counter& counter) {
    add(sum, counter.matched);
    sum.limited += counter.limited;
}

} // namespace

Result<std::vector<RuleCount>> read_counters(const Fd& counters) {
    const std::uint32_t slots = ZTRY(info_of(counters)).max_entries;
    const std::size_t cpu_count = cpus();
    std::vector<std::uint32_t> keys(slots);
    std::vector<zsync_rule_counter> values(slots * cpu_count);
    std::uint32_t batch = 0;
    std::uint32_t count = slots;
    if (bpf_map_lookup_batch(
            counters.get(), nullptr, &batch, keys.data(), values.data(), &count, nullptr
        ) < 0 &&
        errno != ENOENT) {
        return fail(os_error(errno));
    }
    std::vector<RuleCount> sums(slots);
    for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t cpu = 0; cpu < cpu_count; ++cpu) {
            add(sums[keys[i]], values[i * cpu_count + cpu]);
        }
    }
    return sums;
}

Result<InterfaceStats> read_stats(const Fd& stats) {
    std::vector<zsync_stats> records(cpus());
    const std::uint32_t key = 0;
    if (bpf_map_lookup_elem(stats.get(), &key, records.data()) < 0) {
        return fail(os_error(errno));
    }
    InterfaceStats sum;
    for (const ReasonText& reason : reasons) {
        sum.malformed_by.push_back({reason.name, reason.words, 0});
    }
    for (const zsync_stats& record : records) {
        add(sum.passed, record.passed);
        add(sum.dropped, record.dropped);
        add(sum.arp, record.arp);
        add(sum.malformed, record.malformed);
        for (std::size_t i = 0; i < reasons.size(); ++i) {
            sum.malformed_by[i].packets += record.malformed_by[i + 1];
        }
        sum.sampled += record.sampled;
        sum.samples_lost += record.samples_lost;
        add(sum.merged, record.merged);
        sum.unjudged += record.unjudged;
        sum.redirected += record.redirected;
        sum.challenges_sent += record.challenges_sent;
        sum.challenges_verified += record.challenges_verified;
        sum.challenges_refused += record.challenges_refused;
        sum.challenges_passed += record.challenges_passed;
        sum.unmarked += record.unmarked;
    }
    return sum;
}

Result<void> write_counter(const Fd& counters, std::uint32_t slot, RuleCount value) {
    std::vector<zsync_rule_counter> values(cpus());
    values.front(
    ) = {.matched = {.packets = value.packets, .bytes = value.bytes}, .limited = value.limited};
    if (bpf_map_update_elem(counters.get(), &slot, values.data(), BPF_ANY) < 0) {
        return fail(os_error(errno));
    }
    return {};
}

bool carry_counters(const Fd& from, const Fd& to) {
    const auto old = info_of(from);
    const auto ours = info_of(to);
    if (!old || !ours || old->type != BPF_MAP_TYPE_PERCPU_ARRAY ||
        old->value_size < sizeof(zsync_counter)) {
        return false;
    }
    // In every layout a counter begins with its packets and its bytes.
    const std::size_t stride = (old->value_size + 7) / 8;
    for (std::uint32_t slot = 0; slot < std::min(old->max_entries, ours->max_entries); ++slot) {
        const auto words = read_element(from, slot, old->value_size);
        if (!words) {
            return false;
        }
        RuleCount sum;
        for (std::size_t at = 0; at + 1 < words->size(); at += stride) {
            add(sum, zsync_counter{.packets = (*words)[at], .bytes = (*words)[at + 1]});
        }
        if (sum != RuleCount{} && !write_counter(to, slot, sum)) {
            return false;
        }
    }
    return old->max_entries <= ours->max_entries;
}

bool carry_stats(const Fd& from, const Fd& to) {
    const auto old = info_of(from);
    if (!old || old->type != BPF_MAP_TYPE_PERCPU_ARRAY) {
        return false;
    }
    const auto words = read_element(from, 0, old->value_size);
    if (!words) {
        return false;
    }
    // Records only grow at their end.
    const std::size_t stride = (old->value_size + 7) / 8;
    std::vector<std::uint64_t> sum(cpus() * sizeof(zsync_stats) / 8);
    for (std::size_t i = 0; i < words->size(); ++i) {
        if (i % stride < sizeof(zsync_stats) / 8) {
            sum[i % stride] += (*words)[i];
        }
    }
    const std::uint32_t key = 0;
    return bpf_map_update_elem(to.get(), &key, sum.data(), BPF_ANY) == 0 &&
           old->value_size <= sizeof(zsync_stats);
}

Result<void> wait_for_running_programs() {
    // An update of a map of maps returns only after a grace period, so that a program never uses an
    // inner map that user space believes gone (maybe_wait_bpf_programs in kernel/bpf/syscall.c).
    // membarrier(2) would do as well, but not on a kernel that runs with nohz_full.
    const Fd inner(bpf_map_create(BPF_MAP_TYPE_ARRAY, "zsync_grace", 4, 4, 1, nullptr));
    if (!inner) {
        return fail(os_error(errno));
    }
    LIBBPF_OPTS(
        bpf_map_create_opts, options, .inner_map_fd = static_cast<std::uint32_t>(inner.get())
    );
    const Fd outer(bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "zsync_grace", 4, 4, 1, &options));
    const std::uint32_t key = 0;
    const int value = inner.get();
    if (!outer || bpf_map_update_elem(outer.get(), &key, &value, BPF_ANY) < 0) {
        return fail(os_error(errno));
    }
    return {};
}

SlotTable SlotTable::fresh() {
    SlotTable table;
    table.slots_.assign(limits::counter_slots, Slot::clean);
    table.slots_[default_slot] = Slot::used;
    return table;
}

SlotTable SlotTable::adopted(const Meta& live) {
    SlotTable table;
    table.slots_.assign(limits::counter_slots, Slot::stale);
    table.slots_[default_slot] = Slot::used;
    for (const LiveRule& rule : live.rules) {
        if (rule.slot < table.slots_.size()) {
            table.slots_[rule.slot] = Slot::used;
        }
    }
    return table;
}

Outcome<CounterSlots>
SlotTable::assign(const RuleSet& rules, std::span<const LiveRule> live, const Fd& counters) {
    // A rule is its text and how many equal texts came before it.
    std::map<std::pair<std::string_view, std::size_t>, std::uint32_t> known;
    std::map<std::string_view, std::size_t> seen;
    for (const LiveRule& rule : live) {
        if (rule.slot < slots_.size()) {
            known.emplace(std::pair(std::string_view(rule.text), seen[rule.text]++), rule.slot);
        }
    }
    seen.clear();
    CounterSlots assigned{.rules = {}, .by_default = default_slot, .classes = {}};
    std::vector<std::size_t> fresh;
    for (std::size_t i = 0; i < rules.rules.size(); ++i) {
        const std::string_view text = rules.rules[i].text;
        const auto found = known.find(std::pair(text, seen[text]++));
        if (found == known.end()) {
            fresh.push_back(i);
        }
        assigned.rules.push_back(found == known.end() ? 0 : found->second);
    }
    if (static_cast<std::size_t>(std::ranges::count(slots_, Slot::clean)) < fresh.size()) {
        ZTRY(clean(counters));
    }
    std::uint32_t slot = 0;
    for (const std::size_t rule : fresh) {
        while (slot < slots_.size() && slots_[slot] != Slot::clean) {
            ++slot;
        }
        if (slot == slots_.size()) {
            return fail(
                PacketError::rule_set_too_big,
                std::format("{} rules; at most {}", rules.rules.size(), limits::rules_max)
            );
        }
        assigned.rules[rule] = slot++;
    }
    return assigned;
}

void SlotTable::commit(const CounterSlots& slots) {
    std::ranges::replace(slots_, Slot::used, Slot::stale);
    slots_[slots.by_default] = Slot::used;
    for (const std::uint32_t slot : slots.rules) {
        slots_[slot] = Slot::used;
    }
}

Result<void> SlotTable::clean(const Fd& counters) {
    ZTRY(wait_for_running_programs());
    for (std::uint32_t slot = 0; slot < slots_.size(); ++slot) {
        if (slots_[slot] == Slot::stale) {
            ZTRY(write_counter(counters, slot, {}));
            slots_[slot] = Slot::clean;
        }
    }
    return {};
}

} // namespace zsync::packet
