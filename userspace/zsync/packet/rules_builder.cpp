#include <zsync/core/text.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/rules_builder.hpp>

#include <netinet/in.h>

#include <algorithm>
#include <format>

namespace zsync::packet {
namespace {

constexpr unsigned ipv4_bit = 1;
constexpr unsigned ipv6_bit = 2;

unsigned families_of(const AddressSet& addresses) {
    if (addresses.empty()) {
        return ipv4_bit | ipv6_bit;
    }
    // Sorted by family first.
    const unsigned first = addresses.front().family == Family::ipv4 ? ipv4_bit : ipv6_bit;
    const unsigned last = addresses.back().family == Family::ipv4 ? ipv4_bit : ipv6_bit;
    return first | last;
}

std::uint64_t hash_of(const AddressSet& addresses) {
    constexpr std::uint64_t prime = 0x100000001b3;
    std::uint64_t hash = 0xcbf29ce484222325;
    for (const Prefix& prefix : addresses) {
        hash = (hash ^ std::to_underlying(prefix.family)) * prime;
        hash = (hash ^ prefix.length) * prime;
        for (const std::uint8_t byte : prefix.address) {
            hash = (hash ^ byte) * prime;
        }
        hash = (hash ^ (prefix.port ? *prefix.port + 1U : 0U)) * prime;
    }
    return hash;
}

/// What an operand stands for: the named set's contents, or its own.
const SetContents& contents_of(const Operand& operand, const NamedSet* named) {
    return named != nullptr ? named->contents : operand.contents;
}

std::string address_text(const Operand& operand) {
    return operand.reference.empty() ? format_inline(operand.contents.addresses)
                                     : "@" + std::string(operand.reference);
}

std::string port_text(const Operand& operand) {
    return operand.reference.empty() ? format_inline(operand.contents.ports)
                                     : "@" + std::string(operand.reference);
}

Rule rule_of(RuleDraft& draft, std::vector<PortRange> icmp) {
    Rule rule;
    rule.verdict = draft.verdict;
    rule.actions = draft.actions;
    rule.name = std::move(draft.name);
    rule.protocol = draft.protocol;
    rule.tcp_flags = draft.tcp_flags;
    rule.icmp = std::move(icmp);
    rule.length = std::move(draft.length);
    rule.vlan = draft.vlan;
    rule.fragment = draft.fragment;
    rule.interface = std::move(draft.interface);
    rule.cgroup = std::move(draft.cgroup);
    const auto text = [](const std::optional<Operand>& operand, auto format) {
        return operand ? format(*operand) : std::string();
    };
    rule.text = canonical_text(
        rule,
        {
            .from = text(draft.from, address_text),
            .to = text(draft.to, address_text),
            .source_ports = text(draft.source_ports, port_text),
            .destination_ports = text(draft.destination_ports, port_text),
            .direction = draft.direction,
        }
    );
    return rule;
}

} // namespace

void RuleSetBuilder::set_once(
    std::optional<Place>& seen, const Place& place, std::string_view word
) {
    if (seen) {
        report_.error(
            place,
            std::format("{} is given twice", word),
            std::format("it stands on line {} already", seen->line)
        );
        return;
    }
    seen = place;
}

void RuleSetBuilder::default_verdict(const Place& place, Direction direction, Verdict verdict) {
    Section& section = sections_[section_];
    const auto index = std::to_underlying(direction);
    set_once(
        section.defaults_at[index], place, direction == Direction::in ? "default" : "default out"
    );
    section.defaults[index] = verdict;
}

void RuleSetBuilder::begin_cgroup(const Place& place, std::string_view path) {
    const auto known = std::ranges::find(sections_, path, &Section::cgroup);
    if (known != sections_.end()) {
        report_.error(
            place,
            std::format("the cgroup {} is given twice", in_quotes(path)),
            std::format("it stands on line {} already", known->place.line)
        );
        section_ = static_cast<std::size_t>(known - sections_.begin());
        return;
    }
    if (sections_.size() > limits::cgroups_max) {
        report_.error(place, std::format("more than {} cgroups", limits::cgroups_max));
    }
    section_ = sections_.size();
    sections_.push_back({.cgroup = path, .place = place, .defaults_at = {}});
}

void RuleSetBuilder::malformed_verdict(const Place& place, Verdict verdict) {
    set_once(malformed_place_, place, "malformed");
    rules_.malformed_verdict = verdict;
}

void RuleSetBuilder::shape(const Place& place, Shape shape) {
    set_once(shape_place_, place, "shape");
    rules_.shape = std::move(shape);
}

bool RuleSetBuilder::add_set(NamedSet set) {
    if (const auto found = sets_.find(set.name); found != sets_.end()) {
        report_.error(
            set.place,
            std::format("the set {} is defined twice", in_quotes(set.name)),
            std::format("it stands on line {} already", found->second.place.line)
        );
        return true;
    }
    if (sets_.size() == limits::sets_max) {
        report_.error(set.place, std::format("more than {} sets", limits::sets_max));
        return false;
    }
    const std::string_view name = set.name;
    sets_.emplace(name, std::move(set));
    return true;
}

NamedSet* RuleSetBuilder::resolve(std::optional<Operand>& operand, ElementKind wanted) {
    if (!operand || operand->reference.empty()) {
        return nullptr;
    }
    const auto found = sets_.find(operand->reference);
    if (found == sets_.end()) {
        // Whether it is unknown or only defined below shows at the end.
        if (unknown_.size() <= limits::diagnostics_max) {
            unknown_.push_back({.place = operand->place, .name = operand->reference});
        }
        return nullptr;
    }
    NamedSet& set = found->second;
    if (set.broken) {
        return &set;
    }
    if (wanted == ElementKind::port && set.contents.ports.empty()) {
        const bool empty = set.contents.empty();
        report_.error(
            operand->place,
            std::format(
                "the set {} {}",
                in_quotes(set.name),
                empty ? "is empty" : "has addresses, not ports"
            ),
            "sport and dport take ports"
        );
    } else if (wanted == ElementKind::address && !set.contents.ports.empty()) {
        report_.error(
            operand->place,
            std::format("the set {} has ports, not addresses", in_quotes(set.name)),
            "from and to take addresses"
        );
    }
    return &set;
}

bool RuleSetBuilder::make_sense(const RuleDraft& draft) {
    bool sensible = true;
    const auto refuse = [&](Condition condition, std::string words, std::string hint) {
        report_.error(
            draft.place_of(condition).value_or(draft.place), std::move(words), std::move(hint)
        );
        sensible = false;
    };
    for (const Condition ports : {Condition::sport, Condition::dport}) {
        if (!draft.place_of(ports) || (draft.protocol && has_ports(*draft.protocol))) {
            continue;
        }
        const std::string_view word = condition_words[std::to_underlying(ports)];
        if (draft.protocol) {
            refuse(
                ports,
                std::format("{} has no ports", protocol_text(*draft.protocol)),
                std::format("{} goes with proto tcp, udp or sctp", word)
            );
        } else {
            refuse(
                ports,
                std::format("{} without a protocol", word),
                "add proto tcp, proto udp or proto sctp"
            );
        }
    }
    if (draft.tcp_flags && draft.protocol != IPPROTO_TCP) {
        refuse(Condition::flags, "flags without proto tcp", "add proto tcp");
    }
    if (draft.place_of(Condition::icmp) && draft.protocol != IPPROTO_ICMP &&
        draft.protocol != IPPROTO_ICMPV6) {
        refuse(Condition::icmp, "icmp without its protocol", "add proto icmp or proto icmpv6");
    }
    return sensible;
}

bool RuleSetBuilder::fits_hook(const RuleDraft& draft) {
    bool fits = true;
    const auto refuse = [&](const std::optional<Place>& place, std::string words, std::string hint
                        ) {
        if (place) {
            report_.error(*place, std::move(words), std::move(hint));
            fits = false;
        }
    };
    for (const ActionWord which : {ActionWord::redirect, ActionWord::challenge}) {
        const std::string_view word = action_words[std::to_underlying(which)];
        const auto& place = draft.actions_at[std::to_underlying(which)];
        if (draft.verdict == Verdict::drop) {
            refuse(
                place,
                std::format("{} in a rule that drops", word),
                std::format("write pass {}", word)
            );
        }
        if (in_cgroup() || draft.direction == Direction::out) {
            refuse(
                place,
                std::format("{} in a rule for what is not received by this interface", word),
                "write it without out, outside of a cgroup block"
            );
        }
    }
    if (draft.actions.redirect) {
        refuse(
            draft.actions_at[std::to_underlying(ActionWord::challenge)],
            "challenge in a rule that redirects: it is for sockets of this host",
            "write one of them"
        );
        refuse(
            draft.actions_at[std::to_underlying(ActionWord::mark)],
            "mark in a rule that redirects: what leaves by another interface has none",
            "write one of them"
        );
    }
    if (draft.actions.challenge && draft.protocol.value_or(IPPROTO_TCP) != IPPROTO_TCP) {
        refuse(
            draft.actions_at[std::to_underlying(ActionWord::challenge)],
            "challenge in a rule that TCP does not match",
            "write proto tcp"
        );
    }
    const auto& class_at = draft.actions_at[std::to_underlying(ActionWord::shape_class)];
    if (draft.verdict == Verdict::drop) {
        refuse(class_at, "class in a rule that drops", "write pass out class NAME");
    } else if (in_cgroup() || draft.direction == Direction::in) {
        refuse(
            class_at,
            "class in a rule for what is not sent by this interface",
            "write it with out, outside of a cgroup block"
        );
    }
    if (in_cgroup()) {
        refuse(
            draft.place_of(Condition::vlan),
            "vlan in a cgroup block: the packets of sockets have no tags",
            "write the rule outside of the block"
        );
        return fits;
    }
    if (draft.direction == Direction::out) {
        return fits;
    }
    constexpr std::string_view hint = "write it with out, or in a cgroup block";
    refuse(
        draft.place_of(Condition::interface),
        "interface in a rule for what this interface receives",
        std::string(hint)
    );
    refuse(
        draft.place_of(Condition::cgroup),
        "cgroup in a rule for what this interface receives, which has no socket yet",
        std::string(hint)
    );
    if (draft.actions.limit &&
        (draft.actions.limit->by_cgroup || draft.actions.limit->by_interface)) {
        refuse(
            draft.actions_at[std::to_underlying(ActionWord::limit)],
            "a limit by cgroup or interface in a rule for what this interface receives",
            std::string(hint)
        );
    }
    return fits;
}

std::optional<std::vector<PortRange>> RuleSetBuilder::icmp_of(const RuleDraft& draft) {
    std::vector<PortRange> ranges;
    bool whole = true;
    for (const PlacedWord& word : draft.icmp) {
        if (auto range = parse_icmp(word.text, draft.protocol.value_or(IPPROTO_ICMP))) {
            ranges.push_back(*range);
        } else {
            report_.error(word.place, std::move(range).error());
            whole = false;
        }
    }
    // A whole type comes before its codes, which it covers.
    std::ranges::sort(ranges, [](const PortRange& a, const PortRange& b) {
        return a.first != b.first ? a.first < b.first : a.last > b.last;
    });
    const auto covered = std::ranges::unique(ranges, [](const PortRange& a, const PortRange& b) {
        return b.last <= a.last;
    });
    ranges.erase(covered.begin(), covered.end());
    return whole ? std::optional(std::move(ranges)) : std::nullopt;
}

bool RuleSetBuilder::families_meet(
    const RuleDraft& draft, const AddressSet* from, const AddressSet* to
) {
    if (from == nullptr || to == nullptr || (families_of(*from) & families_of(*to)) != 0) {
        return true;
    }
    const bool ipv4_first = families_of(*from) == ipv4_bit;
    report_.error(
        draft.to ? draft.to->place : draft.place,
        std::format(
            "no packet goes from an {} to an {} address",
            ipv4_first ? "IPv4" : "IPv6",
            ipv4_first ? "IPv6" : "IPv4"
        ),
        "write a rule for each family"
    );
    return false;
}

bool RuleSetBuilder::ports_fit(
    const RuleDraft& draft, Condition condition, const AddressSet* addresses
) {
    if (!draft.protocol || has_ports(*draft.protocol) || addresses == nullptr ||
        addresses->empty() || !std::ranges::all_of(*addresses, [](const Prefix& prefix) {
            return prefix.port.has_value();
        })) {
        return true;
    }
    report_.error(
        draft.place_of(condition).value_or(draft.place),
        std::format("{} has no ports", protocol_text(*draft.protocol)),
        "addresses with ports go with proto tcp, udp or sctp, or without proto"
    );
    return false;
}

bool RuleSetBuilder::name_is_free(const RuleDraft& draft) {
    if (draft.name.empty()) {
        return true;
    }
    const auto [found, added] = rule_lines_.emplace(draft.name, draft.place.line);
    if (!added) {
        report_.error(
            draft.place_of(Condition::name).value_or(draft.place),
            std::format("the name {} is taken", in_quotes(draft.name)),
            std::format("the rule on line {} has it", found->second)
        );
    }
    return added;
}

std::optional<std::uint32_t> RuleSetBuilder::intern(const Operand& operand, NamedSet* named) {
    if (named != nullptr && named->index) {
        return named->index;
    }
    const AddressSet& addresses = contents_of(operand, named).addresses;
    const std::uint64_t hash = hash_of(addresses);
    const auto [begin, end] = interned_.equal_range(hash);
    for (auto found = begin; found != end; ++found) {
        if (rules_.address_sets[found->second] == addresses) {
            if (named == nullptr) {
                return found->second;
            }
            named->index = found->second;
        }
    }
    // A second name for the same prefixes counts again: the self-contained text has both.
    prefixes_ += addresses.size();
    if (prefixes_ > limits::prefixes_max) {
        report_.error(
            operand.place, std::format("more than {} prefixes in use", limits::prefixes_max)
        );
        return std::nullopt;
    }
    if (named != nullptr && named->index) {
        return named->index;
    }
    if (rules_.address_sets.size() == limits::address_sets_max) {
        report_.error(
            operand.place,
            std::format("more than {} different sets of addresses", limits::address_sets_max),
            "put addresses that share a verdict into one set"
        );
        return std::nullopt;
    }
    const auto index = static_cast<std::uint32_t>(rules_.address_sets.size());
    rules_.address_sets.push_back(addresses);
    interned_.emplace(hash, index);
    if (named != nullptr) {
        named->index = index;
    }
    return index;
}

bool RuleSetBuilder::add_rule(RuleDraft draft) {
    if (rules_.rules.size() == limits::rules_max) {
        report_.error(draft.place, std::format("more than {} rules", limits::rules_max));
        return false;
    }
    NamedSet* const from = resolve(draft.from, ElementKind::address);
    NamedSet* const to = resolve(draft.to, ElementKind::address);
    NamedSet* const source_ports = resolve(draft.source_ports, ElementKind::port);
    NamedSet* const destination_ports = resolve(draft.destination_ports, ElementKind::port);
    const auto addresses = [](const std::optional<Operand>& operand, const NamedSet* named) {
        return operand ? &contents_of(*operand, named).addresses : nullptr;
    };
    const bool sensible = make_sense(draft);
    const bool fits = fits_hook(draft);
    const bool met = families_meet(draft, addresses(draft.from, from), addresses(draft.to, to));
    const bool from_fits = ports_fit(draft, Condition::from, addresses(draft.from, from));
    const bool to_fits = ports_fit(draft, Condition::to, addresses(draft.to, to));
    if (!name_is_free(draft) || !sensible || !fits || !met || !from_fits || !to_fits) {
        return true;
    }
    if (draft.actions.shape_class) {
        const auto& place = draft.actions_at[std::to_underlying(ActionWord::shape_class)];
        classes_used_.push_back({place.value_or(draft.place), *draft.actions.shape_class});
    }
    auto icmp = icmp_of(draft);
    if (!icmp) {
        return true;
    }
    Rule rule = rule_of(draft, *std::move(icmp));
    rule.hook = 2 * static_cast<std::uint32_t>(section_) + std::to_underlying(draft.direction);
    if (rule.text.size() > limits::rule_text_bytes_max) {
        report_.error(
            draft.place,
            std::format(
                "the rule is {} bytes long in its canonical form, and {} fit",
                rule.text.size(),
                limits::rule_text_bytes_max
            ),
            "give its { list } a name: set NAME { list }, then @NAME"
        );
        return true;
    }
    if (draft.from) {
        rule.from = intern(*draft.from, from);
    }
    if (draft.to) {
        rule.to = intern(*draft.to, to);
    }
    if (draft.source_ports) {
        rule.source_ports = contents_of(*draft.source_ports, source_ports).ports;
    }
    if (draft.destination_ports) {
        rule.destination_ports = contents_of(*draft.destination_ports, destination_ports).ports;
    }
    rules_.rules.push_back(std::move(rule));
    return true;
}

void RuleSetBuilder::order_by_hook() {
    std::ranges::stable_sort(rules_.rules, {}, [](const Rule& rule) { return rule.hook / 2; });
    rules_.default_verdict = sections_.front().defaults[0];
    std::vector<std::uint32_t> hook_of(2 * sections_.size(), 0);
    for (const Rule& rule : rules_.rules) {
        hook_of[rule.hook] = 1;
    }
    if (rules_.shape) {
        hook_of[std::to_underlying(Direction::out)] = 1;
    }
    for (std::size_t key = 1; key < hook_of.size(); ++key) {
        const Section& section = sections_[key / 2];
        const Verdict verdict = section.defaults[key % 2];
        if (hook_of[key] != 0 || verdict != Verdict::pass) {
            rules_.hooks.push_back(
                {.cgroup = std::string(section.cgroup),
                 .direction = static_cast<Direction>(key % 2),
                 .default_verdict = verdict}
            );
            hook_of[key] = static_cast<std::uint32_t>(rules_.hooks.size());
        }
    }
    hook_of[0] = 0;
    if (rules_.hooks.empty()) {
        return;
    }
    std::vector<AddressSet> sets;
    std::vector<std::optional<std::uint32_t>> renumbered(rules_.address_sets.size());
    for (Rule& rule : rules_.rules) {
        rule.hook = hook_of[rule.hook];
        for (std::optional<std::uint32_t>* set : {&rule.from, &rule.to}) {
            if (!*set) {
                continue;
            }
            std::optional<std::uint32_t>& number = renumbered[**set];
            if (!number) {
                number = static_cast<std::uint32_t>(sets.size());
                sets.push_back(std::move(rules_.address_sets[**set]));
            }
            *set = number;
        }
    }
    rules_.address_sets = std::move(sets);
}

void RuleSetBuilder::check_classes() {
    std::vector<std::string_view> names;
    if (rules_.shape) {
        for (const ShapeClass& one : rules_.shape->classes) {
            names.push_back(one.name);
        }
    }
    for (const Placed& used : classes_used_) {
        if (!shape_place_) {
            report_.error(
                used.place,
                std::format("class {} without a shape", used.name),
                std::format("write shape RATE {{, class {}, }} on lines of their own", used.name)
            );
        } else if (!std::ranges::contains(names, std::string_view(used.name))) {
            report_.error(
                used.place,
                std::format("the shape has no class {}", in_quotes(used.name)),
                did_you_mean(used.name, names)
            );
        }
    }
}

RuleSet RuleSetBuilder::finish() {
    order_by_hook();
    check_classes();
    std::vector<std::string_view> names;
    names.reserve(sets_.size());
    for (const auto& [name, set] : sets_) {
        names.push_back(name);
    }
    std::ranges::sort(names);
    for (const Unknown& unknown : unknown_) {
        const auto found = sets_.find(unknown.name);
        if (found == sets_.end()) {
            report_.error(
                unknown.place,
                std::format("there is no set {}", in_quotes(unknown.name)),
                did_you_mean(unknown.name, names)
            );
        } else {
            report_.error(
                unknown.place,
                std::format("the set {} is used before it is defined", in_quotes(unknown.name)),
                std::format("move it up from line {}", found->second.place.line)
            );
        }
    }
    return std::move(rules_);
}

} // namespace zsync::packet
