// How many queues an interface receives by.
#pragma once

#include <zsync/core/result.hpp>

#include <cstdint>
#include <string>

namespace zsync::packet::xsk {

/// ETHTOOL_GCHANNELS of linux/ethtool.h; 1 where the driver does not tell. What comes by a queue
/// without a socket goes to the host, so more than `queues_max` are refused: `limit_reached`.
Outcome<std::uint32_t> receive_queues(const std::string& ifname, std::uint32_t queues_max);

} // namespace zsync::packet::xsk
