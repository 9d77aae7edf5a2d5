#include <zsync/core/frame_store.hpp>
#include <zsync/core/limits.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <bit>
#include <mutex>
#include <new>
#include <set>

namespace zsync {
namespace {

constexpr std::size_t slab_bytes = 64UL * 1024;
constexpr std::size_t page_bytes = 4096;
/// Slabs are aligned, so the first frames of two classes would differ in the high bits of their
/// addresses alone: what is stored in a parent's would be taken for a child's. Each class begins as
/// many lines further on than the one before it as a small frame has, so that the first of them do
/// not meet either (Bonwick, USENIX Summer 1994: slab coloring).
constexpr std::size_t color_bytes = 64;
constexpr std::size_t slab_colors = 16;
constexpr std::size_t colors_between_classes = 3;
static_assert(slab_colors % colors_between_classes != 0, "every color has its turn");
constexpr std::size_t class_count = limits::pooled_frame_bytes_max / FrameStore::class_bytes;

/// At the beginning of its memory, which is aligned to its size.
struct alignas(64) Slab {
    Slab* next = nullptr;  ///< in the list of those with room, or without frames
    Slab** link = nullptr; ///< null while it is full
    FreeFrame* free = nullptr;
    std::uint32_t used = 0;             ///< frames that pools have
    std::uint32_t fresh = sizeof(Slab); ///< where memory begins that was never a frame
    std::uint32_t frame_bytes = 0;

    [[nodiscard]] bool has_room() const noexcept {
        return free != nullptr || fresh + frame_bytes <= slab_bytes;
    }
};

/// What the system gave: address space, a page of which takes memory once it is touched.
struct Region {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
};

struct Store {
    std::mutex mutex;
    std::array<Slab*, class_count> with_room{};
    Slab* empty = nullptr; ///< without frames
    Slab* bare = nullptr;  ///< and without memory, but for their first page
    std::uint32_t empty_count = 0;
    std::uint32_t slab_count = 0;
    std::array<Region, limits::frame_regions_max> regions{};
    std::size_t region_count = 0;
    std::uintptr_t unused = 0; ///< of the last region, from here to its end
};
constinit Store store;

void link(Slab*& first, Slab& slab) noexcept {
    slab.next = first;
    slab.link = &first;
    if (first != nullptr) {
        first->link = &slab.next;
    }
    first = &slab;
}

void unlink(Slab& slab) noexcept {
    *slab.link = slab.next;
    if (slab.next != nullptr) {
        slab.next->link = slab.link;
    }
    slab.link = nullptr;
}

/// Each region is twice as large as the one before it, up to a limit: few, however much memory
/// there is, and small where little is needed.
constexpr std::size_t bytes_of_region(std::size_t index) noexcept {
    constexpr auto doublings = static_cast<std::size_t>(
        std::countr_zero(limits::frame_region_bytes_max / limits::frame_region_bytes_min)
    );
    return limits::frame_region_bytes_min << std::min(index, doublings);
}
static_assert(bytes_of_region(0) == limits::frame_region_bytes_min);
static_assert(bytes_of_region(limits::frame_regions_max - 1) == limits::frame_region_bytes_max);

bool add_region() noexcept {
    if (store.region_count == store.regions.size()) {
        return false;
    }
    const std::size_t bytes = bytes_of_region(store.region_count);
    void* memory = ::mmap(
        nullptr,
        bytes + slab_bytes,
        PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
        -1,
        0
    );
    if (memory == MAP_FAILED) {
        return false;
    }
    const auto given = reinterpret_cast<std::uintptr_t>(memory);
    const std::uintptr_t begin = (given + slab_bytes - 1) / slab_bytes * slab_bytes;
    if (begin != given) {
        ::munmap(memory, begin - given);
    }
    if (const std::size_t rest = given + slab_bytes - begin; rest != 0) {
        ::munmap(std::bit_cast<void*>(begin + bytes), rest);
    }
    store.regions[store.region_count++] = {.begin = begin, .end = begin + bytes};
    store.unused = begin;
    return true;
}

bool owns(const void* frame) noexcept {
    const auto at = reinterpret_cast<std::uintptr_t>(frame);
    // Most frames lie in the last regions, which are the largest.
    for (std::size_t n = store.region_count; n-- > 0;) {
        if (at >= store.regions[n].begin && at < store.regions[n].end) {
            return true;
        }
    }
    return false;
}

/// Where the frames of a slab begin.
constexpr std::uint32_t color_of(std::size_t size_class) noexcept {
    return static_cast<std::uint32_t>(
        size_class * colors_between_classes % slab_colors * color_bytes
    );
}

Slab* new_slab(std::size_t size_class) noexcept {
    void* memory = nullptr;
    if (store.empty != nullptr) {
        memory = store.empty;
        unlink(*store.empty);
        --store.empty_count;
    } else if (store.bare != nullptr) {
        memory = store.bare;
        unlink(*store.bare);
    } else {
        if (store.region_count == 0 || store.unused == store.regions[store.region_count - 1].end) {
            if (!add_region()) {
                return nullptr;
            }
        }
        memory = std::bit_cast<void*>(store.unused);
        store.unused += slab_bytes;
        ++store.slab_count;
    }
    Slab* slab = ::new (memory) Slab;
    slab->frame_bytes = static_cast<std::uint32_t>((size_class + 1) * FrameStore::class_bytes);
    slab->fresh += color_of(size_class);
    link(store.with_room[size_class], *slab);
    return slab;
}

void release(Slab& slab) noexcept {
    unlink(slab);
    if (store.empty_count < std::max(limits::empty_slabs_kept, store.slab_count / 2)) {
        link(store.empty, slab);
        ++store.empty_count;
        return;
    }
    auto* rest = reinterpret_cast<std::byte*>(&slab) + page_bytes;
    (void)::madvise(rest, slab_bytes - page_bytes, MADV_DONTNEED);
    link(store.bare, slab);
}

void give_back_one(FreeFrame& frame) noexcept {
    const auto at = reinterpret_cast<std::uintptr_t>(&frame);
    Slab& slab = *std::bit_cast<Slab*>(at / slab_bytes * slab_bytes);
    frame.next = slab.free;
    slab.free = &frame;
    if (slab.link == nullptr) {
        link(store.with_room[slab.frame_bytes / FrameStore::class_bytes - 1], slab);
    }
    if (--slab.used == 0) {
        release(slab);
    }
}

void add_taken(const Slab& slab, std::vector<std::span<const std::byte>>& frames) {
    std::set<const void*> free;
    for (const FreeFrame* frame = slab.free; frame != nullptr; frame = frame->next) {
        free.insert(frame);
    }
    const auto* const memory = reinterpret_cast<const std::byte*>(&slab);
    const std::size_t size_class = slab.frame_bytes / FrameStore::class_bytes - 1;
    for (std::uint32_t at = sizeof(Slab) + color_of(size_class); at < slab.fresh;
         at += slab.frame_bytes) {
        if (!free.contains(memory + at)) {
            frames.emplace_back(memory + at, slab.frame_bytes);
        }
    }
}

} // namespace

FreeFrames FrameStore::take(std::size_t size_class) noexcept {
    const std::uint32_t wanted = std::max<std::uint32_t>(
        1, static_cast<std::uint32_t>(limits::frame_batch_bytes / ((size_class + 1) * class_bytes))
    );
    FreeFrames batch;
    // In the order of their addresses: tasks that are started one after the other run like that.
    FreeFrame** end = &batch.first;
    const std::scoped_lock guard(store.mutex);
    while (batch.count < wanted) {
        Slab* slab = store.with_room[size_class];
        if (slab == nullptr && batch.count == 0) {
            slab = new_slab(size_class);
        }
        if (slab == nullptr) {
            break;
        }
        for (; batch.count < wanted && slab->has_room(); ++batch.count, ++slab->used) {
            FreeFrame* frame = slab->free;
            if (frame != nullptr) {
                slab->free = frame->next;
            } else {
                frame = ::new (reinterpret_cast<std::byte*>(slab) + slab->fresh) FreeFrame;
                slab->fresh += slab->frame_bytes;
            }
            *end = frame;
            end = &frame->next;
        }
        if (!slab->has_room()) {
            unlink(*slab);
        }
    }
    *end = nullptr;
    return batch;
}

void FrameStore::give_back(FreeFrame* first) noexcept {
    const std::scoped_lock guard(store.mutex);
    while (first != nullptr) {
        FreeFrame* frame = first;
        first = frame->next;
        if (owns(frame)) {
            give_back_one(*frame);
        } else {
            ::operator delete(frame);
        }
    }
}

std::vector<std::span<const std::byte>> FrameStore::taken() {
    std::vector<std::span<const std::byte>> frames;
    const std::scoped_lock guard(store.mutex);
    for (std::size_t n = 0; n < store.region_count; ++n) {
        const bool last = n + 1 == store.region_count;
        const std::uintptr_t end = last ? store.unused : store.regions[n].end;
        for (std::uintptr_t at = store.regions[n].begin; at != end; at += slab_bytes) {
            if (const Slab& slab = *std::bit_cast<const Slab*>(at); slab.used != 0) {
                add_taken(slab, frames);
            }
        }
    }
    return frames;
}

} // namespace zsync
