// Scope: tasks that live inside another one.
#pragma once

#include <zsync/core/callable.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/task.hpp>

#include <cstdint>
#include <optional>
#include <type_traits>

namespace zsync {

/// What a scope does when one of its tasks fails.
enum class OnFailure : std::uint8_t {
    cancel_siblings, ///< and `join` returns the first error
    go_on,           ///< the others are not touched; `join` still returns the first error
};

template <class T> class ScopeTask;

/// Owns the tasks spawned in it and joins every one of them, so none outlives what it borrows. The
/// first child that fails cancels its siblings, and `join` returns its error.
///
///     Task<Result<void>> serve(Io io, Listener& listener) {
///         Scope clients(io, "clients");
///         ...
///         clients.spawn("client", client, io, std::move(connection));
///         ...
///         co_return co_await clients.join();
///     }
///
/// A scope must be joined before it ends (`in_scope` does that on every path). Cancelling the task
/// that waits in `join` cancels all children; `join` still waits for them, then returns `canceled`.
class Scope {
public:
    Scope(Io io, TaskName name, OnFailure on_failure = OnFailure::cancel_siblings);
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;
    ~Scope();

    /// Starts a child. `name` is shown in the task registry. A child that returns an error other
    /// than `canceled` counts as failed. Its frame is freed when it ends, not when it is joined.
    template <class T>
        requires std::is_void_v<T> || std::is_same_v<T, Result<void>>
    TaskRef spawn(TaskName name, Task<T> task) {
        return start(std::move(name), std::move(task));
    }
    /// Starts a call of any callable whose result is void or `Result<void>`, or a `Task` of those.
    template <class F, class... Args>
        requires Callable<F, Args...>
    TaskRef spawn(TaskName name, F&& function, Args&&... args) {
        return start(
            std::move(name), make_task(std::forward<F>(function), std::forward<Args>(args)...)
        );
    }

    /// As `spawn`, but only where the child runs while this task goes on; else
    /// `concurrency_unavailable`, and nothing was started.
    template <class F, class... Args>
        requires Callable<F, Args...>
    Result<TaskRef> spawn_concurrent(TaskName name, F&& function, Args&&... args);

    /// Asks every child to stop, and every one spawned from here on until the next `join`. Each is
    /// asked once.
    void cancel() noexcept;

    class Join final : public CancelRelay, public Awaitable {
    public:
        explicit Join(Scope& scope) noexcept : scope_(scope) {}
        [[nodiscard]] bool await_ready() const noexcept { return false; }
        bool suspend(PromiseBase& promise) noexcept;
        [[nodiscard]] Result<void> await_resume() noexcept;
        void interrupt(CoreError reason) noexcept override;
        [[nodiscard]] std::string_view kind() const noexcept override { return "children"; }

    private:
        friend class Scope;
        void pass_on() noexcept override { scope_.cancel(); }

        Scope& scope_;
        PromiseBase* joiner_ = nullptr;
        bool deadlocked_ = false;
    };

    /// Waits until no child is left. `canceled` if the waiting task was cancelled, else the first
    /// child's error. The scope may be used again afterwards. `deadlock` where a child joins it and
    /// nothing else runs.
    [[nodiscard]] Join join() noexcept { return Join(*this); }

    [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
    [[nodiscard]] std::string_view name() const noexcept { return name_.text(); }

private:
    template <class T> friend class ScopeTask;
    template <class T> TaskRef start(TaskName&& name, Task<T>&& task);
    inline TaskRef count(TaskRecord& child) noexcept;
    TaskRef begin(TaskRecord& child) noexcept;
    Result<TaskRef> begin_concurrent(TaskRecord& child) noexcept;
    static void child_ended(TaskRecord& child) noexcept;
    static void child_failed(TaskRecord& child, const Error& failure) noexcept;

    Io io_;
    TaskRecord* owner_;
    Join* join_ = nullptr;
    std::optional<Error> failure_;
    std::uint32_t size_ = 0;
    OnFailure on_failure_;
    bool canceling_ = false;
    TaskName name_;
};

template <class T> class ScopeTask final : public TaskRecord {
public:
    ScopeTask(
        Executor& executor,
        TaskKind kind,
        TaskRecord* parent,
        Scope* scope,
        TaskName&& name,
        PromiseBase& root
    )
        : TaskRecord(executor, kind, parent, scope, std::move(name), root) {}

private:
    void finish(PromiseBase& root) noexcept override {
        auto frame = Task<T>::Handle::from_address(root.frame().address());
        if constexpr (!std::is_void_v<T>) {
            if (Result<void> result = frame.promise().take(); !result) [[unlikely]] {
                frame.destroy();
                Scope::child_failed(*this, result.error());
                return;
            }
        }
        frame.destroy();
        Scope::child_ended(*this);
    }
};

template <class T> TaskRef Scope::start(TaskName&& name, Task<T>&& task) {
    typename Task<T>::Handle root = task.release();
    return begin(
        *new ScopeTask<T>(io_.executor(), io_.kind(), owner_, this, std::move(name), root.promise())
    );
}

template <class F, class... Args>
    requires Callable<F, Args...>
Result<TaskRef> Scope::spawn_concurrent(TaskName name, F&& function, Args&&... args) {
    auto task = make_task(std::forward<F>(function), std::forward<Args>(args)...);
    using T = decltype(task)::Value;
    auto root = task.release();
    auto* record =
        new ScopeTask<T>(io_.executor(), io_.kind(), owner_, this, std::move(name), root.promise());
    Result<TaskRef> started = begin_concurrent(*record);
    if (!started) {
        root.destroy();
    }
    return started;
}

/// Tasks that run side by side until all have ended, each on its own: one that fails leaves the
/// others alone. `join` waits for all, `cancel` reaches all.
class Group : public Scope {
public:
    explicit Group(Io io, TaskName name = "group") : Scope(io, std::move(name), OnFailure::go_on) {}
};

/// Runs `body(scope, args...)`, then joins the scope on every path: a body that returns early with
/// an error cancels what it started first. `body` is a function, its arguments are kept here.
template <class Body, class... Args>
auto in_scope(Io io, TaskName name, Body body, Args... args)
    -> decltype(body(std::declval<Scope&>(), std::move(args)...)) {
    Scope scope(io, std::move(name));
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
