// Future: a task that was started, and its result.
#pragma once

#include <zsync/core/executor.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/task.hpp>

#include <expected>
#include <optional>
#include <type_traits>
#include <utility>

namespace zsync {

class FutureWaitBase;

template <class T> constexpr bool can_refuse = false;
template <class T, class E>
constexpr bool can_refuse<std::expected<T, E>> = std::is_constructible_v<E, Error>;

/// The part of a future's task that does not depend on its result.
class FutureTaskBase : public TaskRecord {
protected:
    friend class FutureWaitBase;
    using TaskRecord::TaskRecord;
    /// Under the runtime lock.
    void wake_waiter() noexcept;

private:
    FutureWaitBase* waiter_ = nullptr;
};

template <class T> class FutureTask final : public FutureTaskBase {
    struct Nothing {};
    using Stored = std::conditional_t<std::is_void_v<T>, Nothing, T>;

public:
    FutureTask(
        Executor& executor, TaskKind kind, TaskRecord* parent, TaskName&& name, PromiseBase& root
    )
        : FutureTaskBase(executor, kind, parent, nullptr, std::move(name), root) {}

    [[nodiscard]] Stored& value() noexcept { return *value_; } // NOLINT(*-optional-access): ended
    /// What whoever waits gets, though the task goes on: it can only end after the wait.
    void refuse(CoreError reason) noexcept {
        if constexpr (can_refuse<T>) {
            value_.emplace(std::unexpect, Error(reason));
        } else {
            ZASSERT(reason == CoreError::os, "a task awaits one that waits for it, for ever");
        }
    }
    /// It was never started, and is not going to be.
    void give_up() noexcept {
        value_.reset();
        const RuntimeLock lock;
        leave();
    }

private:
    void finish(PromiseBase& root) noexcept override {
        auto frame = Task<T>::Handle::from_address(root.frame().address());
        if constexpr (std::is_void_v<T>) {
            value_.emplace();
        } else {
            value_.emplace(frame.promise().take());
        }
        frame.destroy();
        // In one: whoever was woken must find the task finished.
        const RuntimeLock lock;
        wake_waiter();
        leave();
    }

    std::optional<Stored> value_;
};

/// Waits for a future's task. Cancelling the waiting task cancels the awaited one; the wait goes on
/// until that has ended, and the cancel stays pending for the waiting task's next suspension point.
class FutureWaitBase : public CancelRelay, public Awaitable {
public:
    [[nodiscard]] bool await_ready() const noexcept {
        const RuntimeLock lock;
        return awaited_.is_finished();
    }
    bool suspend(PromiseBase& promise) noexcept;
    void interrupt(CoreError reason) noexcept final;
    [[nodiscard]] std::string_view kind() const noexcept final { return "future"; }

protected:
    explicit FutureWaitBase(FutureTaskBase& awaited) noexcept : awaited_(awaited) {}
    ~FutureWaitBase() = default;
    [[nodiscard]] bool is_deadlocked() const noexcept { return deadlocked_; }

private:
    friend class FutureTaskBase;
    void pass_on() noexcept final { awaited_.request_end(); }

    FutureTaskBase& awaited_;
    bool deadlocked_ = false;
};

/// A task started by `Io::async` or `Io::concurrent`, and its result of type `T`. One owner, one
/// thread.
///
///     Future<Result<Page>> page = io.async(fetch, io, address);
///     ...
///     Result<Page>& got = co_await page;
///
/// A task that awaits itself gets `deadlock`; so does, on a `BlockingExecutor`, one that awaits
/// what waits for it. Where `T` has no room for an error that ends the process and says so.
///
/// A future that goes out of scope while its task runs cancels it. In a fiber or thread that waits
/// for the task's end, as `defer future.cancel(io)` would. A stackless coroutine cannot wait there:
/// its own task will not end before the future's has, but what the coroutine's frame owned is gone
/// by then; so let such a task borrow nothing from it, or let `in_future` cancel and await it on
/// every path.
template <class T> class [[nodiscard]] Future {
public:
    using Value = T;

    explicit Future(FutureTask<T>& task) noexcept : ref_(task), task_(&task) {}
    Future(Future&& other) noexcept
        : ref_(std::move(other.ref_)), task_(std::exchange(other.task_, nullptr)) {}
    Future& operator=(Future&& other) noexcept {
        Future old(std::move(*this));
        ref_ = std::move(other.ref_);
        task_ = std::exchange(other.task_, nullptr);
        return *this;
    }
    Future(const Future&) = delete;
    Future& operator=(const Future&) = delete;
    ~Future() {
        if (task_ != nullptr) {
            abandon();
        }
    }

    /// Awaits to `T&`, which lives as long as the future; to `T` on an rvalue.
    template <bool Moves> class Await final : public FutureWaitBase {
    public:
        explicit Await(FutureTask<T>& task) noexcept : FutureWaitBase(task), task_(task) {}
        [[nodiscard]] decltype(auto) await_resume() noexcept {
            if (is_deadlocked()) [[unlikely]] {
                task_.refuse(CoreError::deadlock);
            }
            if constexpr (std::is_void_v<T>) {
                return;
            } else if constexpr (Moves) {
                return T(std::move(task_.value()));
            } else {
                return static_cast<T&>(task_.value());
            }
        }

    private:
        FutureTask<T>& task_;
    };

    /// Waits for the result. May be called again: it is the same result.
    [[nodiscard]] Await<false> await() & noexcept { return Await<false>(task()); }
    [[nodiscard]] Await<true> await() && noexcept { return Await<true>(task()); }
    Await<false> operator co_await() & noexcept { return await(); }
    Await<true> operator co_await() && noexcept { return std::move(*this).await(); }

    /// Asks the task to stop and waits for its result, which may still be a success. May be called
    /// again, and after `await`: it is the same result.
    [[nodiscard]] Await<false> cancel() & noexcept {
        task().request_end();
        return await();
    }
    [[nodiscard]] Await<true> cancel() && noexcept {
        task().request_end();
        return std::move(*this).await();
    }
    /// Asks the task to stop, without waiting. Each call is a request of its own, unless the one
    /// before has not been seen yet; all else that asks, `cancel` included, does so once.
    void request_cancel() noexcept { task().request_end(true); }
    [[nodiscard]] bool is_finished() const noexcept {
        const RuntimeLock lock;
        return task().is_finished();
    }

private:
    [[nodiscard]] FutureTask<T>& task() const noexcept {
        ZASSERT(task_ != nullptr, "a future is used after it was moved");
        return *task_;
    }
    void abandon() noexcept {
        const TaskRecord* here = TaskRecord::current();
        if (!is_finished()) {
            task_->request_end();
            if (here != nullptr && here->kind() != TaskKind::coroutine) {
                (void)await().wait();
            }
        }
    }

    TaskRef ref_;
    FutureTask<T>* task_ = nullptr;
};

/// Awaits `body(future, args...)`, then cancels the future and waits for its task, on every path:
/// `defer future.cancel()` for coroutines.
///
///     Task<Result<Page>> render(Future<Result<Style>>& style, Io io, Address address);
///     ...
///     auto page = co_await in_future(io.async(fetch_style, io), render, io, address);
template <class T, class Body, class... Args>
auto in_future(Future<T> future, Body body, Args... args)
    -> decltype(body(std::declval<Future<T>&>(), std::move(args)...)) {
    auto result = co_await body(future, std::move(args)...);
    (void)co_await future.cancel();
    co_return result;
}

} // namespace zsync
