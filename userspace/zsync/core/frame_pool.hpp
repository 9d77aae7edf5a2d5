// Free lists for coroutine frames.
#pragma once

#include <cstddef>
#include <cstdint>

namespace zsync {

/// Figures of this thread's pool.
struct FramePoolStats {
    std::uint64_t live = 0;   ///< frames in use
    std::uint64_t pooled = 0; ///< frames kept for reuse
    std::uint64_t heap = 0;   ///< allocations that went to the heap since the thread began
};

/// Allocation of coroutine frames from per-thread free lists, one list a size class. A frame is the
/// runtime's most frequent allocation; taking it from a list halves the cost of awaiting a child.
/// Sanitizer builds go to the heap every time, so that a use after free is seen.
[[nodiscard]] void* allocate_frame(std::size_t size);
void free_frame(void* frame, std::size_t size) noexcept;
[[nodiscard]] FramePoolStats frame_pool_stats() noexcept;

} // namespace zsync
