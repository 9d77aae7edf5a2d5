#include <zsync/packet/address_text.hpp>
#include <zsync/packet/rules.hpp>
#include <zsync/packet/rules_names.hpp>

#include <algorithm>
#include <format>
#include <set>
#include <utility>
#include <vector>

namespace zsync::packet {
namespace {

class Formatter {
public:
    explicit Formatter(const RuleSet& rules) : rules_(rules) {}

    std::string format() {
        out_ += "default ";
        out_ += verdict_word(rules_.default_verdict);
        out_ += "\nmalformed ";
        out_ += verdict_word(rules_.malformed_verdict);
        out_ += '\n';
        for (const Rule& rule : rules_.rules) {
            sets_of(rule);
        }
        if (rules_.shape) {
            out_ += shape_text(*rules_.shape);
        }
        section({});
        std::vector<std::string_view> cgroups;
        for (const Hook& hook : rules_.hooks) {
            if (!hook.cgroup.empty() && !std::ranges::contains(cgroups, hook.cgroup)) {
                cgroups.push_back(hook.cgroup);
            }
        }
        for (const std::string_view cgroup : cgroups) {
            out_ += std::format("cgroup {} {{\n", cgroup);
            section(cgroup);
            out_ += "}\n";
        }
        return std::move(out_);
    }

private:
    /// Default verdicts and rules of the interface, or of a cgroup.
    void section(std::string_view cgroup) {
        for (const Hook& hook : rules_.hooks) {
            if (hook.cgroup == cgroup && hook.default_verdict != Verdict::pass) {
                out_ += std::format(
                    "default {} {}\n",
                    direction_words[std::to_underlying(hook.direction)],
                    verdict_word(hook.default_verdict)
                );
            }
        }
        for (const Rule& rule : rules_.rules) {
            if (cgroup != (rule.hook == 0 ? "" : rules_.hooks[rule.hook - 1].cgroup)) {
                continue;
            }
            out_ += rule.text;
            name(rule.name);
            out_ += '\n';
        }
    }

    void sets_of(const Rule& rule) {
        const auto addresses = [&](Condition condition, std::optional<std::uint32_t> index) {
            if (index) {
                set(set_reference(rule.text, condition), rules_.address_sets[*index], append_prefix
                );
            }
        };
        addresses(Condition::from, rule.from);
        addresses(Condition::to, rule.to);
        set(set_reference(rule.text, Condition::sport), rule.source_ports, append_port_range);
        set(set_reference(rule.text, Condition::dport), rule.destination_ports, append_port_range);
    }

    template <class List, class Append>
    void set(std::string_view name, const List& list, Append append) {
        if (name.empty() || !done_.emplace(name).second) {
            return;
        }
        out_ += "set ";
        out_ += name;
        out_ += " {\n";
        for (const auto& element : list) {
            out_ += "    ";
            append(out_, element);
            out_ += ",\n";
        }
        out_ += "}\n";
    }

    void name(std::string_view name) {
        if (name.empty()) {
            return;
        }
        out_ += " name \"";
        for (const char c : name) {
            if (c == '"' || c == '\\') {
                out_ += '\\';
            }
            out_ += c;
        }
        out_ += '"';
    }

    const RuleSet& rules_;
    std::string out_;
    std::set<std::string_view> done_;
};

} // namespace

std::string format_rules(const RuleSet& rules) { return Formatter(rules).format(); }

} // namespace zsync::packet
