// The packet plane's limits as the bus shows them.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace zsync::zsyncd {

/// Every constant of the packet plane's three `limits.hpp`, by name: those of the analysis and of
/// AF_XDP with `analysis_` and `xsk_` before it, times of theirs with `_ms` behind it; and what the
/// daemon itself bounds of captures and replays.
std::map<std::string, std::uint64_t> packet_limits();

} // namespace zsync::zsyncd
