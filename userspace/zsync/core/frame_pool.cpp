#include <zsync/core/frame_pool.hpp>

#include <new>

namespace zsync {
namespace {

/// Clears this thread's pool when the thread ends.
struct AtThreadExit {
    AtThreadExit() = default;
    AtThreadExit(const AtThreadExit&) = delete;
    AtThreadExit& operator=(const AtThreadExit&) = delete;
    ~AtThreadExit() { frame_pool.clear(); }
    void arm() const noexcept {}
};
thread_local const AtThreadExit at_thread_exit;

} // namespace

void FramePool::clear_at_thread_exit() noexcept {
    if (!clears_at_exit_) {
        clears_at_exit_ = true;
        at_thread_exit.arm();
    }
}

void* FramePool::allocate_from_heap(std::size_t size, FrameUse use) {
    clear_at_thread_exit();
    ++from_heap_;
    const std::size_t index = class_of(size);
    void* frame = ::operator new(index < class_count ? (index + 1) * class_bytes : size);
    if (Ledger::traces()) [[unlikely]] {
        if (!keeps_nothing_) {
            clear();
        }
        Ledger::frame_made(frame, use);
    }
    return frame;
}

void FramePool::free_to_heap(void* memory, std::size_t /*size*/) noexcept {
    ++to_heap_;
    if (Ledger::traces()) [[unlikely]] {
        Ledger::frame_freed(memory);
    }
    ::operator delete(memory);
}

FramePoolStats FramePool::stats() const noexcept {
    std::uint64_t pooled = 0;
    if (!keeps_nothing_) {
        for (const std::uint32_t length : lengths_) {
            pooled += length;
        }
    }
    return {.live = from_heap_ - to_heap_ - pooled, .pooled = pooled, .heap = from_heap_};
}

void FramePool::clear() noexcept {
    for (FreeFrame*& list : lists_) {
        while (list != nullptr) {
            FreeFrame* frame = list;
            list = frame->next;
            ::operator delete(frame);
            ++to_heap_;
        }
    }
    keeps_nothing_ = true;
    lengths_.fill(limits::pooled_frames_max); // what is freed later goes to the heap
}

FramePoolStats frame_pool_stats() noexcept { return frame_pool.stats(); }

} // namespace zsync
