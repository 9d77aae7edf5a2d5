// Turns anything that can be called into the body of a task.
#pragma once

#include <zsync/core/task.hpp>

#include <functional>
#include <type_traits>
#include <utility>

namespace zsync {

template <class T> struct TaskValueOf {
    using Type = std::remove_cvref_t<T>;
    static constexpr bool is_task = false;
};
template <class T> struct TaskValueOf<Task<T>> {
    using Type = T;
    static constexpr bool is_task = true;
};

template <class F, class... Args> using CallResult = std::invoke_result_t<F, Args...>;

/// What `co_await`ing a call gives: the call's own result, a copy of what a reference refers to, or
/// the result of the `Task` that it returns.
template <class F, class... Args>
using CallValue = TaskValueOf<CallResult<std::decay_t<F>, std::decay_t<Args>...>>::Type;

template <class F, class... Args>
concept Callable = std::invocable<std::decay_t<F>, std::decay_t<Args>...>;

namespace detail {

template <class F> constexpr bool takes_values_only = false;
template <class R, class... Parameters>
constexpr bool takes_values_only<R (*)(Parameters...)> = (!std::is_reference_v<Parameters> && ...);
template <class R, class... Parameters>
constexpr bool takes_values_only<R (*)(Parameters...) noexcept> =
    (!std::is_reference_v<Parameters> && ...);

/// Keeps the callable and its arguments in its frame for as long as the task runs.
template <class F, class... Args>
auto call_in_frame(F function, Args... args) -> Task<CallValue<F, Args...>> {
    if constexpr (TaskValueOf<CallResult<F, Args...>>::is_task) {
        co_return co_await std::invoke(std::move(function), std::move(args)...);
    } else {
        co_return std::invoke(std::move(function), std::move(args)...);
    }
}

template <class F, class... Args>
    requires std::is_void_v<CallValue<F, Args...>>
auto call_void_in_frame(F function, Args... args) -> Task<void> {
    if constexpr (TaskValueOf<CallResult<F, Args...>>::is_task) {
        co_await std::invoke(std::move(function), std::move(args)...);
    } else {
        std::invoke(std::move(function), std::move(args)...);
    }
    co_return;
}

} // namespace detail

/// A task that makes the call. Arguments are moved in and live as long as the task; a lambda's
/// captures too.
template <class F, class... Args>
    requires Callable<F, Args...>
auto make_task(F&& function, Args&&... args)
    -> Task<CallValue<std::decay_t<F>, std::decay_t<Args>...>> {
    using Function = std::decay_t<F>;
    if constexpr (requires { +function; } && !std::is_pointer_v<Function>) {
        // A lambda without captures is a plain function.
        return make_task(+function, std::forward<Args>(args)...);
    } else if constexpr (detail::takes_values_only<Function> &&
                         TaskValueOf<CallResult<Function, std::decay_t<Args>...>>::is_task) {
        // The coroutine's own frame keeps everything.
        return function(std::forward<Args>(args)...);
    } else if constexpr (std::is_void_v<CallValue<Function, std::decay_t<Args>...>>) {
        return detail::call_void_in_frame<Function, std::decay_t<Args>...>(
            std::forward<F>(function), std::forward<Args>(args)...
        );
    } else {
        return detail::call_in_frame<Function, std::decay_t<Args>...>(
            std::forward<F>(function), std::forward<Args>(args)...
        );
    }
}

} // namespace zsync
