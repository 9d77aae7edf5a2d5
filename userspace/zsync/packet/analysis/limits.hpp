// Named limits of the traffic analysis: what it keeps for a stranger's packets.
#pragma once

#include <cstddef>
#include <cstdint>

namespace zsync::packet::analysis::limits {

/// Bytes of one captured packet: the largest that tcpdump and libpcap write.
constexpr std::uint32_t captured_packet_bytes_max = 262'144;
/// Bytes of a pcapng block that is kept whole; larger blocks of kinds that carry no packet are
/// skipped.
constexpr std::uint32_t capture_block_bytes_max = 16U << 20;
/// Interfaces described in one section of a pcapng file.
constexpr std::size_t capture_interfaces_max = 1024;

/// Flows that a table may be made for, and where nobody says otherwise: the kernel's takes 278
/// bytes for each.
constexpr std::uint32_t flows_min = 1024;
constexpr std::uint32_t flows_max = 1'048'576;
constexpr std::uint32_t flows_usual = 65'536;
/// Flows that one CPU makes in a second before flood mode begins: at most that may be asked for,
/// and where nobody says otherwise.
constexpr std::uint32_t new_flows_per_second_max = 1'000'000'000;
constexpr std::uint32_t new_flows_per_second_usual = 25'000;
/// The longest time that flows may be kept without a packet.
constexpr std::uint32_t flow_seconds_max = 30 * 24 * 3600;
/// Flows about whose content something is remembered.
constexpr std::size_t flow_contents_max = 16'384;
/// First fragments whose ports are remembered for the fragments after them.
constexpr std::size_t fragments_max = 1024;

/// Bytes at the start of a TCP stream that are put together for its parsers.
constexpr std::size_t stream_head_bytes_max = 16'384;
/// Segments that wait for one before them.
constexpr std::size_t stream_segments_max = 16;
/// Bytes of the CRYPTO stream of QUIC Initial packets that are put together.
constexpr std::size_t quic_crypto_bytes_max = 16'384;
/// Pieces of that stream that wait for one before them.
constexpr std::size_t quic_pieces_max = 64;

/// Bytes of a domain name in its text form, with every byte escaped (RFC 1035: 255 on the wire).
constexpr std::size_t dns_name_bytes_max = 255;
/// Questions and records of one DNS message that are read.
constexpr std::size_t dns_questions_max = 16;
constexpr std::size_t dns_records_max = 256;
/// Bytes of a value taken from HTTP, TLS or DHCP and shown.
constexpr std::size_t shown_bytes_max = 512;

/// Counters of a top-talker table: no address with more than 1/256 of all bytes is missing, and no
/// figure is more than that too high.
constexpr std::size_t talkers_max = 256;
/// Talkers that a report lists.
constexpr std::size_t talkers_listed_max = 20;
/// Sources whose distinct destinations and ports are counted.
constexpr std::size_t sources_max = 4096;

/// Packets of several sources may come a little out of order; beyond this somebody set the clock
/// back.
constexpr std::uint64_t clock_step_ns = 60'000'000'000;

/// Hosts, ports or pairs that each detector counts for, and clients' domains.
constexpr std::size_t detector_entries_max = 4096;
/// Intervals between connections that are compared, for one pair of hosts.
constexpr std::size_t beats_max = 64;
/// Subjects whose last alert is remembered, so that it is not told again at once.
constexpr std::size_t told_max = 1024;
/// Alerts that are kept to be shown.
constexpr std::size_t alerts_kept_max = 1000;
/// DNS and DHCP messages of an interface that are kept to be shown, and the bytes of their text.
constexpr std::size_t messages_kept_max = 1024;
constexpr std::size_t messages_kept_bytes_max = std::size_t{4} << 20;

/// Bytes of text that the lists of one report may take; what is over is counted and left out.
constexpr std::size_t report_bytes_max = std::size_t{64} << 20;

} // namespace zsync::packet::analysis::limits
