// OnceCell: a value that the first task to need it makes.
#pragma once

#include <zsync/core/callable.hpp>
#include <zsync/core/mutex.hpp>

#include <atomic>
#include <optional>
#include <type_traits>
#include <utility>

namespace zsync {

/// A value that the first task to need it makes, while others that need it wait. When making it
/// fails, or is cancelled, that task gets the error and the next one tries.
///
///     OnceCell<Config> config;
///     ZCO_TRY(Config* loaded, co_await config.get_or_make(load_config, io));
template <class T> class OnceCell {
public:
    /// The value; null if it has not been made.
    [[nodiscard]] T* get() noexcept {
        return made_.load(std::memory_order_acquire) ? &*value_ : nullptr;
    }

    /// The value. `make(args...)` gives a `T`, a `Result<T>`, or a `Task` of those; it is called by
    /// one task at a time and never again once it has succeeded.
    template <class F, class... Args>
        requires Callable<F, Args...>
    Task<Result<T*>> get_or_make(F make, Args... args) {
        return get_or_make_until(TimePoint::max(), std::move(make), std::move(args)...);
    }
    /// The same; waits for another task's attempt no longer than until `deadline`.
    template <class F, class... Args>
        requires Callable<F, Args...>
    Task<Result<T*>> get_or_make_until(TimePoint deadline, F make, Args... args) {
        if (T* value = get()) {
            co_return value;
        }
        auto turn = turn_.lock();
        if (deadline != TimePoint::max()) {
            (void)turn.until(deadline);
        }
        ZCO_TRY(const Mutex::Lock lock, co_await turn);
        if (get() == nullptr) {
            auto made = co_await make_task(std::move(make), std::move(args)...);
            if constexpr (std::is_same_v<decltype(made), Result<T>>) {
                if (!made) {
                    co_return fail(made.error());
                }
                value_.emplace(*std::move(made));
            } else {
                value_.emplace(std::move(made));
            }
            made_.store(true, std::memory_order_release);
        }
        co_return get();
    }

private:
    Mutex turn_;
    std::optional<T> value_;
    std::atomic<bool> made_ = false;
};

} // namespace zsync
