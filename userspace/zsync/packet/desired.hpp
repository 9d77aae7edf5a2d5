// What a person wants of one interface, as the state store keeps it.
#pragma once

#include <zsync/core/result.hpp>
#include <zsync/packet/attach_mode.hpp>
#include <zsync/packet/temporary_rules.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace zsync::packet {

struct DesiredInterface {
    std::string name;
    AttachMode mode = AttachMode::automatic;
    /// What the person called the rules they loaded, usually a path. Names them only: they are in
    /// `rules`.
    std::string source;
    /// Self-contained rule text (`format_rules`); empty where none were ever loaded.
    std::string rules;
    /// When they were loaded, in microseconds since 1970; 0 where none were.
    std::uint64_t load_realtime_us = 0;
    /// In the order in which they were added. They stay when rules are loaded.
    std::vector<TemporaryRule> temporary{};

    friend bool operator==(const DesiredInterface&, const DesiredInterface&) = default;
};

/// `zsync-packet 1`, a line `KEY VALUE` for each field, one `temporary EXPIRY RULE` for each
/// temporary rule, an empty line, the rules. Unprintable bytes
/// of a value and `%` are written `%XX`.
[[nodiscard]] std::string encode(const DesiredInterface& desired);

/// What `encode` wrote, and nothing else: `PacketError::invalid_desired_state` with the line. The
/// rules are not parsed.
[[nodiscard]] Outcome<DesiredInterface> decode(std::string_view text);

/// Two interfaces that are to forward to each other.
struct DesiredForward {
    std::array<std::string, 2> ports;
    bool rewrite_addresses = false;

    friend bool operator==(const DesiredForward&, const DesiredForward&) = default;
};

/// `zsync-forwards 1` and a line `forward A B` or `forward A B rewrite` for each, with odd bytes of
/// names written `%XX`.
[[nodiscard]] std::string encode_forwards(const std::vector<DesiredForward>& forwards);

/// What `encode_forwards` wrote, and nothing else: `PacketError::invalid_desired_state` with the
/// line. No interface is in two pairs, and there are `limits::forwards_max` at most.
[[nodiscard]] Outcome<std::vector<DesiredForward>> decode_forwards(std::string_view text);

/// The name of their document in the store.
inline constexpr std::string_view forwards_document = "packet-forwards";

/// The name of an interface's document in the store: `packet.eth0`, odd bytes as `%XX`.
[[nodiscard]] std::string document_name(std::string_view interface_name);

} // namespace zsync::packet
