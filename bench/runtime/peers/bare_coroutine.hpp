// The floor under every coroutine runtime: what C++20 itself costs. No cancellation, no errors, no
// names, no I/O; frames from a free list, and a ring of ready handles as scheduler. Part of the
// program that it is compared with, so that both run in one process.
#pragma once

#include "bench/runtime/peers/micro.hpp"

#include <array>
#include <coroutine>
#include <cstddef>
#include <new>
#include <utility>

namespace bare {

inline std::array<void*, 16> free_frames{}; ///< by size in units of 64 bytes

inline void* allocate(std::size_t bytes) {
    const std::size_t index = bytes / 64;
    if (index < free_frames.size() && free_frames[index] != nullptr) {
        return std::exchange(free_frames[index], *static_cast<void**>(free_frames[index]));
    }
    return ::operator new((index + 1) * 64);
}

inline void release(void* frame, std::size_t bytes) {
    const std::size_t index = bytes / 64;
    if (index < free_frames.size()) {
        *static_cast<void**>(frame) = std::exchange(free_frames[index], frame);
    } else {
        ::operator delete(frame);
    }
}

inline std::array<std::coroutine_handle<>, 64> ready{};
inline unsigned ready_first = 0;
inline unsigned ready_last = 0;

inline void make_ready(std::coroutine_handle<> handle) {
    ready[ready_last++ % ready.size()] = handle;
}
inline void run_ready() {
    while (ready_first != ready_last) {
        ready[ready_first++ % ready.size()].resume();
    }
}

/// Lazy; awaited, or spawned and then awaited.
class Task {
public:
    struct promise_type {
        std::coroutine_handle<> continuation = std::noop_coroutine();
        std::uint64_t value = 0;

        static void* operator new(std::size_t bytes) { return allocate(bytes); }
        static void operator delete(void* frame, std::size_t bytes) { release(frame, bytes); }
        Task get_return_object() { return Task(Handle::from_promise(*this)); }
        std::suspend_always initial_suspend() noexcept { return {}; }
        auto final_suspend() noexcept {
            struct Final {
                bool await_ready() noexcept { return false; }
                std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> self
                ) noexcept {
                    return self.promise().continuation;
                }
                void await_resume() noexcept {}
            };
            return Final{};
        }
        void return_value(std::uint64_t result) { value = result; }
        void unhandled_exception() { std::abort(); }
    };
    using Handle = std::coroutine_handle<promise_type>;

    explicit Task(Handle handle) : handle_(handle) {}
    Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    ~Task() {
        if (handle_) {
            handle_.destroy();
        }
    }

    struct Await {
        Handle child;
        bool spawned = false;
        bool await_ready() { return false; }
        std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) {
            child.promise().continuation = caller;
            return spawned ? std::noop_coroutine() : std::coroutine_handle<>(child);
        }
        std::uint64_t await_resume() { return child.promise().value; }
    };
    Await operator co_await() { return {.child = handle_, .spawned = spawned_}; }
    void spawn() {
        spawned_ = true;
        make_ready(handle_);
    }
    void run() {
        handle_.resume();
        run_ready();
    }

private:
    Handle handle_;
    bool spawned_ = false;
};

struct Yield {
    bool await_ready() { return false; }
    void await_suspend(std::coroutine_handle<> self) { make_ready(self); }
    void await_resume() {}
};

[[gnu::noinline]] inline Task child(std::uint64_t value) { co_return value + 1; }

inline Task await_children(std::uint64_t count) {
    std::uint64_t value = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
        value = co_await child(value);
    }
    co_return value;
}

inline Task spawn_children(std::uint64_t count) {
    std::uint64_t value = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
        Task spawned = child(value);
        spawned.spawn();
        value = co_await spawned;
    }
    co_return value;
}

inline Task yield_often(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
        co_await Yield{};
    }
    co_return count;
}

inline micro::Seconds await_child(std::uint64_t count) {
    const micro::Stopwatch watch;
    await_children(count).run();
    return watch.elapsed();
}

inline micro::Seconds spawn_join(std::uint64_t count) {
    const micro::Stopwatch watch;
    spawn_children(count).run();
    return watch.elapsed();
}

inline micro::Seconds yield_of_two(std::uint64_t count) {
    const micro::Stopwatch watch;
    Task first = yield_often(count / 2);
    Task second = yield_often(count / 2);
    first.spawn();
    second.spawn();
    run_ready();
    return watch.elapsed();
}

} // namespace bare
