// A parsed rule file as plain data: what the language produces and the match engine consumes.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace zsync::packet {

enum class Verdict : std::uint8_t { pass, drop };
enum class Family : std::uint8_t { ipv4, ipv6 };
/// As the host sees it.
enum class Direction : std::uint8_t { in, out };

/// An address prefix in network byte order; an IPv4 address is in the first four bytes, the rest is
/// zero. Bits beyond `length` are zero. A whole address may have a port: then it stands for packets
/// of TCP, UDP and SCTP that come from there, or go there.
struct Prefix {
    Family family = Family::ipv4;
    std::uint8_t length = 0;
    std::array<std::uint8_t, 16> address{};
    std::optional<std::uint16_t> port{};

    friend auto operator<=>(const Prefix&, const Prefix&) = default;
};

/// Of ports, packet lengths, or ICMP types and codes as `type << 8 | code`.
struct PortRange {
    std::uint16_t first = 0;
    std::uint16_t last = 0;

    friend auto operator<=>(const PortRange&, const PortRange&) = default;
};

/// A TCP packet matches when `(flags & mask) == value`. Bits are those of the TCP header: fin 1,
/// syn 2, rst 4, psh 8, ack 16, urg 32, ece 64, cwr 128.
struct TcpFlagsMatch {
    std::uint8_t mask = 0;
    std::uint8_t value = 0;

    friend bool operator==(const TcpFlagsMatch&, const TcpFlagsMatch&) = default;
};

enum class LimitAlgorithm : std::uint8_t {
    gcra,    ///< even distances, early by as much as the burst allows
    token,   ///< a bucket that fills: decides as `gcra` does, by the same word of state
    sliding, ///< so many in a window, from the counts of two
};

/// What makes an adaptive limit slower.
enum class LimitSignal : std::uint8_t {
    drops, ///< packets that the kernel drops for want of room
    cpu,   ///< how busy the processors are, in percent
    queue, ///< packets that wait to be sent by the interface
};

/// How many of a rule's packets pass: what comes faster is dropped and counted.
struct Limit {
    LimitAlgorithm algorithm = LimitAlgorithm::gcra;
    bool in_bits = false;        ///< the rate is in bits a second, the burst in bytes
    std::uint64_t rate = 0;      ///< packets in a period, or bits a second
    std::uint32_t period_s = 1;  ///< a second, a minute, an hour or a day
    std::uint64_t burst = 0;     ///< packets or bytes at once; none of `sliding`
    bool by_source = false;      ///< each source has a limit of its own
    bool by_destination = false; ///< each destination
    bool by_destination_port = false;
    bool by_cgroup = false;    ///< each cgroup that a socket is in
    bool by_interface = false; ///< each interface that it comes by or goes to
    bool by_flow = false;      ///< each of addresses, protocol and ports together
    std::uint64_t floor = 0;   ///< as `rate`: the slowest that it gets; 0: it does not adapt
    LimitSignal signal = LimitSignal::drops;
    std::uint32_t threshold = 0; ///< of the signal: percent or packets, none of `drops`
    std::uint8_t ipv4_bits = 32; ///< of addresses that are told apart
    std::uint8_t ipv6_bits = 128;

    friend bool operator==(const Limit&, const Limit&) = default;
};

/// What a rule does to a packet beyond its verdict; nothing of what is absent.
struct Actions {
    std::optional<Limit> limit;               ///< drops what comes too fast
    std::optional<std::uint32_t> mark;        ///< sets the packet's mark
    std::optional<std::string> redirect;      ///< sends it out of that interface
    std::optional<std::uint32_t> sample;      ///< copies one packet of so many for readers
    bool challenge = false;                   ///< answers SYNs with cookies
    std::optional<std::string> shape_class{}; ///< sends it as one of the shape's classes

    friend bool operator==(const Actions&, const Actions&) = default;
};

/// One rule. Every condition that is present must hold. A condition on addresses, protocol,
/// fragment, ports, ICMP or length never holds for a packet that has no such thing.
struct Rule {
    Verdict verdict = Verdict::pass;
    Actions actions;
    std::string name;
    /// Canonical form. Rules with the same text, and the same count of equal texts before them, are
    /// the same rule across loads and keep their counters.
    std::string text;
    std::optional<std::uint32_t> from; ///< index into RuleSet::address_sets
    std::optional<std::uint32_t> to;   ///< index into RuleSet::address_sets
    std::optional<std::uint8_t> protocol;
    std::vector<PortRange> source_ports;      ///< empty: any; sorted, merged
    std::vector<PortRange> destination_ports; ///< empty: any; sorted, merged
    std::optional<TcpFlagsMatch> tcp_flags;
    std::optional<std::uint16_t> vlan; ///< outermost tag
    bool fragment = false;             ///< any fragment, the first one included
    std::vector<PortRange> icmp;       ///< empty: any; sorted, apart; of a whole type or one code
    std::vector<PortRange> length;     ///< empty: any; sorted, merged
    /// Where a socket's packet leaves or arrives; of what an interface sends, where it came in.
    /// Empty: any.
    std::string interface;
    std::string cgroup; ///< of the socket, or an ancestor of that; empty: any
    /// Where the rule is asked: 0 of what the interface receives, else of `hooks[hook - 1]`.
    std::uint32_t hook = 0;

    friend bool operator==(const Rule&, const Rule&) = default;
};

/// Sorted, without duplicates. A prefix inside another one is kept.
using AddressSet = std::vector<Prefix>;

/// A place beside the interface's receiving side where packets meet rules of their own.
struct Hook {
    std::string cgroup; ///< whose sockets' packets; empty: what the interface sends
    Direction direction = Direction::out;
    Verdict default_verdict = Verdict::pass;

    friend bool operator==(const Hook&, const Hook&) = default;
};

/// What an interface sends of one kind, and how fast. Rates are bits a second on the wire.
struct ShapeClass {
    std::string name;
    std::uint64_t guarantee = 0; ///< whatever others send
    std::uint64_t max = 0;       ///< at most, of what others leave

    friend bool operator==(const ShapeClass&, const ShapeClass&) = default;
};

/// How fast an interface sends: each packet leaves at a time of its own.
struct Shape {
    std::uint64_t rate = 0;       ///< of all, bits a second
    std::uint32_t horizon_ms = 0; ///< that a packet waits at most; else it is dropped
    /// The first is called `default`, and has what no rule gives a class.
    std::vector<ShapeClass> classes;

    friend bool operator==(const Shape&, const Shape&) = default;
};

struct RuleSet {
    /// Of what the interface receives.
    Verdict default_verdict = Verdict::pass;
    Verdict malformed_verdict = Verdict::drop;
    std::vector<AddressSet> address_sets;
    /// Those of the interface come before those of cgroups; of each hook in the order of the file.
    std::vector<Rule> rules;
    /// Only those that rules or a verdict need: the interface's, then those of each cgroup.
    std::vector<Hook> hooks;
    /// Of what the interface sends.
    std::optional<Shape> shape{};

    friend bool operator==(const RuleSet&, const RuleSet&) = default;
};

} // namespace zsync::packet
