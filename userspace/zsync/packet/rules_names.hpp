// The fixed words of the rule language and the canonical text of a rule. Private to the packet
// subsystem.
#pragma once

#include <zsync/packet/address_text.hpp>
#include <zsync/packet/rule_set.hpp>

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace zsync::packet {

inline constexpr std::array<std::string_view, 7> statement_words{
    "default", "malformed", "set", "cgroup", "pass", "drop", "shape"
};

inline constexpr std::array<std::string_view, 2> direction_words{"in", "out"};

/// What a rule may do beyond its verdict, in canonical order.
enum class ActionWord : std::uint8_t { limit, mark, sample, redirect, challenge, shape_class };
inline constexpr std::array<std::string_view, 6> action_words{
    "limit", "mark", "sample", "redirect", "challenge", "class"
};

/// The class of what no rule gives another.
inline constexpr std::string_view default_class = "default";

/// Conditions in canonical order, then the name, which is none.
enum class Condition : std::uint8_t {
    from,
    to,
    proto,
    sport,
    dport,
    flags,
    icmp,
    length,
    vlan,
    fragment,
    interface,
    cgroup,
    name
};
inline constexpr std::array<std::string_view, 13> condition_words{
    "from",
    "to",
    "proto",
    "sport",
    "dport",
    "flags",
    "icmp",
    "length",
    "vlan",
    "fragment",
    "interface",
    "cgroup",
    "name"
};

/// In the order of their bits, from 1.
inline constexpr std::array<std::string_view, 8> tcp_flag_words{
    "fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"
};

inline constexpr std::array<std::string_view, 2> verdict_words{"pass", "drop"};
inline constexpr std::array<std::string_view, 5> protocol_words{
    "tcp", "udp", "icmp", "icmpv6", "sctp"
};

[[nodiscard]] std::string_view verdict_word(Verdict verdict);
[[nodiscard]] std::optional<Verdict> verdict_of(std::string_view word);
/// The number of one of `protocol_words`.
[[nodiscard]] std::optional<std::uint8_t> protocol_of(std::string_view word);
/// A protocol's word, or its number where the language has no word for it.
[[nodiscard]] std::string protocol_text(std::uint8_t protocol);
/// The number IANA gives a protocol the language has no word for, and a well-known service's port:
/// for hints only.
[[nodiscard]] std::optional<std::uint8_t> known_protocol(std::string_view word);
[[nodiscard]] std::optional<std::uint16_t> known_port(std::string_view word);

/// What another filter's word for a condition is called here; empty if it is none.
[[nodiscard]] std::string_view other_word_for(std::string_view condition);

/// `echo-request`, `3` or `3/4`: what `protocol`, ICMP or ICMPv6, calls a type or a type and a
/// code, as a range of `type << 8 | code`.
[[nodiscard]] std::expected<PortRange, Complaint>
parse_icmp(std::string_view text, std::uint8_t protocol);

/// A letter or `_`, then letters, digits, `_ . -`; at most `name_bytes_max` bytes.
[[nodiscard]] bool is_set_name(std::string_view name);

[[nodiscard]] bool has_ports(std::uint8_t protocol);

/// `10.0.0.1`, or `{ 10.0.0.1, 10.0.0.2 }` where there is not exactly one.
[[nodiscard]] std::string format_inline(const AddressSet& addresses);
[[nodiscard]] std::string format_inline(const std::vector<PortRange>& ports);
void append_port_range(std::string& out, PortRange range);

/// `/`, or names that begin with `/`, none of them `.` or `..`: as `/proc/PID/cgroup` has it.
[[nodiscard]] bool is_cgroup_path(std::string_view path);

/// What a rule's operands are called in its canonical text: `@name`, or the inline form.
struct OperandTexts {
    std::string from;
    std::string to;
    std::string source_ports;
    std::string destination_ports;
    Direction direction = Direction::in;
};

/// What stands behind `CONDITION @` in a canonical text; empty where the operand is inline or
/// absent. Canonical texts have no strings, so a condition's word stands nowhere else.
[[nodiscard]] std::string_view set_reference(std::string_view text, Condition condition);

/// `limit 1000/s burst 100 by source/24`.
[[nodiscard]] std::string limit_text(const Limit& limit);

/// `shape 100mbit {`, its classes that are not as they would be unsaid, `}`, each line whole.
[[nodiscard]] std::string shape_text(const Shape& shape);
/// `60mbit`: bits a second; nothing when it is no rate between the limits of a shape's.
[[nodiscard]] std::optional<std::uint64_t> shape_rate_of(std::string_view text);
[[nodiscard]] std::string shape_rate_text(std::uint64_t bits);
/// What is wrong with the rates of a class of `shape`; without words when nothing is.
[[nodiscard]] Complaint class_fault(const ShapeClass& one, const Shape& shape);
/// The same of what all of its classes are guaranteed.
[[nodiscard]] Complaint guarantees_fault(const Shape& shape);
/// `50ms`, likewise, of a shape's horizon.
[[nodiscard]] std::optional<std::uint32_t> shape_horizon_ms_of(std::string_view text);

/// `1000/s`, in the limit's unit.
[[nodiscard]] std::string rate_text(const Limit& limit, std::uint64_t rate);
/// The limit of a canonical text; nothing where it does not adapt.
[[nodiscard]] std::optional<Limit> adaptive_limit(std::string_view text);

/// Of a canonical text its rate and burst, `1000/s burst 100`; empty where it limits nothing.
[[nodiscard]] std::string_view limit_rate(std::string_view text);

/// `drop sample 1/100 from @bad proto tcp dport 22`: actions, then conditions in canonical order,
/// without the name.
[[nodiscard]] std::string canonical_text(const Rule& rule, const OperandTexts& operands);

} // namespace zsync::packet
