// Free lists for coroutine frames and task records.
#pragma once

#include <zsync/core/frame_store.hpp>
#include <zsync/core/ledger.hpp>
#include <zsync/core/limits.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

namespace zsync {

/// Figures of this thread's pool.
struct FramePoolStats {
    std::uint64_t live = 0;   ///< frames in use
    std::uint64_t pooled = 0; ///< frames kept for reuse
    std::uint64_t heap = 0;   ///< frames fetched from outside of it since the thread began
};

/// The free lists of one thread, one a size class. Plain data: a thread-local with a destructor
/// would cost each access a check whether it has been made.
class FramePool {
public:
    /// `use` matters where the ledger traces: nothing is pooled then.
    [[nodiscard]] void* allocate(std::size_t size, FrameUse use) {
        const std::size_t index = class_of(size);
        if (index < class_count && lists_[index] != nullptr) [[likely]] {
            FreeFrame* frame = lists_[index];
            lists_[index] = frame->next;
            return frame;
        }
        return allocate_otherwise(size, use);
    }
    void free(void* memory, std::size_t size) noexcept {
        const std::size_t index = class_of(size);
        if (index < class_count) [[likely]] {
            FreeFrame* const rest = lists_[index];
            const std::uint64_t kept = length(rest);
            if (kept < most_kept_) [[likely]] {
                lists_[index] = ::new (memory) FreeFrame{.next = rest, .count = kept + 1};
                return;
            }
        }
        free_otherwise(memory, size);
    }
    [[nodiscard]] FramePoolStats stats() const noexcept;
    /// The frames that nobody uses.
    [[nodiscard]] std::vector<const void*> kept() const;
    /// For threads that may free frames without ever having made one.
    void clear_at_thread_exit() noexcept;
    /// Gives everything back, and what is freed from here on too; at the end of the thread, and
    /// where the ledger traces. From here on each frame is one of the heap's.
    void clear() noexcept;

private:
    static constexpr std::size_t class_bytes = FrameStore::class_bytes;
    static constexpr std::size_t class_count = limits::pooled_frame_bytes_max / class_bytes;

    static constexpr std::size_t class_of(std::size_t size) noexcept {
        return (size - 1) / class_bytes;
    }
    static std::uint64_t length(const FreeFrame* first) noexcept {
        return first != nullptr ? first->count : 0;
    }
    void* allocate_otherwise(std::size_t size, FrameUse use);
    [[nodiscard]] bool fetch(std::size_t index) noexcept;
    void free_otherwise(void* memory, std::size_t size) noexcept;

    // How long a list is stands in its frames: a counter beside it would be read and written twice
    // for each frame that comes and goes, and each time wait for the time before.
    std::array<FreeFrame*, class_count> lists_{};
    std::uint64_t most_kept_ = limits::pooled_frames_max; ///< of a class; 0: nothing is kept
    std::uint64_t fetched_ = 0;
    std::uint64_t given_back_ = 0;
    bool clears_at_exit_ = false;
};

inline thread_local constinit FramePool frame_pool{};

/// Allocation of coroutine frames from per-thread free lists. A frame is the runtime's most
/// frequent allocation; taking it from a list halves the cost of awaiting a child. Sanitizer builds
/// go to the heap every time, so that a use after free is seen.
[[nodiscard]] inline void* allocate_frame(std::size_t size, FrameUse use) {
#ifdef ZSYNC_SANITIZED
    void* frame = ::operator new(size);
    if (Ledger::traces()) {
        Ledger::frame_made(frame, use);
    }
    return frame;
#else
    return frame_pool.allocate(size, use);
#endif
}
inline void free_frame(void* frame, std::size_t size) noexcept {
#ifdef ZSYNC_SANITIZED
    if (Ledger::traces()) {
        Ledger::frame_freed(frame);
    }
    ::operator delete(frame, size);
#else
    frame_pool.free(frame, size);
#endif
}
[[nodiscard]] FramePoolStats frame_pool_stats() noexcept;

} // namespace zsync
