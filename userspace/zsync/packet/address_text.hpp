// Addresses and prefixes as text.
#pragma once

#include <zsync/packet/rule_set.hpp>

#include <expected>
#include <string>
#include <string_view>

namespace zsync::packet {

/// What is wrong with a piece of text, in words and with what to write instead.
struct Complaint {
    std::string words;
    std::string hint;
};

/// An IPv4 or IPv6 address (RFC 4291 section 2.2, any case), alone or with `/LENGTH`. Bits beyond
/// the length must be zero. An IPv4-mapped address is refused, because on the wire it is IPv4; the
/// whole mapped block `::ffff:0:0/96`, which bogon lists have, is an IPv6 prefix like any other.
[[nodiscard]] std::expected<Prefix, Complaint> parse_prefix(std::string_view text);

/// What `parse_prefix` takes, or a single address with a port: `192.0.2.1:53`, `[2001:db8::1]:53`.
[[nodiscard]] std::expected<Prefix, Complaint> parse_address(std::string_view text);

/// The one way to write a prefix: RFC 5952 for IPv6, no `/LENGTH` on a single address, `:PORT`
/// behind one that has it.
[[nodiscard]] std::string format_prefix(const Prefix& prefix);

/// Appends `format_prefix`, for long lists.
void append_prefix(std::string& out, const Prefix& prefix);

} // namespace zsync::packet
