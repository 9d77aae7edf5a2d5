#include <zsync/core/frame_pool.hpp>
#include <zsync/core/limits.hpp>

#include <array>
#include <new>

namespace zsync {
namespace {

constexpr std::size_t class_bytes = 64;
constexpr std::size_t class_count = limits::pooled_frame_bytes_max / class_bytes;

#ifdef ZSYNC_SANITIZED
constexpr bool pooling = false;
#else
constexpr bool pooling = true;
#endif

struct FreeFrame {
    FreeFrame* next;
};

struct Pool {
    std::array<FreeFrame*, class_count> lists{};
    std::array<std::uint32_t, class_count> lengths{};
    FramePoolStats stats;

    Pool() = default;
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;
    ~Pool() {
        for (FreeFrame* frame : lists) {
            while (frame != nullptr) {
                FreeFrame* next = frame->next;
                ::operator delete(frame);
                frame = next;
            }
        }
    }
};

thread_local Pool pool;

constexpr std::size_t size_class(std::size_t size) { return (size - 1) / class_bytes; }

} // namespace

void* allocate_frame(std::size_t size) {
    ++pool.stats.live;
    const std::size_t index = size_class(size);
    if (pooling && index < class_count && pool.lists[index] != nullptr) {
        FreeFrame* frame = pool.lists[index];
        pool.lists[index] = frame->next;
        --pool.lengths[index];
        --pool.stats.pooled;
        return frame;
    }
    ++pool.stats.heap;
    return ::operator new(index < class_count ? (index + 1) * class_bytes : size);
}

void free_frame(void* memory, std::size_t size) noexcept {
    --pool.stats.live;
    const std::size_t index = size_class(size);
    if (!pooling || index >= class_count || pool.lengths[index] == limits::pooled_frames_max) {
        ::operator delete(memory);
        return;
    }
    pool.lists[index] = new (memory) FreeFrame{pool.lists[index]};
    ++pool.lengths[index];
    ++pool.stats.pooled;
}

FramePoolStats frame_pool_stats() noexcept { return pool.stats; }

} // namespace zsync
