#include <zsync/core/frame_store.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <set>
#include <thread>
#include <unistd.h>
#include <vector>

namespace zsync {
namespace {

// Sizes that no other test's tasks have.
constexpr std::size_t large_class = 4080 / FrameStore::class_bytes - 1;
constexpr std::size_t larger_class = 4096 / FrameStore::class_bytes - 1;
constexpr std::uintptr_t slab_bytes = 64 * 1024;

std::size_t bytes_of(std::size_t size_class) { return (size_class + 1) * FrameStore::class_bytes; }

std::vector<FreeFrame*> take(std::size_t size_class, std::size_t count) {
    std::vector<FreeFrame*> frames;
    while (frames.size() < count) {
        const FreeFrames batch = FrameStore::take(size_class);
        EXPECT_NE(batch.count, 0U);
        std::uint32_t counted = 0;
        for (FreeFrame* frame = batch.first; frame != nullptr; frame = frame->next) {
            frames.push_back(frame);
            ++counted;
        }
        EXPECT_EQ(counted, batch.count);
    }
    for (FreeFrame* frame : frames) {
        std::memset(static_cast<void*>(frame), 0x5a, bytes_of(size_class));
    }
    return frames;
}

void give_back(const std::vector<FreeFrame*>& frames) {
    FreeFrame* first = nullptr;
    for (FreeFrame* frame : frames) {
        frame->next = first;
        first = frame;
    }
    FrameStore::give_back(first);
}

std::set<std::uintptr_t> slabs_of(const std::vector<FreeFrame*>& frames) {
    std::set<std::uintptr_t> slabs;
    for (const FreeFrame* frame : frames) {
        slabs.insert(reinterpret_cast<std::uintptr_t>(frame) / slab_bytes);
    }
    return slabs;
}

std::size_t resident_bytes() {
    std::ifstream file("/proc/self/statm");
    std::size_t all = 0;
    std::size_t resident = 0;
    file >> all >> resident;
    return resident * static_cast<std::size_t>(::getpagesize());
}

TEST(FrameStore, frames_are_aligned_and_do_not_overlap) {
    for (const std::size_t size_class : {std::size_t{0}, std::size_t{8}, large_class}) {
        const std::vector<FreeFrame*> frames = take(size_class, 1000);
        std::set<std::uintptr_t> at;
        for (const FreeFrame* frame : frames) {
            at.insert(reinterpret_cast<std::uintptr_t>(frame));
        }
        ASSERT_EQ(at.size(), frames.size());
        std::uintptr_t end = 0;
        for (const std::uintptr_t begin : at) {
            EXPECT_EQ(begin % FrameStore::class_bytes, 0U);
            EXPECT_GE(begin, end);
            end = begin + bytes_of(size_class);
        }
        give_back(frames);
    }
}

TEST(FrameStore, frames_go_back_on_any_thread) {
    std::vector<FreeFrame*> frames;
    std::thread([&] { frames = take(large_class, 5000); }).join();
    const std::set<std::uintptr_t> slabs = slabs_of(frames);
    std::thread([&] { give_back(frames); }).join();
    const std::vector<FreeFrame*> again = take(large_class, 5000);
    EXPECT_EQ(slabs_of(again), slabs);
    give_back(again);
}

TEST(FrameStore, a_slab_without_frames_serves_other_sizes) {
    const std::vector<FreeFrame*> frames = take(large_class, 500);
    const std::set<std::uintptr_t> slabs = slabs_of(frames);
    give_back(frames);
    const std::vector<FreeFrame*> others = take(larger_class, 15);
    EXPECT_TRUE(slabs.contains(*slabs_of(others).begin()));
    give_back(others);
}

TEST(FrameStore, half_of_what_a_burst_took_goes_back_to_the_system) {
    constexpr std::size_t burst = 256 * 1024 * 1024;
    const std::vector<FreeFrame*> frames = take(larger_class, burst / bytes_of(larger_class));
    const std::size_t taken = resident_bytes();
    give_back(frames);
    EXPECT_LT(resident_bytes(), taken - burst / 3);
    const std::vector<FreeFrame*> again = take(larger_class, burst / bytes_of(larger_class));
    EXPECT_LT(resident_bytes(), taken + burst / 10) << "the same memory is used again";
    give_back(again);
}

} // namespace
} // namespace zsync
