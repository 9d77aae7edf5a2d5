// Callback: awaits a C library that calls back.
#pragma once

#include <zsync/core/assert.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/suspension.hpp>
#include <zsync/core/task_record.hpp>

#include <optional>
#include <pthread.h>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace zsync::c {

/// What a C library is given to call, once: a function and its `void*`. The task awaits the values
/// of that call.
///
///     Callback<int, const char*> answered(&library_abort, request);
///     library_ask(request, answered.function(), answered.user());
///     const auto [status, text] = co_await answered;
///
/// Awaits to the value, a tuple of several, or nothing. The library must call on the worker's
/// thread, and it must call: an awaiting task waits for that whatever happens. A cancel calls the
/// function given to the constructor, by which the library ends early, and stays pending for the
/// task's next suspension point; without one the wait just goes on. Values that are pointers are
/// the library's, and may be gone when the task runs: copy what they refer to in a `Callback` of
/// your own type, or keep the library from freeing it.
template <class... Values> class Callback final : public Suspension, public Awaitable {
    using Stored = std::tuple<std::decay_t<Values>...>;

public:
    using Stop = void (*)(void* argument);

    Callback() noexcept : thread_(pthread_self()) {}
    /// `stop(argument)` makes the library call back soon.
    Callback(Stop stop, void* argument) noexcept
        : stop_(stop), argument_(argument), thread_(pthread_self()) {}
    ~Callback() { ZASSERT(!given_ || values_, "a callback ends before the library has called it"); }

    /// For libraries that pass their `void*` first.
    [[nodiscard]] auto function() noexcept -> void (*)(void*, Values...) {
        given_ = true;
        return [](void* user, Values... values) { called(user, values...); };
    }
    /// For libraries that pass it last.
    [[nodiscard]] auto function_with_user_last() noexcept -> void (*)(Values..., void*) {
        given_ = true;
        return &user_last;
    }
    /// What both of them are to be given.
    [[nodiscard]] void* user() noexcept { return this; }

    [[nodiscard]] bool await_ready() const noexcept { return values_.has_value(); }
    bool suspend(PromiseBase& promise) noexcept {
        const RuntimeLock lock;
        begin_regardless(promise);
        waiting_ = true;
        if (promise.task->needs_cancel()) {
            interrupt(CoreError::canceled);
        }
        return park();
    }
    [[nodiscard]] auto await_resume() {
        if constexpr (sizeof...(Values) == 1) {
            return std::get<0>(*std::move(values_));
        } else if constexpr (sizeof...(Values) > 1) {
            return *std::move(values_);
        }
    }
    void interrupt(CoreError /*reason*/) noexcept override {
        if (stop_ != nullptr) {
            std::exchange(stop_, nullptr)(argument_);
        }
    }
    [[nodiscard]] std::string_view kind() const noexcept override { return "c callback"; }

private:
    static void user_last(Values... values, void* user) { called(user, values...); }
    static void called(void* user, Values... values) {
        auto& self = *static_cast<Callback*>(user);
        ZASSERT(
            pthread_equal(self.thread_, pthread_self()),
            "a library calls back on the thread of the task that awaits it"
        );
        ZASSERT(!self.values_, "a callback is called once");
        self.values_.emplace(values...);
        if (std::exchange(self.waiting_, false)) {
            self.wake();
        }
    }

    Stop stop_ = nullptr;
    void* argument_ = nullptr;
    pthread_t thread_;
    std::optional<Stored> values_;
    bool given_ = false;
    bool waiting_ = false;
};

} // namespace zsync::c
