// Named limits of the packet subsystem: the rule language and the match engine share them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace zsync::packet::limits {

/// Interfaces filtered at a time.
constexpr std::uint32_t interfaces_max = 256;
/// Rules in one rule set.
constexpr std::uint32_t rules_max = 4096;
/// Cgroups with rules of their own in one rule file: each is a program or two.
constexpr std::size_t cgroups_max = 64;
/// Temporary rules of an interface, and the longest time that one stays.
constexpr std::size_t temporary_rules_max = 1024;
constexpr std::uint64_t temporary_seconds_max = std::uint64_t{365} * 24 * 3600;
/// Named sets in one rule file.
constexpr std::uint32_t sets_max = 256;
/// Different address sets the rules of one rule set use, named and inline.
constexpr std::uint32_t address_sets_max = 4096;
/// Prefixes in one set, and in all sets the rules of one rule set use together.
constexpr std::uint32_t prefixes_max = 1'048'576;
/// Port ranges in one port set, after neighbours are merged.
constexpr std::uint32_t port_ranges_max = 64;
/// Bytes of a rule file, and of a set file.
constexpr std::size_t file_bytes_max = std::size_t{64} << 20;
/// Bytes of one line, its newline not counted.
constexpr std::size_t line_bytes_max = std::size_t{1} << 20;
/// Bytes of a set's or a rule's name.
constexpr std::size_t name_bytes_max = 63;
/// Bytes of a rule's canonical text.
constexpr std::size_t rule_text_bytes_max = 240;
/// Bytes of a set file's path.
constexpr std::size_t path_bytes_max = 4095;
/// Diagnostics given for one rule file; one more line says that there were others.
constexpr std::size_t diagnostics_max = 20;

/// Bytes of the match engine's rule bitmaps, one for each way in which a set's prefixes overlap.
constexpr std::size_t bitmap_bytes_max = std::size_t{64} << 20;
/// Cells of the match engine's tables: their indexes share a word with flag bits.
constexpr std::size_t cells_max = std::size_t{1} << 24;
/// Different classes of the IPv4 addresses of one dimension: a lane's color has 16 bits.
constexpr std::size_t ipv4_classes_max = 65'536;
/// Different classes of the addresses with ports of one dimension: likewise, and none is numbered
/// 0.
constexpr std::size_t endpoint_classes_max = 65'535;
/// 64-bit words of the address tables.
constexpr std::size_t bucket_words_max = std::size_t{1} << 25;
/// Counter slots of one interface: the rules of a live generation and of the next, and the default.
constexpr std::uint32_t counter_slots = 2 * rules_max + 1;
/// Bytes of a generation's record of its own rules, kept in the kernel beside its program.
constexpr std::size_t meta_bytes_max = std::size_t{4} << 20;
/// Bytes of the verifier's log that are read when it refuses a program.
constexpr std::size_t verifier_log_bytes_max = std::size_t{1} << 20;

/// Bytes of a tap's ring: 27,000 heads of packets, 7,800 messages of up to 512 bytes, 2,500 packets
/// as a wire has them, or 1,000 that are merged.
constexpr std::uint32_t tap_ring_bytes = 1U << 22;
/// Bytes of a packet, merged ones too, that an analysis gets to see where it wants the content.
constexpr std::uint32_t live_packet_bytes = 4096;
/// Packets that are analysed at a time, before others get their turn.
constexpr std::size_t live_packets_per_turn = 4096;
/// Bytes of a packet that a capture keeps.
constexpr std::uint32_t capture_bytes = 1600;
/// Bytes of the ring of the packets that rules sample.
constexpr std::uint32_t sample_ring_bytes = 1U << 22;
/// A limit's packets in its period, and bits a second: 100 Gbit/s.
constexpr std::uint64_t limit_packets_max = 100'000'000;
constexpr std::uint64_t limit_bits_min = 1000;
constexpr std::uint64_t limit_bits_max = 100'000'000'000;
/// A limit's burst: packets or bytes. Of bytes so many that a whole frame passes.
constexpr std::uint64_t limit_burst_max = 1'000'000'000;
constexpr std::uint64_t limit_burst_bytes_min = 1600;
/// How long a burst may take to fill.
constexpr std::uint64_t limit_fill_days_max = 366;
/// Packets or bytes in a sliding window: two counts and the window's number share a word.
constexpr std::uint64_t limit_window_max = (1U << 24) - 1;
/// Keys of all limits of one interface that have a state of their own: 2 MiB, and 8 for who they
/// are.
constexpr std::uint32_t limit_keys_max = 131'072;
/// Words that the other keys of a rule share.
constexpr std::uint32_t limit_shared_states = 16;
/// The threshold of a queue that limits adapt to, packets.
constexpr std::uint32_t limit_queue_max = 1'000'000;
/// How often limits adapt, and of the highest rate what one step without congestion adds: 5 s from
/// nothing to all of it.
constexpr std::uint32_t limit_adapt_interval_ms = 100;
constexpr std::uint64_t limit_adapt_steps = 50;
/// How often it is looked whether what keeps rules from being in force is over.
constexpr std::uint32_t hindrances_interval_ms = 1000;
/// How often an interface is tried again that could not be filtered.
constexpr std::uint32_t failed_interval_ms = 5000;
/// Of each rule's keys at most so many are shown.
constexpr std::uint32_t limit_keys_shown_max = 64;
/// How often flows are ended whose time is over.
constexpr std::uint32_t flow_age_interval_ms = 500;
/// How long received packets still get what rules left to be done that are gone: marks,
/// connections.
constexpr std::uint32_t handover_linger_ms = 20;
/// The sparsest sampling: one packet of so many.
constexpr std::uint32_t sample_every_max = 1U << 20;
/// Classes of a shape, `default` among them, and the clocks of classes: those of a live generation,
/// of the next, and the whole's.
constexpr std::uint32_t shape_classes_max = 64;
constexpr std::uint32_t shape_slots = 2 * shape_classes_max + 1;
/// A shape's and a class's rates, bits a second.
constexpr std::uint64_t shape_bits_min = 8000;
constexpr std::uint64_t shape_bits_max = 100'000'000'000;
/// How long a packet may wait for its time: at least, at most, and where the rules do not say.
constexpr std::uint32_t shape_horizon_ms_min = 1;
constexpr std::uint32_t shape_horizon_ms_max = 2000;
constexpr std::uint32_t shape_horizon_ms_usual = 100;
/// Packets that wait in the qdisc fq of a shape, at least and at most: by rate and horizon.
constexpr std::uint32_t fair_queue_packets_min = 10'000;
constexpr std::uint32_t fair_queue_packets_max = 1U << 18;

/// Pairs of interfaces that forward to each other.
constexpr std::size_t forwards_max = 16;

} // namespace zsync::packet::limits
