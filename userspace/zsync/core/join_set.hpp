// JoinSet: tasks of one kind, and their results in the order in which they end.
#pragma once

#include <zsync/core/callable.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/wait_queue.hpp>

#include <cstddef>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

namespace zsync {

class JoinSetBase;

/// The part of a set's task that does not depend on its result.
class JoinSetTaskBase : public TaskRecord {
protected:
    friend class JoinSetBase;
    using TaskRecord::TaskRecord;
    void ended() noexcept;
    ~JoinSetTaskBase() override = default;

private:
    JoinSetBase* set_ = nullptr; ///< null once the set is gone
    JoinSetTaskBase* next_ = nullptr;
    JoinSetTaskBase* previous_ = nullptr;
    TaskRef kept_; ///< itself, from its start until its result is taken
};

template <class T> class JoinSetTask final : public JoinSetTaskBase {
public:
    using Stored = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

    JoinSetTask(
        Executor& executor, TaskKind kind, TaskRecord* parent, TaskName&& name, PromiseBase& root
    )
        : JoinSetTaskBase(executor, kind, parent, nullptr, std::move(name), root) {}

    [[nodiscard]] Stored& value() noexcept { return *value_; }
    /// It could not be started.
    void give_up() noexcept {
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
        // In one: whoever has the result must find the task finished.
        const RuntimeLock lock;
        ended();
        leave();
    }

    std::optional<Stored> value_;
};

/// The part of a set that does not depend on its results' type.
class JoinSetBase {
public:
    JoinSetBase(const JoinSetBase&) = delete;
    JoinSetBase& operator=(const JoinSetBase&) = delete;

    /// Asks every task to stop, without waiting; each is asked once.
    void request_cancel() noexcept;
    /// Tasks whose results have not been taken.
    [[nodiscard]] std::size_t size() const noexcept {
        const RuntimeLock lock;
        return size_;
    }
    [[nodiscard]] bool empty() const noexcept { return size() == 0; }
    /// There is a result that can be taken without waiting.
    [[nodiscard]] bool has_ended() const noexcept {
        const RuntimeLock lock;
        return ended_.first != nullptr;
    }

protected:
    /// Tasks in a list.
    struct List {
        JoinSetTaskBase* first = nullptr;
        JoinSetTaskBase* last = nullptr;
        void push(JoinSetTaskBase& task) noexcept;
        void remove(JoinSetTaskBase& task) noexcept;
    };

    /// Waits for the end of any task.
    class NextBase : public QueueWait {
    public:
        [[nodiscard]] bool await_ready() noexcept {
            const RuntimeLock lock;
            return try_without_waiting();
        }
        bool suspend(PromiseBase& promise) noexcept {
            return regardless_ ? suspend_regardless_in(set_.waiting_, promise)
                               : suspend_in(set_.waiting_, promise);
        }
        [[nodiscard]] std::string_view kind() const noexcept final { return "join set"; }

    protected:
        NextBase(JoinSetBase& set, bool regardless) noexcept : set_(set), regardless_(regardless) {}
        ~NextBase() = default;
        /// The task that ended, whose result is to be taken; null when none was left.
        [[nodiscard]] JoinSetTaskBase* ended() const noexcept { return ended_; }
        /// The result was taken.
        static void free(JoinSetTaskBase& task) noexcept {
            const TaskRef last = std::move(task.kept_);
        }

    private:
        friend class JoinSetBase;
        bool try_without_waiting() noexcept final;

        JoinSetBase& set_;
        JoinSetTaskBase* ended_ = nullptr;
        bool regardless_;
    };

    explicit JoinSetBase(Io io) noexcept : io_(io) {}
    ~JoinSetBase();
    void begin(JoinSetTaskBase& task) noexcept;
    /// False, and `task` is forgotten, when it cannot run beside its starter.
    [[nodiscard]] bool begin_concurrent(JoinSetTaskBase& task) noexcept;
    [[nodiscard]] Io io() const noexcept { return io_; }

private:
    friend class JoinSetTaskBase;
    void add(JoinSetTaskBase& task) noexcept;
    void task_ended(JoinSetTaskBase& task) noexcept;

    Io io_;
    List running_;
    List ended_;
    std::size_t size_ = 0;
    WaitQueue waiting_;
};

/// Any number of tasks whose results are taken in the order in which the tasks end.
///
///     JoinSet<Result<Page>> pages(io);
///     for (const Address& address : addresses) { pages.spawn(fetch, io, address); }
///     while (auto page = co_await pages.next()) { use(*page); }
///
/// A set that ends with tasks in it cancels them, and frees their results, as a `Future` does: in a
/// fiber or thread it waits for them; a coroutine cannot wait there, and its own task ends after
/// them. `in_join_set` waits on every path.
template <class T> class JoinSet : public JoinSetBase {
    using Record = JoinSetTask<T>;
    using Stored = Record::Stored;

public:
    explicit JoinSet(Io io) noexcept : JoinSetBase(io) {}
    ~JoinSet() {
        const TaskRecord* here = TaskRecord::current();
        if (here != nullptr && here->kind() != TaskKind::coroutine) {
            while (cancel().wait()) {
            }
        }
    }

    /// Starts a call of any callable whose result, or whose `Task`'s, is a `T`.
    template <class F, class... Args>
        requires Callable<F, Args...>
    void spawn(F&& function, Args&&... args) {
        spawn(TaskName("join set"), std::forward<F>(function), std::forward<Args>(args)...);
    }
    template <class F, class... Args>
        requires Callable<F, Args...>
    void spawn(TaskName name, F&& function, Args&&... args) {
        auto root = make_task(std::forward<F>(function), std::forward<Args>(args)...).release();
        begin(make_record(std::move(name), root.promise()));
    }
    /// As `spawn`, but only where the task runs while the caller goes on.
    template <class F, class... Args>
        requires Callable<F, Args...>
    Result<void> spawn_concurrent(F&& function, Args&&... args) {
        auto root = make_task(std::forward<F>(function), std::forward<Args>(args)...).release();
        Record& record = make_record(TaskName("join set"), root.promise());
        if (begin_concurrent(record)) {
            return {};
        }
        record.give_up();
        root.destroy();
        return fail(CoreError::concurrency_unavailable);
    }

    /// Awaits to `Result<T>`: `closed` when no task is left. An error leaves the tasks alone.
    class Next final : public NextBase {
    public:
        explicit Next(JoinSet& set) noexcept : NextBase(set, false) {}
        [[nodiscard]] Result<T> await_resume() noexcept {
            if (this->failed()) {
                return fail(this->reason());
            }
            auto* record = static_cast<Record*>(this->ended());
            if (record == nullptr) {
                return fail(CoreError::closed);
            }
            if constexpr (std::is_void_v<T>) {
                NextBase::free(*record);
                return {};
            } else {
                Result<T> result(std::in_place, std::move(record->value()));
                NextBase::free(*record);
                return result;
            }
        }
    };

    /// Awaits to `std::optional<T>` (of `std::monostate` for void): nothing when no task is left.
    class Cancel final : public NextBase {
    public:
        explicit Cancel(JoinSet& set) noexcept : NextBase(set, true) {}
        [[nodiscard]] std::optional<Stored> await_resume() noexcept {
            auto* record = static_cast<Record*>(this->ended());
            if (record == nullptr) {
                return std::nullopt;
            }
            std::optional<Stored> result(std::in_place, std::move(record->value()));
            NextBase::free(*record);
            return result;
        }
    };

    /// The result of the task that ended first among those not yet taken; waits for one.
    [[nodiscard]] Next next() noexcept { return Next(*this); }
    /// Asks all tasks to stop and waits for one result, which may still be a success; no cancel
    /// cuts that short. To be repeated until there is none, so that whatever won the race is freed:
    ///
    ///     while (auto late = co_await set.cancel()) { ... }
    [[nodiscard]] Cancel cancel() noexcept {
        this->request_cancel();
        return Cancel(*this);
    }

private:
    Record& make_record(TaskName&& name, PromiseBase& root) {
        return *new Record(
            io().executor(), io().kind(), TaskRecord::current(), std::move(name), root
        );
    }
};

/// Awaits `body(set, args...)` with a set of its own, whose tasks are cancelled and waited for
/// afterwards, on every path; results that the body has not taken are dropped.
///
///     Task<Result<Page>> first_of(JoinSet<Result<Page>>& pages, Io io, Addresses addresses);
///     ...
///     ZCO_TRY(Page page, co_await in_join_set<Result<Page>>(io, first_of, io, addresses));
template <class T, class Body, class... Args>
auto in_join_set(Io io, Body body, Args... args)
    -> decltype(body(std::declval<JoinSet<T>&>(), std::move(args)...)) {
    JoinSet<T> set(io);
    auto result = co_await body(set, std::move(args)...);
    while (co_await set.cancel()) {
    }
    co_return result;
}

} // namespace zsync
