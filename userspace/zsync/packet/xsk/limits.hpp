// Named limits of AF_XDP sockets and their frame pools.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace zsync::packet::xsk::limits {

/// Frames of one pool: 2 GiB of them at 2 KiB each.
constexpr std::uint32_t frames_max = 1U << 20;
/// Bytes of a frame: what the kernel takes, from 2 KiB to its page.
constexpr std::uint32_t frame_bytes_min = 2048;
constexpr std::uint32_t frame_bytes_max = 4096;
/// Sockets that share one pool.
constexpr std::size_t sockets_max = 250;
/// Entries of one ring.
constexpr std::uint32_t ring_entries_max = 1U << 15;
/// Queues of an interface that can have sockets: places of an XSKMAP.
constexpr std::uint32_t queues_max = 256;
/// Queues of one port of a forwarder; it opens a socket for each.
constexpr std::uint32_t forward_queues_max = 16;
/// Entries of a forwarder's receive rings: so many for all of its sockets together, but no fewer
/// than so many for one of them. 8,192, which two ports of one queue have, last 15 ms at 500,000
/// packets a second: a processor that is lent to others for as long costs no packet.
constexpr std::uint32_t forward_entries_all = 1U << 14;
constexpr std::uint32_t forward_entries_min = 1U << 11;
/// Frames that one call receives, forwards or takes back, before others get their turn.
constexpr std::uint32_t batch_frames_max = 256;
/// Frames of one packet: 17 fragments and the first (MAX_SKB_FRAGS + 1 of the kernel).
constexpr std::uint32_t packet_frames_max = 18;

/// How often opening is tried again while the queue is busy: the kernel takes a closed socket apart
/// some time after its close(2).
constexpr int open_attempts_max = 50;
constexpr std::chrono::milliseconds open_retry_interval{20};
/// How often a socket that has no frames to receive into looks for some: the kernel tells nobody
/// that it has sent one.
constexpr std::chrono::milliseconds starved_interval{1};
/// How often a socket that waits looks whether its interface is still there.
constexpr std::chrono::milliseconds device_check_interval{250};

/// Stations that a forwarder remembers at one port; the one heard least recently is forgotten.
constexpr std::size_t stations_max = 4096;

} // namespace zsync::packet::xsk::limits
