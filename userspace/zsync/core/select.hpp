// Select: tasks of several kinds, and the results of those that end first.
#pragma once

#include <zsync/core/join_set.hpp>

#include <cstddef>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace zsync {

/// Tasks of several kinds; each result says by its place among `Ts` which it is. After `Io.Select`
/// of Zig's standard library. `tag` is an index, or an enumerator that stands for one.
///
///     enum Event { arrived, elapsed };
///     using First = Select<Result<Page>, Result<void>>;
///     Task<Result<Page>> within_5s(First& first, Io io, Address address) {
///         first.async<arrived>(fetch, io, address);
///         first.async<elapsed>([io] { return wait_for(io, 5s); });
///         ZCO_TRY(auto event, co_await first.await()); // std::variant
///         ...
///     }
///     auto page = co_await in_select<Result<Page>, Result<void>>(io, within_5s, io, address);
///
/// Each task keeps its own result until it is taken, so none waits for room to deliver it, and
/// there are never more results than tasks. Lifetimes are those of `JoinSet`: `in_select` joins the
/// tasks on every path, `cancel_discard` where it is reached.
template <class... Ts> class Select {
    template <class T> using Stored = JoinSetTask<T>::Stored;
    template <auto tag> static constexpr auto index = static_cast<std::size_t>(tag);

public:
    /// A void result is a `std::monostate`.
    using Value = std::variant<Stored<Ts>...>;

    explicit Select(Io io) noexcept : set_(io) {}

    /// Starts a call of any callable. Where nothing can run beside the caller, it has ended when
    /// `async` returns.
    template <auto tag, class F, class... Args>
        requires Callable<F, Args...>
    void async(F&& function, Args&&... args) {
        set_.spawn(
            TaskName("select"),
            &tagged<index<tag>, std::decay_t<F>, std::decay_t<Args>...>,
            std::forward<F>(function),
            std::forward<Args>(args)...
        );
    }
    /// As `async`, but only where the task runs while the caller goes on.
    template <auto tag, class F, class... Args>
        requires Callable<F, Args...>
    Result<void> concurrent(F&& function, Args&&... args) {
        return set_.spawn_concurrent(
            &tagged<index<tag>, std::decay_t<F>, std::decay_t<Args>...>,
            std::forward<F>(function),
            std::forward<Args>(args)...
        );
    }

    /// Awaits to `Result<Value>`: the next result; `closed` when no task is left.
    [[nodiscard]] auto await() noexcept { return set_.next(); }
    /// Appends at least `count` results, fewer when no more tasks are left, and with them all that
    /// are there already. A cancel that comes when there are some returns those, and stays pending.
    Task<Result<std::size_t>> await_many(std::vector<Value>& into, std::size_t count) {
        std::size_t got = 0;
        while (got < count || set_.has_ended()) {
            auto next = co_await set_.next();
            if (next) {
                into.push_back(*std::move(next));
                ++got;
                continue;
            }
            if (next.error() == Error(CoreError::closed)) {
                break;
            }
            if (got == 0) {
                co_return fail(next.error());
            }
            if (next.error().is_canceled()) {
                TaskRecord::current()->recancel();
            }
            break;
        }
        co_return got;
    }
    /// Asks all tasks to stop and awaits to `std::optional<Value>`: one result, nothing when no
    /// task is left. To be repeated until there is none, so that what won the race can be freed.
    [[nodiscard]] auto cancel() noexcept { return set_.cancel(); }
    /// Asks all tasks to stop, waits for them and drops their results.
    Task<void> cancel_discard() {
        while (co_await set_.cancel()) {
        }
    }
    /// Tasks whose results have not been taken.
    [[nodiscard]] std::size_t size() const noexcept { return set_.size(); }

private:
    template <std::size_t place, class F, class... Args>
    static Task<Value> tagged(F function, Args... args) {
        auto task = make_task(std::move(function), std::move(args)...);
        if constexpr (std::is_void_v<CallValue<F, Args...>>) {
            co_await std::move(task);
            co_return Value(std::in_place_index<place>);
        } else {
            co_return Value(std::in_place_index<place>, co_await std::move(task));
        }
    }

    JoinSet<Value> set_;
};

/// Awaits `body(select, args...)` with a `Select` of its own, whose tasks are cancelled and waited
/// for afterwards, on every path; results that the body has not taken are dropped.
template <class... Ts, class Body, class... Args>
auto in_select(Io io, Body body, Args... args)
    -> decltype(body(std::declval<Select<Ts...>&>(), std::move(args)...)) {
    Select<Ts...> select(io);
    auto result = co_await body(select, std::move(args)...);
    co_await select.cancel_discard();
    co_return result;
}

} // namespace zsync
