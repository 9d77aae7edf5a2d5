// Named limits of the bus.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace zsync::bus::limits {

/// Bytes of one call's arguments, as decoded; larger ones are refused. Bulk data
/// goes over a passed descriptor.
constexpr std::size_t message_bytes_max = std::size_t{1} << 20;
/// Bytes of a reply or signal that we accept, as decoded.
constexpr std::size_t reply_bytes_max = std::size_t{16} << 20;
/// Calls of one client that may run at the same time.
constexpr std::uint32_t client_calls_max = 64;
/// Calls of all clients that may run at the same time.
constexpr std::uint32_t calls_max = 1024;
/// Calls of our own that may wait for their reply at the same time.
constexpr std::uint32_t outgoing_calls_max = 256;
/// Messages that wait for the bus to take them; past it no further message is read.
constexpr std::uint32_t outgoing_messages_max = 4096;
/// Messages that wait for the bus to take them; past it the bus is taken for dead and left.
constexpr std::uint32_t outgoing_messages_fatal = 4 * outgoing_messages_max;
/// Messages handled in a row before other tasks get their turn.
constexpr std::uint32_t messages_per_turn_max = 64;
/// Senders whose user id is remembered.
constexpr std::size_t known_senders_max = 1024;
/// Signals kept for a subscriber that has not taken them; the oldest is dropped for one more.
constexpr std::size_t subscription_signals_max = 256;
/// Bytes of an error's text on the wire.
constexpr std::size_t error_text_bytes_max = std::size_t{256} << 10;

constexpr std::chrono::seconds connect_timeout{10};
constexpr std::chrono::seconds call_timeout{25};
/// A person types a password in this time.
constexpr std::chrono::seconds interactive_authorization_timeout{120};
/// How long departures are still watched after the last running call has ended.
constexpr std::chrono::seconds departure_watch_linger{5};
/// Longest time for the last replies to leave when the connection is closed.
constexpr std::chrono::milliseconds drain_timeout{200};

} // namespace zsync::bus::limits
