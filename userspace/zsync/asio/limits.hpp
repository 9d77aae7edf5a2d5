// Named limits of the way to Boost.Asio.
#pragma once

#include <cstddef>
#include <cstdint>

namespace zsync::asio::limits {

/// Libraries whose error codes keep their words. Codes of one more keep their number alone.
constexpr std::size_t error_categories_max = 64;
/// Operations that complete while they are started, without giving others a turn, in one turn of
/// the worker.
constexpr std::uint32_t immediate_per_turn_max = 128;
/// The stack of the fiber that Asio's loop and all handlers run in. Beast's WebSockets touch 48 KiB
/// of it; what nobody touches takes no memory.
constexpr std::size_t loop_stack_bytes = 256 * 1024;
/// How deep the handlers of such operations may call each other.
constexpr std::uint32_t immediate_depth_max = 1;

} // namespace zsync::asio::limits
