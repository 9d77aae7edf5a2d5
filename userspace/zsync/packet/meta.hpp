// A generation's record of itself, kept in the kernel beside its program: enough to show, count and
// adopt its rules when nothing else is left.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>
#include <zsync/packet/interface_facts.hpp>
#include <zsync/packet/rule_set.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace zsync::packet {

/// A rule as it is attached: what it says and where it counts.
struct LiveRule {
    std::string text;
    std::string name;
    std::uint32_t slot = 0;
    Verdict verdict = Verdict::pass;

    friend bool operator==(const LiveRule&, const LiveRule&) = default;
};

/// A shape as it is in force: its classes, and where each one's clocks are.
struct LiveShape {
    Shape shape;
    std::vector<std::uint32_t> slots; ///< of each class

    friend bool operator==(const LiveShape&, const LiveShape&) = default;
};

struct Meta {
    std::uint32_t layout_version = 0;
    /// Of the program's object file: another hash is another build of the program.
    std::uint64_t code_hash = 0;
    std::uint32_t program_id = 0;
    std::uint32_t ifindex = 0;
    std::string ifname;
    XdpMode mode = XdpMode::none;
    Verdict default_verdict = Verdict::pass;
    Verdict malformed_verdict = Verdict::drop;
    std::uint32_t default_slot = 0;
    std::uint64_t prefixes = 0;
    std::uint64_t loaded_realtime_usec = 0;
    std::vector<LiveRule> rules;
    std::optional<LiveShape> shape{};
    /// Whether the packets that the program meets have no link header; nothing in records of
    /// versions that kept it nowhere.
    std::optional<bool> starts_at_network{};

    friend bool operator==(const Meta&, const Meta&) = default;
};

/// The record as bytes, and back. The first two words (magic, layout version) never move; a record
/// of another layout version is read as far as its header, which never shrinks.
std::vector<std::uint8_t> encode_meta(const Meta& meta);
/// `PacketError::damaged_pins` when `bytes` are no such record.
Outcome<Meta> decode_meta(std::span<const std::uint8_t> bytes);

/// A frozen map that holds the record.
Outcome<Fd> create_meta_map(const Meta& meta);
Outcome<Meta> read_meta_map(const Fd& map);

} // namespace zsync::packet
