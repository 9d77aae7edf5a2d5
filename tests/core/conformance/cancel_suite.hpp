// Every suspension point, cancelled at every time, on every model.
#pragma once

#include "tests/core/models.hpp"

#include <cstddef>

namespace zsync::conformance {

/// Registers each point with each of the six timings for a model on which tasks run beside each
/// other.
void register_cancels_on(Model model);

constexpr std::size_t timing_count = 6;

} // namespace zsync::conformance
