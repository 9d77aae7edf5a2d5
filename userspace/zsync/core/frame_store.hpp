// FrameStore: where the frame pools of all threads get their memory, and leave what they have too
// much of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace zsync {

/// A frame that nobody uses, linked to others of its size.
struct FreeFrame {
    FreeFrame* next;
    std::uint64_t count; ///< in a pool: how many there are from here on, this one included
};

/// A batch of them.
struct FreeFrames {
    FreeFrame* first = nullptr;
    std::uint32_t count = 0;
};

/// Process-wide, behind one lock, which pools take once for many frames. Frames lie in slabs of one
/// size class each, without a word of overhead to a frame, and may be given back by any thread. A
/// slab without frames serves the next class that needs one; when more than half of all have none,
/// they give their memory back to the system.
class FrameStore {
public:
    /// Sizes are rounded up to multiples of this.
    static constexpr std::size_t class_bytes = 16;
    /// Up to as many as take `limits::frame_batch_bytes`, of `size_class` + 1 times `class_bytes`
    /// each. None when the system gives no memory.
    [[nodiscard]] static FreeFrames take(std::size_t size_class) noexcept;
    /// Takes back a list of frames; those that came from the heap go there.
    static void give_back(FreeFrame* first) noexcept;
    /// The frames that pools have, in use or not; those from the heap are not among them.
    [[nodiscard]] static std::vector<std::span<const std::byte>> taken();
};

} // namespace zsync
