// The BPF program's own parser and match engine, run in this process.
#pragma once

#include "tests/packet/reference.hpp"

#include <zsync/packet/engine.hpp>

#include <cstdint>
#include <span>
#include <string_view>

extern "C" {
#include <bpf/parse.h>
}

namespace zsync::packet::test {

struct Parsed {
    zsync_malformed malformed = ZSYNC_WELL_FORMED;
    zsync_packet packet{};
};

/// Parses a frame of which `head` is linear and that is `wire_bytes` long.
Parsed parse_linear(std::span<const std::uint8_t> head, std::size_t wire_bytes);
Parsed parse(std::span<const std::uint8_t> frame);
/// The same of a packet without a link header.
Parsed parse_bare(std::span<const std::uint8_t> packet);

/// A reason's name, empty for a well-formed packet.
std::string_view reason_name(zsync_malformed reason);

/// The index of the first rule that `tables` match, or the number of rules.
std::size_t match(const Tables& tables, const zsync_packet& packet);

/// The class of a source address.
std::uint32_t source_class(const Tables& tables, Family family, const zsync_address& address);

/// Empty when both parsers say the same, else the difference in words.
std::string difference(const Parsed& ours, const ReferencePacket& reference);

} // namespace zsync::packet::test
