// Task: a coroutine with one owner.
#pragma once

#include <zsync/core/assert.hpp>
#include <zsync/core/frame_pool.hpp>
#include <zsync/core/result.hpp>
#include <zsync/core/task_record.hpp>

#include <bit>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <source_location>
#include <type_traits>
#include <utility>

namespace zsync {

/// Ends a coroutine: hands control to the awaiting one, or tells the runtime that the task is over.
struct FinalAwaiter {
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    [[nodiscard]] std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> self
    ) const noexcept {
        PromiseBase& promise = self.promise();
        if (promise.caller) {
            return promise.caller;
        }
        promise.task->root_ended(promise);
        return std::noop_coroutine();
    }
    void await_resume() const noexcept {}
};

template <class T> class Task;

template <class T> class TaskPromise;

/// What promises of all result types share beyond `PromiseBase`.
class TaskPromiseCommon : public PromiseBase {
public:
    [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
    [[nodiscard]] FinalAwaiter final_suspend() const noexcept { return {}; }
    // Exceptions never cross a public call here, so one that arrives is a bug.
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }

    template <class Awaited>
    static constexpr bool is_a_reference =
        std::is_trivially_copyable_v<Awaited> && sizeof(Awaited) <= 2 * sizeof(void*);

    /// Notes where the task is before every wait: this is what the task registry shows. The place
    /// comes as the pointer that a std::source_location holds: g++ would keep an argument of class
    /// type in the frame, and write it twice.
    template <class Awaited>
        requires(!is_a_reference<std::remove_cvref_t<Awaited>>)
    Awaited&& await_transform(
        Awaited&& awaited, decltype(__builtin_source_location()) here = __builtin_source_location()
    ) noexcept {
        where = std::bit_cast<std::source_location>(here);
        return static_cast<Awaited&&>(awaited);
    }
    /// What is no more than a reference to what is waited for is kept itself, not its address.
    template <class Awaited>
        requires(is_a_reference<Awaited>)
    Awaited await_transform(
        Awaited awaited, decltype(__builtin_source_location()) here = __builtin_source_location()
    ) noexcept {
        where = std::bit_cast<std::source_location>(here);
        return awaited;
    }

    static void* operator new(std::size_t size) {
        return allocate_frame(size, FrameUse::coroutine);
    }
    static void operator delete(void* frame, std::size_t size) noexcept { free_frame(frame, size); }
};

/// Room for what a coroutine returns. Whether something is in it only a destructor has to know.
template <class T> class ReturnedValue {
public:
    template <class U> void emplace(U&& value) { value_.emplace(std::forward<U>(value)); }
    // NOLINTNEXTLINE(bugprone-unchecked-optional-access): a coroutine that has ended has returned
    [[nodiscard]] T taken() && { return *std::move(value_); }

private:
    std::optional<T> value_;
};

template <class T>
    requires std::is_trivially_destructible_v<T>
class ReturnedValue<T> {
public:
    ReturnedValue() noexcept {} // NOLINT(modernize-use-equals-default): nothing is in it
    template <class U> void emplace(U&& value) {
        std::construct_at(&value_, std::forward<U>(value));
    }
    [[nodiscard]] T taken() && { return std::move(value_); }

private:
    union {
        T value_; // NOLINT(readability-identifier-naming): as private as the union is
    };
};

template <class T> class TaskPromise : public TaskPromiseCommon {
public:
    /// Before its first await a coroutine is shown at its own place.
    explicit TaskPromise(std::source_location here = std::source_location::current()) noexcept {
        where = here;
    }
    Task<T> get_return_object() noexcept;
    template <class U = T> void return_value(U&& value) { value_.emplace(std::forward<U>(value)); }
    [[nodiscard]] T take() { return std::move(value_).taken(); }

private:
    ReturnedValue<T> value_;
};

template <> class TaskPromise<void> : public TaskPromiseCommon {
public:
    explicit TaskPromise(std::source_location here = std::source_location::current()) noexcept {
        where = here;
    }
    Task<void> get_return_object() noexcept;
    void return_void() const noexcept {}
    void take() const noexcept {}
};

/// A lazy coroutine that produces a `T`. It runs when it is awaited, or started in a `Scope` or by
/// `Io::async`.
///
///     Task<Result<std::size_t>> copy(Io io, FdRef from, FdRef to);
///     ...
///     ZCO_TRY(std::size_t count, co_await copy(io, a, b));
///
/// Cancelling a task reaches the innermost wait of its chain. Parameters are taken by value, or by
/// reference to what a parent scope owns. In a fiber or thread, `copy(io, a, b).wait()` runs it on
/// the stack.
template <class T = void> class [[nodiscard]] Task {
public:
    using promise_type = TaskPromise<T>;
    using Handle = std::coroutine_handle<promise_type>;
    using Value = T;

    Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, {})) {}
    Task& operator=(Task&& other) noexcept {
        Task old(std::move(*this));
        handle_ = std::exchange(other.handle_, {});
        return *this;
    }
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;
    ~Task() {
        if (handle_) {
            ZASSERT(
                handle_.done() || handle_.promise().task == nullptr,
                "a task is destroyed while it runs; await it or let its scope join it"
            );
            handle_.destroy();
        }
    }

    class Awaiter {
    public:
        explicit Awaiter(Handle child) noexcept : child_(child) {}
        [[nodiscard]] bool await_ready() const noexcept { return false; }
        template <class Promise>
        Handle await_suspend(std::coroutine_handle<Promise> caller) noexcept {
            PromiseBase& child = child_.promise();
            child.task = caller.promise().task;
            child.caller = caller;
            return child_;
        }
        T await_resume() { return child_.promise().take(); }

    private:
        Handle child_;
    };

    Awaiter operator co_await() && noexcept {
        ZASSERT(handle_, "a task is awaited after it was moved");
        return Awaiter(handle_);
    }

    T wait(std::source_location here = std::source_location::current()) && {
        ZASSERT(handle_, "a task is awaited after it was moved");
        PromiseBase& outer = waiting_frame(here);
        StackFrame frame;
        frame.promise.task = outer.task;
        frame.promise.caller = outer.frame();
        frame.promise.where = here;
        outer.task->context()->frame = &frame.promise;
        PromiseBase& child = handle_.promise();
        child.task = outer.task;
        child.caller = frame.promise.frame();
        handle_.resume();
        outer.task->context()->frame = &outer;
        return handle_.promise().take();
    }

    /// Gives the frame to the runtime, which destroys it when the task is over.
    [[nodiscard]] Handle release() noexcept {
        ZASSERT(handle_, "a task is started after it was moved");
        return std::exchange(handle_, {});
    }

private:
    friend class TaskPromise<T>;
    explicit Task(Handle handle) noexcept : handle_(handle) {
        // `PromiseBase::frame` relies on it.
        static_assert(
            alignof(promise_type) <= 2 * alignof(void*),
            "what a task gives is aligned to 16 bytes at most; give a pointer to what needs more"
        );
    }

    Handle handle_;
};

template <class T> Task<T> TaskPromise<T>::get_return_object() noexcept {
    return Task<T>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}

inline Task<void> TaskPromise<void>::get_return_object() noexcept {
    return Task<void>(std::coroutine_handle<TaskPromise>::from_promise(*this));
}

} // namespace zsync
