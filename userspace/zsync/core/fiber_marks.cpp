// How deep the stacks of fibers have been.
#include <zsync/core/fiber.hpp>
#include <zsync/core/fiber_switch.hpp>
#include <zsync/core/limits.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define RUNNING_ON_VALGRIND 0
#endif

namespace zsync {
namespace {

constexpr std::size_t page_bytes = 4096;
/// What a function may use below its stack pointer.
constexpr std::size_t red_zone_bytes = 128;

/// Where the first page begins that memory was given to; the end when none was.
std::byte* first_touched(std::byte* stack, std::size_t bytes) {
    std::vector<unsigned char> resident(bytes / page_bytes);
    if (::mincore(stack, bytes, resident.data()) != 0) {
        return stack + bytes;
    }
    const auto found =
        std::ranges::find_if(resident, [](unsigned char page) { return (page & 1U) != 0; });
    return stack + static_cast<std::size_t>(found - resident.begin()) * page_bytes;
}

// Other code's frames, dead or not: what sanitizers would call a fault.
__attribute__((no_sanitize("address"), no_sanitize("thread"))) const std::byte*
first_used(const std::byte* from, const std::byte* to) noexcept {
    while (from < to && *from == std::byte{0}) {
        ++from;
    }
    return from;
}

__attribute__((no_sanitize("address"), no_sanitize("thread"))) void
clear(std::byte* from, const std::byte* to) noexcept {
    for (auto* at = from; at < to; ++at) {
        *static_cast<volatile std::byte*>(at) = std::byte{0};
    }
}

} // namespace

std::size_t Fiber::stack_bytes_used() const noexcept {
    std::byte* stack = mapping_ + fiber_guard_bytes;
    const std::byte* end = stack + stack_bytes_;
    const std::byte* from = first_touched(stack, stack_bytes_);
    return static_cast<std::size_t>(
        end - (RUNNING_ON_VALGRIND != 0 ? from : first_used(from, end))
    );
}

void Fiber::forget_stack_bytes_used() noexcept {
    const auto* left_at = static_cast<const std::byte*>(stack_pointer_);
    if (RUNNING_ON_VALGRIND == 0) {
        clear(first_touched(mapping_ + fiber_guard_bytes, stack_bytes_), left_at - red_zone_bytes);
    }
}

void FiberPool::mark(Fiber& ended) {
    const std::size_t used = ended.stack_bytes_used();
    ended.forget_stack_bytes_used();
    std::string_view task = ended_name_;
    auto found = marks_.find(task);
    if (found == marks_.end()) {
        if (marks_.size() >= limits::stack_marks_max) {
            task = other_tasks;
        }
        found = marks_.try_emplace(std::string(task)).first;
    }
    found->second = std::max(found->second, used);
    ended_name_.clear();
}

std::vector<StackMark> FiberPool::marks() const {
    std::vector<StackMark> marks;
    marks.reserve(marks_.size());
    for (const auto& [task, bytes] : marks_) {
        marks.push_back({.task = task, .bytes = bytes});
    }
    return marks;
}

} // namespace zsync
