#include <zsync/packet/endpoint_table.hpp>
#include <zsync/packet/engine.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/limit_table.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/palette.hpp>
#include <zsync/packet/rule_classes.hpp>
#include <zsync/packet/shape_table.hpp>
#include <zsync/packet/trie.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <format>
#include <map>
#include <unordered_map>

namespace zsync::packet {
namespace {

/// Compiles one rule set; made for one `compile` call.
class Compiler {
public:
    Compiler(const RuleSet& rules, const CounterSlots& slots, const NameIds& names)
        : rules_(rules), slots_(slots), names_(names), classes_(rules.rules.size()) {}

    Outcome<Tables> compile() {
        ZTRY(check_limits());
        zsync_config& config = tables_.config;
        config.rules = static_cast<std::uint32_t>(rules_.rules.size());
        config.words = classes_.words();
        config.summary = low_bits(config.words > 1 ? config.words : config.rules);
        config.malformed_drop = rules_.malformed_verdict == Verdict::drop ? 1 : 0;
        compile_addresses(ZSYNC_SOURCE, &Rule::from);
        compile_addresses(ZSYNC_DESTINATION, &Rule::to);
        compile_numbers(ZSYNC_SOURCE_PORT, &Rule::source_ports);
        compile_numbers(ZSYNC_DESTINATION_PORT, &Rule::destination_ports);
        compile_numbers(ZSYNC_ICMP, &Rule::icmp);
        compile_numbers(ZSYNC_LENGTH, &Rule::length);
        compile_protocols();
        compile_tcp_flags();
        compile_vlans();
        compile_fragment();
        compile_interfaces();
        compile_cgroups();
        compile_verdicts();
        compile_actions();
        if (too_many_overlaps_) {
            return fail(
                PacketError::rule_set_too_big,
                std::format(
                    "the IPv4 address sets overlap in more than {} ways", limits::ipv4_classes_max
                )
            );
        }
        if (too_many_endpoint_classes_) {
            return fail(
                PacketError::rule_set_too_big,
                std::format(
                    "the sets of addresses with ports overlap in more than {} ways",
                    limits::endpoint_classes_max
                )
            );
        }
        if (classes_.bytes() > limits::bitmap_bytes_max ||
            tables_.cells.size() > limits::cells_max ||
            tables_.buckets.size() > limits::bucket_words_max) {
            return fail(
                PacketError::rule_set_too_big,
                std::format(
                    "the address sets overlap in too many ways: their tables need {} MiB",
                    table_bytes() >> 20
                )
            );
        }
        finish();
        return std::move(tables_);
    }

private:
    Outcome<void> check_limits() const {
        if (rules_.rules.size() > limits::rules_max) {
            return fail(
                PacketError::rule_set_too_big,
                std::format(
                    "{} rules, temporary ones included; at most {}",
                    rules_.rules.size(),
                    limits::rules_max
                )
            );
        }
        if (const std::size_t prefixes = prefix_count(rules_); prefixes > limits::prefixes_max) {
            return fail(
                PacketError::rule_set_too_big,
                std::format("{} prefixes; at most {}", prefixes, limits::prefixes_max)
            );
        }
        return {};
    }

    [[nodiscard]] std::size_t table_bytes() const {
        return classes_.bytes() + tables_.cells.size() * sizeof(std::uint32_t) +
               tables_.buckets.size() * sizeof(std::uint64_t);
    }

    static std::uint64_t low_bits(std::uint32_t count) {
        return count >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
    }

    /// Names the class of packets that have nothing for `dimension`: the rules that do not ask.
    /// Returns those rules.
    template <class Restricts> RuleBits open_dimension(int dimension, Restricts restricts) {
        RuleBits unrestricted = classes_.none();
        for (std::size_t i = 0; i < rules_.rules.size(); ++i) {
            if (restricts(rules_.rules[i])) {
                tables_.config.used[dimension] = 1;
            } else {
                set_rule(unrestricted, i);
            }
        }
        tables_.config.absent[dimension] = classes_.intern(unrestricted);
        return unrestricted;
    }

    std::uint32_t append_cells(std::size_t count, std::uint32_t value) {
        const auto start = static_cast<std::uint32_t>(tables_.cells.size());
        tables_.cells.resize(start + count, value);
        return start;
    }

    void compile_addresses(int dimension, std::optional<std::uint32_t> Rule::* condition) {
        open_dimension(dimension, [&](const Rule& rule) { return (rule.*condition).has_value(); });
        std::vector<RuleBits> users(rules_.address_sets.size());
        for (std::size_t i = 0; i < rules_.rules.size(); ++i) {
            if (const auto& set = rules_.rules[i].*condition) {
                RuleBits& bits = users[*set];
                if (bits.empty()) {
                    bits = classes_.none();
                }
                set_rule(bits, i);
            }
        }
        std::array<std::vector<TriePrefix>, 2> prefixes;
        std::array<std::vector<Endpoint>, 2> endpoints;
        for (std::uint32_t set = 0; set < users.size(); ++set) {
            if (users[set].empty()) {
                continue;
            }
            for (const Prefix& prefix : rules_.address_sets[set]) {
                const TriePrefix bits = trie_prefix(prefix, set);
                const auto family = std::to_underlying(prefix.family);
                if (prefix.port) {
                    endpoints[family].push_back({bits.address, *prefix.port, set});
                } else {
                    prefixes[family].push_back(bits);
                }
            }
        }
        std::unordered_map<std::uint64_t, std::uint32_t> joined;
        const JoinClass join = [&](std::uint32_t class_id, std::uint32_t set) {
            const auto [place, fresh] = joined.try_emplace(std::uint64_t{class_id} << 32 | set);
            if (fresh) {
                place->second = classes_.join(class_id, users[set]);
            }
            return place->second;
        };
        tables_.config.ipv4[dimension] = compile_family(
            dimension, Family::ipv4, prefixes[std::to_underlying(Family::ipv4)], join
        );
        tables_.config.ipv6[dimension] = compile_family(
            dimension, Family::ipv6, prefixes[std::to_underlying(Family::ipv6)], join
        );
        compile_endpoints(dimension, endpoints, prefixes, join);
    }

    void compile_endpoints(
        int dimension,
        std::array<std::vector<Endpoint>, 2>& endpoints,
        std::array<std::vector<TriePrefix>, 2>& prefixes,
        const JoinClass& join
    ) {
        zsync_config& config = tables_.config;
        Palette palette;
        palette.color_of(config.absent[dimension]);
        const auto build = [&](Family family) {
            const auto index = std::to_underlying(family);
            if (endpoints[index].empty()) {
                return EndpointTable{.root = ZSYNC_NO_TABLE};
            }
            const auto table = build_endpoint_table(
                endpoints[index],
                prefixes[index],
                family == Family::ipv6,
                config.absent[dimension],
                join,
                palette,
                tables_.cells,
                tables_.buckets
            );
            too_many_endpoint_classes_ |= !table;
            return table.value_or(EndpointTable{});
        };
        const EndpointTable ipv4 = build(Family::ipv4);
        config.endpoints_ipv4[dimension] = ipv4.root;
        config.endpoints_mask_ipv4[dimension] = ipv4.mask;
        const EndpointTable ipv6 = build(Family::ipv6);
        config.endpoints_ipv6[dimension] = ipv6.root;
        config.endpoints_mask_ipv6[dimension] = ipv6.mask;
        config.endpoints_words_ipv6[dimension] = ipv6.words;
        if (palette.classes().size() > 1) {
            config.palette_endpoints[dimension] = static_cast<std::uint32_t>(tables_.cells.size());
            tables_.cells.insert(
                tables_.cells.end(), palette.classes().begin(), palette.classes().end()
            );
        }
    }

    zsync_trie compile_family(
        int dimension, Family family, std::span<TriePrefix> prefixes, const JoinClass& join
    ) {
        zsync_trie none{};
        none.blocks = ZSYNC_NO_TABLE;
        if (prefixes.empty()) {
            return none;
        }
        const auto trie = build_trie(
            family, prefixes, tables_.config.absent[dimension], join, tables_.cells, tables_.buckets
        );
        too_many_overlaps_ |= !trie;
        return trie.value_or(none);
    }

    void compile_numbers(int dimension, std::vector<PortRange> Rule::* condition) {
        constexpr std::size_t numbers = 65536;
        RuleBits bits =
            open_dimension(dimension, [&](const Rule& rule) { return !(rule.*condition).empty(); });
        if (!tables_.config.used[dimension]) {
            return;
        }
        // A rule's ranges do not overlap, so each start and each end flips exactly its bit.
        std::map<std::size_t, std::vector<std::size_t>> flips;
        for (std::size_t i = 0; i < rules_.rules.size(); ++i) {
            for (const PortRange& range : rules_.rules[i].*condition) {
                flips[range.first].push_back(i);
                flips[std::size_t{range.last} + 1].push_back(i);
            }
        }
        std::vector<std::uint32_t> class_of(numbers, tables_.config.absent[dimension]);
        for (auto at = flips.begin(); at != flips.end() && at->first < numbers; ++at) {
            for (const std::size_t rule : at->second) {
                flip_rule(bits, rule);
            }
            const auto next = std::next(at);
            const std::size_t end = next == flips.end() ? numbers : std::min(next->first, numbers);
            std::fill(
                class_of.begin() + static_cast<std::ptrdiff_t>(at->first),
                class_of.begin() + static_cast<std::ptrdiff_t>(end),
                classes_.intern(bits)
            );
        }
        tables_.config.pages[dimension] = append_pages(class_of);
    }

    /// Two levels of 256, equal pages stored once: a port table stays in the first-level cache.
    std::uint32_t append_pages(std::span<const std::uint32_t> class_of) {
        const std::uint32_t pages = append_cells(256, 0);
        std::map<std::vector<std::uint32_t>, std::uint32_t> known;
        for (std::size_t page = 0; page < 256; ++page) {
            const auto classes = class_of.subspan(page * 256, 256);
            const auto [place, fresh] =
                known.try_emplace(std::vector<std::uint32_t>(classes.begin(), classes.end()));
            if (fresh) {
                place->second = static_cast<std::uint32_t>(tables_.cells.size());
                tables_.cells.insert(tables_.cells.end(), classes.begin(), classes.end());
            }
            tables_.cells[pages + page] = place->second;
        }
        return pages;
    }

    /// A table of `count` cells in which `matches(rule, value)` says what a rule admits.
    template <class Matches>
    std::uint32_t
    append_table(int dimension, const RuleBits& unrestricted, std::size_t count, Matches matches) {
        const std::uint32_t table = append_cells(count, tables_.config.absent[dimension]);
        for (std::size_t value = 0; value < count; ++value) {
            RuleBits bits = unrestricted;
            for (std::size_t i = 0; i < rules_.rules.size(); ++i) {
                if (matches(rules_.rules[i], value)) {
                    set_rule(bits, i);
                }
            }
            tables_.cells[table + value] = classes_.intern(bits);
        }
        return table;
    }

    void compile_protocols() {
        const RuleBits unrestricted = open_dimension(ZSYNC_PROTOCOL, [](const Rule& rule) {
            return rule.protocol.has_value();
        });
        if (tables_.config.used[ZSYNC_PROTOCOL]) {
            tables_.config.protocol_classes = append_table(
                ZSYNC_PROTOCOL,
                unrestricted,
                256,
                [](const Rule& rule, std::size_t value) { return rule.protocol == value; }
            );
        }
    }

    void compile_tcp_flags() {
        const RuleBits unrestricted = open_dimension(ZSYNC_TCP_FLAGS, [](const Rule& rule) {
            return rule.tcp_flags.has_value();
        });
        if (tables_.config.used[ZSYNC_TCP_FLAGS]) {
            tables_.config.tcp_flags_classes = append_table(
                ZSYNC_TCP_FLAGS,
                unrestricted,
                256,
                [](const Rule& rule, std::size_t value) {
                    return rule.tcp_flags &&
                           (value & rule.tcp_flags->mask) == rule.tcp_flags->value;
                }
            );
        }
    }

    void compile_vlans() {
        const RuleBits unrestricted =
            open_dimension(ZSYNC_VLAN, [](const Rule& rule) { return rule.vlan.has_value(); });
        if (!tables_.config.used[ZSYNC_VLAN]) {
            return;
        }
        std::map<std::uint16_t, RuleBits> named;
        for (std::size_t i = 0; i < rules_.rules.size(); ++i) {
            if (const auto vlan = rules_.rules[i].vlan) {
                set_rule(named.try_emplace(*vlan, unrestricted).first->second, i);
            }
        }
        const std::uint32_t table = append_cells(4096, tables_.config.absent[ZSYNC_VLAN]);
        for (const auto& [vlan, bits] : named) {
            if (vlan < 4096) {
                tables_.cells[table + vlan] = classes_.intern(bits);
            }
        }
        tables_.config.vlan_classes = table;
    }

    void compile_fragment() {
        open_dimension(ZSYNC_FRAGMENT, [](const Rule& rule) { return rule.fragment; });
        RuleBits every = classes_.none();
        for (std::size_t i = 0; i < rules_.rules.size(); ++i) {
            set_rule(every, i);
        }
        tables_.config.fragment_class = classes_.intern(every);
    }

    void compile_interfaces() {
        const RuleBits unrestricted = open_dimension(ZSYNC_INTERFACE, [](const Rule& rule) {
            return !rule.interface.empty();
        });
        if (tables_.config.used[ZSYNC_INTERFACE] == 0) {
            return;
        }
        for (const auto& [name, ifindex] : names_.interfaces) {
            RuleBits bits = unrestricted;
            for (std::size_t i = 0; i < rules_.rules.size(); ++i) {
                if (rules_.rules[i].interface == name) {
                    set_rule(bits, i);
                }
            }
            tables_.names.push_back(
                {.key = ZSYNC_INTERFACE_KEY | ifindex, .class_id = classes_.intern(bits)}
            );
        }
    }

    /// Whether `path` is the cgroup `ancestor` or in it.
    static bool is_in(std::string_view path, std::string_view ancestor) {
        return ancestor == "/" || path == ancestor ||
               (path.starts_with(ancestor) && path[ancestor.size()] == '/');
    }

    void compile_cgroups() {
        const RuleBits unrestricted =
            open_dimension(ZSYNC_CGROUP, [](const Rule& rule) { return !rule.cgroup.empty(); });
        for (const auto& [path, id] : names_.cgroups) {
            // The program finds the nearest one, whose rules are those of its ancestors too.
            RuleBits bits = unrestricted;
            for (std::size_t i = 0; i < rules_.rules.size(); ++i) {
                if (!rules_.rules[i].cgroup.empty() && is_in(path, rules_.rules[i].cgroup)) {
                    set_rule(bits, i);
                }
            }
            tables_.names.push_back({.key = id, .class_id = classes_.intern(bits)});
        }
    }

    void compile_verdicts() {
        static_assert(limits::counter_slots <= ZSYNC_SLOT_MASK + 1);
        const auto cell = [](std::uint32_t slot, Verdict verdict) {
            return slot | (verdict == Verdict::drop ? ZSYNC_DROP : 0);
        };
        tables_.config.rule_cells = static_cast<std::uint32_t>(tables_.cells.size());
        for (std::size_t i = 0; i < rules_.rules.size(); ++i) {
            tables_.cells.push_back(cell(slots_.rules[i], rules_.rules[i].verdict));
        }
        tables_.cells.push_back(cell(slots_.by_default, rules_.default_verdict));
    }

    /// The arguments of the rules that have one: `argument_of(rule)` is an optional number.
    template <class ArgumentOf> void compile_action(int action, ArgumentOf argument_of) {
        for (std::size_t i = 0; i < rules_.rules.size(); ++i) {
            const std::optional<std::uint32_t> argument = argument_of(rules_.rules[i]);
            if (!argument) {
                continue;
            }
            const std::uint32_t bit = 1U << action;
            if ((tables_.config.actions & bit) == 0) {
                tables_.config.actions |= bit;
                tables_.config.arguments[action] = append_cells(rules_.rules.size(), 0);
            }
            tables_.cells[tables_.config.arguments[action] + i] = *argument;
            tables_.cells[tables_.config.rule_cells + i] |= bit << ZSYNC_ACTION_SHIFT;
        }
    }

    /// The devices that rules redirect to; a rule's argument is the place of its own.
    void compile_redirects() {
        std::map<std::string, std::uint32_t> places;
        for (const Rule& rule : rules_.rules) {
            const auto& name = rule.actions.redirect;
            if (!name || places.contains(*name)) {
                continue;
            }
            places.emplace(*name, static_cast<std::uint32_t>(tables_.targets.size()));
            const auto found = names_.interfaces.find(*name);
            tables_.targets.push_back(found == names_.interfaces.end() ? 0 : found->second);
        }
        compile_action(ZSYNC_REDIRECT, [&](const Rule& rule) -> std::optional<std::uint32_t> {
            const auto& name = rule.actions.redirect;
            return name ? std::optional(places.at(*name)) : std::nullopt;
        });
    }

    /// Its index; nothing where there is none.
    std::optional<std::uint32_t> compile_limit_of(const Rule& rule) {
        if (!rule.actions.limit) {
            return std::nullopt;
        }
        const zsync_limit limit = compile_limit(rule.text, *rule.actions.limit);
        zsync_config& config = tables_.config;
        config.limit_parts |= limit.key;
        config.limits_sliding |= limit.algorithm == ZSYNC_LIMIT_SLIDING ? 1U : 0U;
        config.limits_adaptive |= limit.algorithm == ZSYNC_LIMIT_ADAPTIVE ? 1U : 0U;
        tables_.limits.push_back(limit);
        return static_cast<std::uint32_t>(tables_.limits.size() - 1);
    }

    void compile_shape() {
        if (!rules_.shape) {
            return;
        }
        const Shape& shape = *rules_.shape;
        tables_.config.shapes = 1;
        tables_.config.shape_cost = byte_cost(shape.rate);
        tables_.config.shape_horizon = std::uint64_t{shape.horizon_ms} * 1'000'000
                                       << ZSYNC_TICKS_PER_NS_LOG2;
        std::map<std::string_view, std::uint32_t> places;
        for (std::size_t i = 0; i < shape.classes.size(); ++i) {
            places.emplace(shape.classes[i].name, static_cast<std::uint32_t>(i));
            // Whoever runs a program once has no clocks that others know.
            const auto slot =
                slots_.classes.empty() ? static_cast<std::uint32_t>(i) + 1 : slots_.classes[i];
            tables_.classes.push_back(compile_class(shape.classes[i], slot));
        }
        compile_action(ZSYNC_CLASS, [&](const Rule& rule) -> std::optional<std::uint32_t> {
            const auto& name = rule.actions.shape_class;
            return name ? std::optional(places.at(*name)) : std::nullopt;
        });
    }

    void compile_actions() {
        static_assert(ZSYNC_ACTION_SHIFT + ZSYNC_ACTIONS < 32);
        compile_action(ZSYNC_MARK, [](const Rule& rule) { return rule.actions.mark; });
        compile_action(ZSYNC_LIMIT, [this](const Rule& rule) { return compile_limit_of(rule); });
        compile_redirects();
        compile_action(ZSYNC_CHALLENGE, [](const Rule& rule) {
            return rule.actions.challenge ? std::optional(1U) : std::nullopt;
        });
        compile_action(ZSYNC_SAMPLE, [](const Rule& rule) { return rule.actions.sample; });
        compile_shape();
    }

    void finish() {
        tables_.bitmaps = std::move(classes_).take();
        const auto pad = [](auto& array) {
            array.resize(std::bit_ceil(std::max<std::size_t>(array.size(), 1)));
            return static_cast<std::uint32_t>(array.size() - 1);
        };
        tables_.config.cells_mask = pad(tables_.cells);
        tables_.config.buckets_mask = pad(tables_.buckets);
        tables_.config.bitmaps_mask = pad(tables_.bitmaps);
        tables_.config.limits_mask = pad(tables_.limits);
        tables_.config.classes_mask = pad(tables_.classes);
    }

    const RuleSet& rules_;
    const CounterSlots& slots_;
    const NameIds& names_;
    RuleClasses classes_;
    Tables tables_;
    bool too_many_overlaps_ = false;
    bool too_many_endpoint_classes_ = false;
};

} // namespace

Outcome<Tables> compile(const RuleSet& rules, const CounterSlots& slots, const NameIds& names) {
    return Compiler(rules, slots, names).compile();
}

std::size_t prefix_count(const RuleSet& rules) {
    std::size_t count = 0;
    for (const AddressSet& set : rules.address_sets) {
        count += set.size();
    }
    return count;
}

} // namespace zsync::packet
