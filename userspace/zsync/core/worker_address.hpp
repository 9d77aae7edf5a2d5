// WorkerAddress: another worker, for tasks that want something done there.
#pragma once

#include <zsync/core/callable.hpp>
#include <zsync/core/errand.hpp>
#include <zsync/core/future.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/task.hpp>

#include <memory>
#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace zsync {

template <class T> class GuestTask;

/// The part of a call on another worker that does not depend on what is called.
class RemoteCallBase : public ErrandWait {
public:
    [[nodiscard]] std::string_view kind() const noexcept final { return "another worker"; }

protected:
    RemoteCallBase(std::shared_ptr<Inbox> there, TaskKind kind, TaskName name) noexcept
        : ErrandWait(*there), there_(std::move(there)), name_(std::move(name)), task_kind_(kind) {}
    ~RemoteCallBase() = default;

    /// The task that makes the call there.
    virtual TaskRecord& make_guest(Io there, TaskRecord& host, TaskName name) noexcept = 0;

private:
    template <class T> friend class GuestTask;
    void begin_there(Worker& worker) noexcept final;
    void cancel_there() noexcept final;
    void guest_ended(bool has_cancel_left) noexcept;

    std::shared_ptr<Inbox> there_; ///< shared: its worker may end first
    TaskName name_;
    TaskKind task_kind_;
    TaskRecord* guest_ = nullptr; ///< while it runs
    bool cancel_asked_ = false;
};

/// A call whose task's result is a `T`.
template <class T> class RemoteCallOf : public RemoteCallBase {
    using Returned = OffloadResultOf<T>::Type;

public:
    [[nodiscard]] Returned await_resume() noexcept {
        if (this->refused()) {
            return std::unexpected(*this->refused()); // NOLINT(*-optional-access): see above
        }
        return *std::move(value_); // NOLINT(*-optional-access): the call has ended
    }

protected:
    using RemoteCallBase::RemoteCallBase;
    ~RemoteCallOf() = default;

private:
    friend class GuestTask<T>;
    std::optional<Returned> value_;
};

/// A task that another worker has asked for. Its result goes back to who asked.
template <class T> class GuestTask final : public TaskRecord {
public:
    GuestTask(
        Io io, TaskRecord& host, TaskName&& name, PromiseBase& root, RemoteCallOf<T>& call
    ) noexcept
        : TaskRecord(io.executor(), io.kind(), &host, nullptr, std::move(name), root), call_(call) {
    }

private:
    void finish(PromiseBase& root) noexcept override {
        auto frame = Task<T>::Handle::from_address(root.frame().address());
        if constexpr (std::is_void_v<T>) {
            call_.value_.emplace();
        } else {
            call_.value_.emplace(frame.promise().take());
        }
        frame.destroy();
        RemoteCallOf<T>& call = call_;
        const bool has_cancel_left = needs_cancel();
        {
            const RuntimeLock lock;
            leave();
        }
        call.guest_ended(has_cancel_left);
    }

    RemoteCallOf<T>& call_;
};

/// Awaits to the call's own `Result` or `Outcome`, else to `Result` of what it gives.
template <class F, class... Args>
class RemoteCall final : public RemoteCallOf<CallValue<F, Io, Args...>> {
    using T = CallValue<F, Io, Args...>;

public:
    RemoteCall(std::shared_ptr<Inbox> there, TaskKind kind, TaskName name, F function, Args... args)
        : RemoteCallOf<T>(std::move(there), kind, std::move(name)), function_(std::move(function)),
          args_(std::move(args)...) {}

private:
    TaskRecord& make_guest(Io there, TaskRecord& host, TaskName name) noexcept override {
        // Made there, so that the frame comes from that thread's pool and goes back to it.
        auto task = std::apply(
            [&](Args&... args) {
                return make_task(std::move(function_), Io(there), std::move(args)...);
            },
            args_
        );
        // NOLINTNEXTLINE(*-at-new): a task that cannot be begun there has nobody to say so to
        return *new GuestTask<T>(there, host, std::move(name), task.release().promise(), *this);
    }

    F function_;
    std::tuple<Args...> args_;
};

/// A worker of this process, for tasks of others. A copyable handle; it may outlive the worker, and
/// then everything asked of it gives `closed`.
///
///     Task<Result<Page>> render(Io io, Address address); // `io` is of the worker it runs on
///     ...
///     Result<Page> page = co_await there.call("render", render, address);
///     Future<Result<Page>> later = there.async(io, "render", render, address);
///     scope.spawn("warm", there.task("warm", warm_cache));
///
/// The callable is given the other worker's `Io`, then the arguments, which are moved there and so
/// must be safe to use on another thread. While the call lasts, the task there is a child of that
/// worker's root; here a task waits for it, and cancelling that one cancels it. The result comes
/// back by message: nothing blocks, and the other worker costs at most one system call, when it
/// slept. A result that is no `Result` comes as one: `closed` when the other worker has ended.
class WorkerAddress {
public:
    WorkerAddress(std::shared_ptr<Inbox> inbox, TaskKind kind) noexcept
        : inbox_(std::move(inbox)), kind_(kind) {}

    /// The same worker, where what is called runs as a fiber.
    [[nodiscard]] WorkerAddress fibers() const noexcept { return {inbox_, TaskKind::fiber}; }

    /// Calls `function(io_of_that_worker, args...)` there; to be awaited at once.
    template <class F, class... Args>
        requires Callable<F, Io, Args...>
    [[nodiscard]] auto call(TaskName name, F&& function, Args&&... args) const {
        return RemoteCall<std::decay_t<F>, std::decay_t<Args>...>(
            inbox_,
            kind_,
            std::move(name),
            std::forward<F>(function),
            std::decay_t<Args>(std::forward<Args>(args))...
        );
    }

    /// The same as a task of its own, for a `Scope` or wherever else tasks go.
    template <class F, class... Args>
        requires Callable<F, Io, Args...>
    [[nodiscard]] auto task(TaskName name, F&& function, Args&&... args) const {
        return call_there<std::decay_t<F>, std::decay_t<Args>...>(
            *this,
            std::move(name),
            std::forward<F>(function),
            std::decay_t<Args>(std::forward<Args>(args))...
        );
    }

    /// Starts the call and goes on; the future is like any other of `here`.
    template <class F, class... Args>
        requires Callable<F, Io, Args...>
    [[nodiscard]] auto async(Io here, TaskName name, F&& function, Args&&... args) const {
        return here.async(
            TaskName("call"),
            &call_there<std::decay_t<F>, std::decay_t<Args>...>,
            *this,
            std::move(name),
            std::forward<F>(function),
            std::forward<Args>(args)...
        );
    }

    /// For what other threads post to this worker.
    [[nodiscard]] const std::shared_ptr<Inbox>& inbox() const noexcept { return inbox_; }

private:
    template <class F, class... Args>
    static auto call_there(WorkerAddress there, TaskName name, F function, Args... args)
        -> Task<typename OffloadResultOf<CallValue<F, Io, Args...>>::Type> {
        co_return co_await there.call(std::move(name), std::move(function), std::move(args)...);
    }

    std::shared_ptr<Inbox> inbox_; ///< shared: addresses outlive workers
    TaskKind kind_;
};

} // namespace zsync
