// Named limits of the C interface.
#pragma once

#include <cstddef>

namespace zsync::c::limits {

/// MAX_RW_COUNT of the kernel: a longer buffer is read or written up to here.
constexpr std::size_t bytes_per_operation_max = 0x7ffff000;

} // namespace zsync::c::limits
