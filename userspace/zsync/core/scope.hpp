// Scope: tasks that live inside another one.
#pragma once

#include <zsync/core/io.hpp>
#include <zsync/core/task.hpp>

#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

namespace zsync {

/// Owns the tasks spawned in it and joins every one of them: there is no other way to start a task,
/// so none outlives what it borrows. The first child that fails cancels its siblings, and `join`
/// returns its error.
///
///     Task<Result<void>> serve(Io io, Listener& listener) {
///         Scope clients(io, "clients");
///         ...
///         clients.spawn("client", client(io, std::move(connection)));
///         ...
///         co_return co_await clients.join();
///     }
///
/// A scope must be joined before it ends (`in_scope` does that on every path). Cancelling the task
/// that waits in `join` cancels all children; `join` still waits for them, then returns `canceled`.
class Scope {
public:
    Scope(Io io, std::string_view name);
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope();

    /// Starts a child. `name` is shown in the task registry. A child that returns an error other
    /// than `canceled` cancels the scope.
    template <class T>
        requires std::is_void_v<T> || std::is_same_v<T, Result<void>>
    TaskRef spawn(std::string_view name, Task<T> task) {
        typename Task<T>::Handle root = task.release();
        return start(name, root, root.promise(), &finish<T>);
    }

    /// Asks every child to stop, and every one spawned from here on.
    void cancel() noexcept;

    class Join final : public Suspension {
    public:
        explicit Join(Scope& scope) noexcept : scope_(scope) {}
        [[nodiscard]] bool await_ready() const noexcept { return false; }
        template <class Promise>
        bool await_suspend(std::coroutine_handle<Promise> waiter) noexcept {
            return begin(waiter.promise(), waiter);
        }
        [[nodiscard]] Result<void> await_resume() noexcept;
        void request_cancel() noexcept override { scope_.cancel(); }
        [[nodiscard]] std::string_view kind() const noexcept override { return "children"; }

    private:
        friend class Scope;
        bool begin(PromiseBase& promise, std::coroutine_handle<> waiter) noexcept;

        Scope& scope_;
        PromiseBase* joiner_ = nullptr;
    };

    /// Waits until no child is left. `canceled` if the waiting task was cancelled, else the first
    /// child's error. The scope may be used again afterwards.
    [[nodiscard]] Join join() noexcept { return Join(*this); }

    [[nodiscard]] std::uint32_t size() const noexcept { return size_; }

private:
    TaskRef start(
        std::string_view name,
        std::coroutine_handle<> root,
        PromiseBase& promise,
        TaskRecord::Finish on_end
    );
    void child_done(TaskRecord& record, std::optional<Error> failure) noexcept;

    template <class T> static void finish(TaskRecord& record) noexcept {
        auto root = Task<T>::Handle::from_address(record.root_.address());
        std::optional<Error> failure;
        if constexpr (!std::is_void_v<T>) {
            if (Result<void> result = root.promise().take(); !result) {
                failure = result.error();
            }
        }
        root.destroy();
        record.scope_->child_done(record, failure);
    }

    Worker& worker_;
    TaskRecord* parent_;
    TaskRecord* children_ = nullptr;
    Join* join_ = nullptr;
    std::optional<Error> failure_;
    std::uint32_t size_ = 0;
    bool canceling_ = false;
    std::string_view name_;
};

/// Runs `body(scope, args...)`, then joins the scope on every path: a body that returns early with
/// an error cancels what it started first. `body` is a function, its arguments are kept here.
template <class Body, class... Args>
auto in_scope(Io io, std::string_view name, Body body, Args... args)
    -> decltype(body(std::declval<Scope&>(), std::move(args)...)) {
    Scope scope(io, name);
    auto result = co_await body(scope, std::move(args)...);
    if (!result) {
        scope.cancel();
    }
    Result<void> joined = co_await scope.join();
    if (result && !joined) {
        co_return std::unexpected(joined.error());
    }
    co_return result;
}

} // namespace zsync
