#include <zsync/core/frame_pool.hpp>

#include <new>
#include <utility>

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

bool FramePool::fetch(std::size_t index) noexcept {
    const FreeFrames batch = FrameStore::take(index);
    lists_[index] = batch.first;
    fetched_ += batch.count;
    std::uint64_t count = batch.count;
    for (FreeFrame* frame = batch.first; frame != nullptr; frame = frame->next) {
        frame->count = count--;
    }
    return batch.first != nullptr;
}

void* FramePool::allocate_otherwise(std::size_t size, FrameUse use) {
    clear_at_thread_exit();
    const std::size_t index = class_of(size);
    const bool traced = Ledger::traces();
    if (index < class_count && most_kept_ != 0 && !traced && fetch(index)) [[likely]] {
        return allocate(size, use);
    }
    ++fetched_;
    void* frame = ::operator new(index < class_count ? (index + 1) * class_bytes : size);
    if (traced) [[unlikely]] {
        if (most_kept_ != 0) {
            clear();
        }
        Ledger::frame_made(frame, use);
    }
    return frame;
}

// The list is full, or nothing is kept.
void FramePool::free_otherwise(void* memory, std::size_t size) noexcept {
    if (Ledger::traces()) [[unlikely]] {
        Ledger::frame_freed(memory);
    }
    const std::size_t index = class_of(size);
    if (index >= class_count) {
        ++given_back_;
        ::operator delete(memory);
        return;
    }
    auto* first = static_cast<FreeFrame*>(memory);
    FreeFrame* last = first;
    if (most_kept_ == 0) {
        ++given_back_;
    } else {
        first->next = lists_[index];
        for (std::uint32_t n = 1; n < limits::frames_given_back; ++n) {
            last = last->next;
        }
        lists_[index] = last->next;
        given_back_ += limits::frames_given_back;
    }
    last->next = nullptr;
    FrameStore::give_back(first);
}

FramePoolStats FramePool::stats() const noexcept {
    std::uint64_t pooled = 0;
    for (const FreeFrame* list : lists_) {
        pooled += length(list);
    }
    return {.live = fetched_ - given_back_ - pooled, .pooled = pooled, .heap = fetched_};
}

std::vector<const void*> FramePool::kept() const {
    std::vector<const void*> frames;
    for (const FreeFrame* frame : lists_) {
        for (; frame != nullptr; frame = frame->next) {
            frames.push_back(frame);
        }
    }
    return frames;
}

void FramePool::clear() noexcept {
    for (FreeFrame*& list : lists_) {
        given_back_ += length(list);
        FrameStore::give_back(std::exchange(list, nullptr));
    }
    most_kept_ = 0;
}

FramePoolStats frame_pool_stats() noexcept { return frame_pool.stats(); }

} // namespace zsync
