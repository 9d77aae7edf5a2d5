// From parsed statements to a RuleSet: names, meaning and limits. Private to the packet subsystem.
#pragma once

#include <zsync/packet/rule_set.hpp>
#include <zsync/packet/rules_names.hpp>
#include <zsync/packet/rules_report.hpp>
#include <zsync/packet/set_text.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace zsync::packet {

/// A set as the file defines it. One with errors is kept too, so that its uses are no errors.
struct NamedSet {
    std::string_view name;
    Place place;
    SetContents contents;
    bool broken = false;
    std::optional<std::uint32_t> index; ///< into RuleSet::address_sets once a rule uses it
};

/// What `from`, `to`, `sport` or `dport` names: a set by name, or contents written in the rule.
struct Operand {
    Place place;
    std::string_view reference;
    SetContents contents;
};

/// A word whose meaning depends on the rest of the rule.
struct PlacedWord {
    Place place;
    std::string_view text;
};

/// A rule as it stands in the file, before its names are looked up.
struct RuleDraft {
    Place place;
    Verdict verdict = Verdict::pass;
    std::optional<Place> direction_at;
    Direction direction = Direction::in;
    std::array<std::optional<Place>, action_words.size()> actions_at;
    Actions actions;
    std::array<std::optional<Place>, condition_words.size()> conditions; ///< where each stands
    std::optional<Operand> from;
    std::optional<Operand> to;
    std::optional<Operand> source_ports;
    std::optional<Operand> destination_ports;
    std::optional<std::uint8_t> protocol;
    std::optional<TcpFlagsMatch> tcp_flags;
    std::vector<PlacedWord> icmp;
    std::vector<PortRange> length;
    std::optional<std::uint16_t> vlan;
    bool fragment = false;
    std::string interface;
    std::string cgroup;
    std::string name;

    [[nodiscard]] const std::optional<Place>& place_of(Condition condition) const {
        return conditions[std::to_underlying(condition)];
    }
};

class RuleSetBuilder {
public:
    explicit RuleSetBuilder(Report& report) : report_(report) {}

    void default_verdict(const Place& place, Direction direction, Verdict verdict);
    void malformed_verdict(const Place& place, Verdict verdict);
    /// Rules and default verdicts until `end_cgroup` are of the cgroup's sockets.
    void begin_cgroup(const Place& place, std::string_view path);
    void end_cgroup() { section_ = 0; }
    [[nodiscard]] bool in_cgroup() const { return section_ != 0; }
    /// How fast the interface sends.
    void shape(const Place& place, Shape shape);
    /// False when the limit is reached.
    bool add_set(NamedSet set);
    /// False when the limit is reached.
    bool add_rule(RuleDraft draft);
    /// Reports what only the whole file shows and gives up what was built.
    [[nodiscard]] RuleSet finish();

private:
    struct Unknown {
        Place place;
        std::string_view name;
    };

    struct Placed {
        Place place;
        std::string name;
    };

    void set_once(std::optional<Place>& seen, const Place& place, std::string_view word);
    NamedSet* resolve(std::optional<Operand>& operand, ElementKind wanted);
    [[nodiscard]] bool make_sense(const RuleDraft& draft);
    /// What the words of `icmp` stand for, by the rule's protocol; nothing when one is wrong.
    [[nodiscard]] std::optional<std::vector<PortRange>> icmp_of(const RuleDraft& draft);
    [[nodiscard]] bool
    families_meet(const RuleDraft& draft, const AddressSet* from, const AddressSet* to);
    /// Whether what `condition` names, if it is only addresses with ports, goes with the protocol.
    [[nodiscard]] bool
    ports_fit(const RuleDraft& draft, Condition condition, const AddressSet* addresses);
    [[nodiscard]] bool name_is_free(const RuleDraft& draft);
    std::optional<std::uint32_t> intern(const Operand& operand, NamedSet* named);

    Report& report_;
    RuleSet rules_;
    /// The interface, then the cgroups of the file.
    struct Section {
        std::string_view cgroup;
        Place place;
        std::array<std::optional<Place>, 2> defaults_at; ///< by direction
        std::array<Verdict, 2> defaults{};
    };
    [[nodiscard]] bool fits_hook(const RuleDraft& draft);
    /// Sorts the rules by section, names their hooks, and numbers the sets as they are used then.
    void order_by_hook();
    /// Reports classes that rules name and no shape has.
    void check_classes();

    std::vector<Section> sections_{Section{}};
    std::size_t section_ = 0;
    std::optional<Place> malformed_place_;
    std::optional<Place> shape_place_;
    std::vector<Placed> classes_used_;
    std::unordered_map<std::string_view, NamedSet> sets_;
    std::unordered_map<std::string, std::uint32_t> rule_lines_;      ///< by rule name
    std::unordered_multimap<std::uint64_t, std::uint32_t> interned_; ///< content hash to index
    std::vector<Unknown> unknown_;
    std::size_t prefixes_ = 0;
};

} // namespace zsync::packet
