#include <zsync/packet/address_text.hpp>
#include <zsync/packet/cgroup_tree.hpp>
#include <zsync/packet/counters.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/limit_table.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/mapped_array.hpp>
#include <zsync/packet/rules_names.hpp>

#include <bpf/bpf.h>
#include <bpf/zsync_xdp.h>
#include <net/if.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <format>
#include <memory>
extern "C" {
#include <bpf/limit.h>
}

namespace zsync::packet {
namespace {

constexpr std::uint32_t seed_line = ZSYNC_LIMIT_SEED_LINE(limits::counter_slots);
constexpr std::uint64_t ticks_per_second = std::uint64_t{1'000'000'000} << ZSYNC_TICKS_PER_NS_LOG2;
static_assert(ZSYNC_LIMIT_LINES * ZSYNC_LIMIT_WAYS == limits::limit_keys_max);
static_assert(ZSYNC_LIMIT_SHARED_LINES * 2 * ZSYNC_LIMIT_WAYS == limits::limit_shared_states);
static_assert(ZSYNC_LIMIT_COST_LINES * ZSYNC_LIMIT_COSTS_PER_LINE >= limits::counter_slots);
static_assert(ZSYNC_WINDOW_COUNT_MAX == limits::limit_window_max);
static_assert(sizeof(zsync_limit_line) == 64 && sizeof(zsync_limit_seen) == 64);

Outcome<Fd>
create_array(const char* name, std::size_t value_bytes, std::uint32_t count, std::uint32_t flags) {
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = flags);
    Fd map(bpf_map_create(
        BPF_MAP_TYPE_ARRAY,
        name,
        sizeof(std::uint32_t),
        static_cast<std::uint32_t>(value_bytes),
        count,
        &options
    ));
    if (!map) {
        const int error = errno;
        return fail(
            error == EPERM ? Error(PacketError::not_permitted, error) : os_error(error),
            std::format("cannot make the tables of limits: {}", os_error(error).message())
        );
    }
    return map;
}

Result<void> write(const Fd& map, std::uint32_t key, const void* value) {
    if (bpf_map_update_elem(map.get(), &key, value, BPF_ANY) < 0) {
        return fail(os_error(errno));
    }
    return {};
}

std::uint8_t window_of(std::uint32_t period_s) {
    switch (period_s) {
    case 60:
        return ZSYNC_LIMIT_MINUTE;
    case 3600:
        return ZSYNC_LIMIT_HOUR;
    case 86'400:
        return ZSYNC_LIMIT_DAY;
    default:
        return ZSYNC_LIMIT_SECOND;
    }
}

std::uint64_t rounded(unsigned __int128 dividend, std::uint64_t divisor) {
    return static_cast<std::uint64_t>((dividend + divisor / 2) / divisor);
}

struct Costs {
    std::uint64_t each = 0;
    std::uint64_t burst = 0;
};

Costs costs_of(const Limit& limit) {
    Costs costs;
    if (limit.in_bits) {
        const auto second = static_cast<unsigned __int128>(ticks_per_second)
                            << ZSYNC_BYTE_COST_LOG2;
        costs.each = std::max<std::uint64_t>(rounded(second * 8, limit.rate), 1);
        costs.burst = static_cast<std::uint64_t>(
            static_cast<unsigned __int128>(costs.each) * limit.burst >> ZSYNC_BYTE_COST_LOG2
        );
    } else {
        const auto period = static_cast<unsigned __int128>(ticks_per_second) * limit.period_s;
        costs.each = std::max<std::uint64_t>(rounded(period, limit.rate), 1);
        costs.burst = costs.each * limit.burst;
    }
    return costs;
}

/// The word of a slot. Only user space writes here, one change of a filter at a time.
Result<void> write_cost(const LimitMaps& maps, std::uint32_t slot, std::uint64_t cost) {
    zsync_limit_line line{};
    const std::uint32_t index = ZSYNC_LIMIT_LINES + slot / ZSYNC_LIMIT_COSTS_PER_LINE;
    if (bpf_map_lookup_elem(maps.lines.get(), &index, &line) < 0) {
        return fail(os_error(errno));
    }
    line.words[slot % ZSYNC_LIMIT_COSTS_PER_LINE] = cost;
    return write(maps.lines, index, &line);
}

std::uint64_t high_bits(unsigned count) {
    return count == 0 ? 0 : ~std::uint64_t{0} << (64 - std::min(count, 64U));
}

std::string address_text(const zsync_limit_key& key, const __u64 (&address)[2]) {
    const bool is_ipv4 = (key.ports & 0xffff) == ZSYNC_NETWORK_IPV4;
    Prefix prefix;
    prefix.family = is_ipv4 ? Family::ipv4 : Family::ipv6;
    prefix.length = static_cast<std::uint8_t>(key.shown >> (is_ipv4 ? 8 : 16) & 0xff);
    for (std::size_t i = 0; i < prefix.address.size(); ++i) {
        prefix.address[i] = static_cast<std::uint8_t>(address[i / 8] >> (56 - i % 8 * 8));
    }
    std::string out;
    append_prefix(out, prefix);
    return out;
}

/// Its path; its id when it is gone.
std::string cgroup_text(std::uint64_t id) {
    if (id == 0) {
        return "no cgroup";
    }
    return cgroup_path(id).value_or(std::format("cgroup {}", id));
}

std::string interface_text(std::uint32_t ifindex) {
    std::array<char, IF_NAMESIZE> name{};
    return if_indextoname(ifindex, name.data()) != nullptr ? name.data()
                                                           : std::format("interface {}", ifindex);
}

std::string key_text(const zsync_limit_key& key) {
    const std::uint32_t parts = key.shown & 0xff;
    if ((parts & ZSYNC_LIMIT_BY_CGROUP) != 0) {
        return cgroup_text(key.source[0]);
    }
    if ((parts & ZSYNC_LIMIT_BY_INTERFACE) != 0) {
        return interface_text(static_cast<std::uint32_t>(key.source[0]));
    }
    if ((key.ports & 0xffff) == ZSYNC_NETWORK_OTHER && parts != 0) {
        return "not IP";
    }
    const auto source_port = static_cast<std::uint16_t>(key.ports >> 48);
    const auto port = static_cast<std::uint16_t>(key.ports >> 32);
    if ((parts & ZSYNC_LIMIT_BY_FLOW) != 0) {
        return std::format(
            "{} {} {} > {} {}",
            protocol_text(static_cast<std::uint8_t>(key.ports >> 16)),
            address_text(key, key.source),
            source_port,
            address_text(key, key.destination),
            port
        );
    }
    if ((parts & ZSYNC_LIMIT_BY_SOURCE) != 0) {
        return address_text(key, key.source);
    }
    if ((parts & ZSYNC_LIMIT_BY_DESTINATION) != 0) {
        return address_text(key, key.destination);
    }
    if ((parts & ZSYNC_LIMIT_BY_DPORT) != 0) {
        const bool is_ipv6 = (key.ports & 0xffff) == ZSYNC_NETWORK_IPV6;
        return std::format("{}port {}", is_ipv6 ? "IPv6 " : "", port);
    }
    return "all";
}

} // namespace

Outcome<LimitMaps> create_limit_maps() {
    LimitMaps maps{
        .lines = ZTRY(
            create_array("zsync_limits", sizeof(zsync_limit_line), seed_line + 1, BPF_F_MMAPABLE)
        ),
        .keys = ZTRY(create_array(
            "zsync_limited", sizeof(zsync_limit_seen), limits::limit_keys_max, BPF_F_MMAPABLE
        )),
    };
    zsync_limit_line line{};
    if (::getrandom(line.words, sizeof line.words, 0) != sizeof line.words) {
        return fail(os_error(errno));
    }
    ZTRY(write(maps.lines, seed_line, &line));
    return maps;
}

Result<std::uint64_t> limit_seed(const LimitMaps& maps) {
    zsync_limit_line line{};
    if (bpf_map_lookup_elem(maps.lines.get(), &seed_line, &line) < 0) {
        return fail(os_error(errno));
    }
    return line.words[0];
}

Result<void> forget_slot(const LimitMaps& maps, std::uint32_t slot) {
    const zsync_limit_line none{};
    for (std::uint32_t i = 0; i < ZSYNC_LIMIT_SHARED_LINES; ++i) {
        ZTRY(write(maps.lines, ZSYNC_LIMIT_SHARED_LINE(slot) + i, &none));
    }
    return write_cost(maps, slot, 0);
}

Result<void>
write_rate(const LimitMaps& maps, std::uint32_t slot, const Limit& limit, std::uint64_t rate) {
    Limit slower = limit;
    slower.rate = rate;
    return write_cost(maps, slot, costs_of(slower).each);
}

Result<std::uint64_t> read_rate(const LimitMaps& maps, std::uint32_t slot, const Limit& limit) {
    zsync_limit_line line{};
    const std::uint32_t index = ZSYNC_LIMIT_LINES + slot / ZSYNC_LIMIT_COSTS_PER_LINE;
    if (bpf_map_lookup_elem(maps.lines.get(), &index, &line) < 0) {
        return fail(os_error(errno));
    }
    const __u64 cost = line.words[slot % ZSYNC_LIMIT_COSTS_PER_LINE];
    if (cost == 0) {
        return limit.rate;
    }
    // As `costs_of` made it, backwards.
    Limit one = limit;
    one.rate = 1;
    return rounded(costs_of(one).each, cost);
}

Result<void> forgive(const LimitMaps& maps, std::span<const zsync_limit> changed) {
    if (changed.empty()) {
        return {};
    }
    const MappedArray<zsync_limit_line> lines(maps.lines, seed_line + 1, MapRights::read_write);
    const MappedArray<zsync_limit_seen> keys(maps.keys, limits::limit_keys_max);
    if (!lines || !keys) {
        return fail(os_error(errno));
    }
    const std::uint64_t seed = ZTRY(limit_seed(maps));
    std::unordered_map<std::uint64_t, const zsync_limit*> by_start;
    for (const zsync_limit& limit : changed) {
        by_start.emplace(zsync_limit_mix(seed, limit.start), &limit);
    }
    // The clock of bpf_ktime_get_ns().
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    const auto now_ticks = static_cast<__u64>(std::chrono::nanoseconds(now).count())
                           << ZSYNC_TICKS_PER_NS_LOG2;
    for (std::uint32_t at = 0; at < limits::limit_keys_max; ++at) {
        auto& entry = lines.at(at / ZSYNC_LIMIT_WAYS).entries[at % ZSYNC_LIMIT_WAYS];
        if ((entry.name & ZSYNC_NAME_USED) == 0 || (entry.name & ZSYNC_NAME_SLIDING) != 0) {
            continue;
        }
        const auto found = by_start.find(keys[at].start);
        if (found == by_start.end()) {
            continue;
        }
        const __u64 latest = now_ticks + found->second->burst_cost;
        const std::atomic_ref<__u64> state(entry.state);
        for (__u64 before = state.load(); before > latest;) {
            if (state.compare_exchange_weak(before, latest)) {
                break;
            }
        }
    }
    return {};
}

std::uint64_t limit_name(std::string_view rule_text) {
    const std::string_view rate = limit_rate(rule_text);
    const auto begin = rate.empty() ? 0 : static_cast<std::size_t>(rate.data() - rule_text.data());
    std::uint64_t hash = 0xcbf29ce484222325; // FNV-1a
    for (std::size_t i = 0; i < rule_text.size(); ++i) {
        if (i < begin || i >= begin + rate.size()) {
            hash = (hash ^ static_cast<unsigned char>(rule_text[i])) * 0x100000001b3;
        }
    }
    return hash;
}

std::uint32_t limit_id(std::string_view rule_text) {
    const std::uint64_t name = limit_name(rule_text);
    return static_cast<std::uint32_t>(name ^ name >> 32);
}

zsync_limit compile_limit(std::string_view rule_text, const Limit& limit) {
    const auto part = [](bool has, unsigned bits) { return has ? bits : 0U; };
    const unsigned parts =
        part(limit.by_source, ZSYNC_LIMIT_BY_SOURCE) |
        part(limit.by_destination, ZSYNC_LIMIT_BY_DESTINATION) |
        part(limit.by_destination_port, ZSYNC_LIMIT_BY_DPORT) |
        part(limit.by_cgroup, ZSYNC_LIMIT_BY_CGROUP) |
        part(limit.by_interface, ZSYNC_LIMIT_BY_INTERFACE) |
        part(
            limit.by_flow, ZSYNC_LIMIT_BY_FLOW | ZSYNC_LIMIT_BY_SOURCE | ZSYNC_LIMIT_BY_DESTINATION
        );
    zsync_limit compiled{};
    compiled.start = limit_name(rule_text);
    compiled.id = limit_id(rule_text);
    compiled.key = static_cast<__u8>(parts);
    compiled.in_bytes = limit.in_bits ? 1 : 0;
    compiled.ipv4_mask = static_cast<__u32>(high_bits(limit.ipv4_bits) >> 32);
    compiled.ipv6_mask[0] = high_bits(limit.ipv6_bits);
    compiled.ipv6_mask[1] = high_bits(limit.ipv6_bits > 64 ? limit.ipv6_bits - 64U : 0);
    compiled.shown =
        ZSYNC_SHOWN(parts, std::uint32_t{limit.ipv4_bits}, std::uint32_t{limit.ipv6_bits});
    if (limit.algorithm == LimitAlgorithm::sliding) {
        compiled.algorithm = ZSYNC_LIMIT_SLIDING;
        compiled.window = window_of(limit.period_s);
        compiled.burst = limit.in_bits ? limit.rate / 8 : limit.rate;
        return compiled;
    }
    compiled.algorithm = limit.floor != 0 ? ZSYNC_LIMIT_ADAPTIVE : ZSYNC_LIMIT_GCRA;
    const Costs costs = costs_of(limit);
    compiled.cost = costs.each;
    compiled.burst_cost = costs.burst;
    compiled.burst = limit.burst;
    return compiled;
}

Outcome<LimitTable> read_limits(const LimitMaps& maps, std::size_t keys_max) {
    const MappedArray<zsync_limit_line> lines(maps.lines, seed_line + 1);
    const MappedArray<zsync_limit_seen> keys(maps.keys, limits::limit_keys_max);
    if (!lines || !keys) {
        const int error = errno;
        return fail(
            os_error(error),
            std::format("cannot read the tables of limits: {}", os_error(error).message())
        );
    }
    LimitTable table;
    std::unordered_map<std::uint32_t, std::vector<zsync_limit_seen>> most;
    const auto more = [](const zsync_limit_seen& a, const zsync_limit_seen& b) {
        return a.limited > b.limited;
    };
    for (std::uint32_t at = 0; at < limits::limit_keys_max; ++at) {
        const __u64 name = lines[at / ZSYNC_LIMIT_WAYS].entries[at % ZSYNC_LIMIT_WAYS].name;
        if (name == 0) {
            continue;
        }
        ++table.keys;
        zsync_limit_seen seen = keys[at];
        seen.limited += name >> ZSYNC_NAME_OVER_SHIFT;
        const __u64 hash = zsync_limit_hash(&seen.key, seen.key.shown & 0xff, seen.start);
        if (((hash ^ name) & ZSYNC_NAME_HASH) != 0) {
            continue; // a key that is being written does not belong to the name yet
        }
        ++table.rules[seen.key.id].keys;
        if (seen.limited == 0 || keys_max == 0) {
            continue;
        }
        std::vector<zsync_limit_seen>& heap = most[seen.key.id];
        heap.push_back(seen);
        std::ranges::push_heap(heap, more);
        if (heap.size() > keys_max) {
            std::ranges::pop_heap(heap, more);
            heap.pop_back();
        }
    }
    for (auto& [id, heap] : most) {
        std::ranges::sort(heap, more);
        for (const zsync_limit_seen& seen : heap) {
            table.rules[id].most.push_back({key_text(seen.key), seen.limited});
        }
    }
    return table;
}

} // namespace zsync::packet
