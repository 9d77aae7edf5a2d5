// TaskRecord: what the runtime knows of one live task.
#pragma once

#include <zsync/core/error.hpp>
#include <zsync/core/frame_pool.hpp>
#include <zsync/core/probes.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/suspension.hpp>
#include <zsync/core/task_name.hpp>
#include <zsync/core/timer_wheel.hpp>

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <source_location>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace zsync {

class Executor;
class Scope;
class TaskRecord;

/// The part of a coroutine's promise that does not depend on its result: its place in the chain of
/// awaits that makes up a task.
struct PromiseBase {
    TaskRecord* task = nullptr;     ///< null until the coroutine runs
    std::source_location where;     ///< the `co_await` it is suspended at
    std::coroutine_handle<> caller; ///< whose frame awaits this one; none at the task's root

    /// The coroutine's frame. Valid because the base is the promise's first part and no promise is
    /// aligned to more than 16 bytes (`TaskPromise` asserts both).
    [[nodiscard]] std::coroutine_handle<> frame() noexcept {
        return std::coroutine_handle<PromiseBase>::from_promise(*this);
    }
    /// The promise in a frame, which must be there.
    [[nodiscard]] static PromiseBase& of(std::coroutine_handle<> frame) noexcept {
        return std::coroutine_handle<PromiseBase>::from_address(frame.address()).promise();
    }
    /// The caller's promise; null at the task's root.
    [[nodiscard]] const PromiseBase* outer() const noexcept {
        return caller ? &of(caller) : nullptr;
    }
};

/// The frame of a function that waits directly, on the stack of a fiber or thread: it looks to a
/// coroutine like one that awaits it.
struct StackFrame {
    void (*resume)(void*) = [](void*) {}; // the layout of every coroutine's frame
    void (*destroy)(void*) = [](void*) {};
    PromiseBase promise;
};

/// Where a task with a stack waits; base of fibers and of threads' parking places.
struct StackContext {
    PromiseBase* frame = nullptr; ///< the innermost function that waits directly, or the root
    /// The task that runs on it: one that was started inline is above its starter.
    TaskRecord* innermost = nullptr;
    /// On a thread: the task that it was given, until that has finished.
    TaskRecord* given = nullptr;
};

/// What a task runs on, and so how it waits.
enum class TaskKind : std::uint8_t {
    coroutine, ///< no stack of its own: it suspends
    fiber,     ///< a pooled stack on a worker's thread, which it leaves while it waits
    thread,    ///< a thread, which it blocks while it waits
};

constexpr std::size_t task_kind_count = 3;

/// `coroutine`, `fiber`, `thread`.
[[nodiscard]] std::string_view name_of(TaskKind kind) noexcept;

/// What a worker has to do to let a task go on.
enum class Resumption : std::uint8_t {
    otherwise,    ///< to put it in order and measure it, or it is not a worker's
    of_coroutine, ///< to resume a frame, and nothing else
    of_fiber,     ///< to change to its stack
};

enum class TaskState : std::uint8_t { ready, running, waiting, finished };

/// A task as a person sees it; a copy, safe to keep.
struct TaskInfo {
    std::uint64_t id = 0;
    std::uint64_t parent = 0; ///< 0 for the root task
    std::string name;
    /// `ready`, `running`, `waiting: KIND` (what it waits for), with `, canceling` while a cancel
    /// is on its way to it, and `, late: N` when it has missed deadlines.
    std::string state;
    /// file:line of the innermost suspended `co_await`; "on the CPU" while it runs
    std::string where;
    std::vector<std::string> chain; ///< the awaits from the innermost outwards, as file:line
    TaskKind kind = TaskKind::coroutine;
    std::uint64_t resumes = 0;          ///< times it was given the processor
    std::uint64_t wakeups = 0;          ///< times that a wait of its was ended
    std::uint64_t buffers = 0;          ///< chunks it received that have not gone back
    std::uint64_t stack_bytes = 0;      ///< the most of its stack that was in use; fibers only
    std::chrono::nanoseconds running{}; ///< time on the processor; 0 where nobody watches
    std::chrono::nanoseconds age{};
    std::uint8_t priority = 0; ///< of a real-time task without a deadline
    std::uint64_t misses = 0;  ///< deadlines that it has missed
};

/// How many chunks tasks have received that have not gone back, by `TaskRecord::key_of`.
using HeldChunks = std::unordered_map<std::uint32_t, std::uint64_t>;

/// file:line as in the source tree, whatever directory the build ran in.
[[nodiscard]] std::string place_of(const std::source_location& where);

/// One spawned task: identity, position in the tree, await chain and cancel state. Owned by the
/// runtime while the task lives; `TaskRef` keeps it readable afterwards. Belongs to one worker's
/// thread, or, for tasks on threads, is touched under the runtime lock.
class TaskRecord {
public:
    TaskRecord(const TaskRecord&) = delete;
    TaskRecord& operator=(const TaskRecord&) = delete;

    /// The task that is running on this thread; null outside of any.
    [[nodiscard]] static TaskRecord* current() noexcept { return current_; }
    /// For whoever runs tasks: no task runs from here on.
    static void leave_current() noexcept { current_ = nullptr; }

    [[nodiscard]] Executor& executor() const noexcept { return *executor_; }
    [[nodiscard]] TaskKind kind() const noexcept { return kind_; }
    [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
    /// Tells live tasks apart in 32 bits: the half of its address that differs. 0 for none.
    [[nodiscard]] static std::uint32_t key_of(const TaskRecord* task) noexcept {
        return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(task));
    }
    [[nodiscard]] std::string_view name() const noexcept { return name_.text(); }
    /// `waiting` is told from `suspension_`, which saves each wait two writes.
    [[nodiscard]] TaskState state() const noexcept {
        return suspension_ != nullptr || ending_ ? TaskState::waiting : state_;
    }
    [[nodiscard]] bool is_finished() const noexcept { return state_ == TaskState::finished; }
    [[nodiscard]] TaskInfo info(const HeldChunks& held) const;
    /// The await chain, innermost first, as file:line.
    [[nodiscard]] std::vector<std::string> await_chain() const;
    /// This task and everything under it, parents first.
    void collect(std::vector<TaskInfo>& into, const HeldChunks& held) const;
    [[nodiscard]] const TaskRecord* next_sibling() const noexcept { return sibling_next_; }

    /// Asks the task to stop: its current or next suspension point returns `canceled`, once. No
    /// effect on a task that has finished.
    void request_cancel() noexcept;
    /// The same for what started it: once, or `anew` where a program says so, however often and for
    /// how many reasons that is called. What the task does when it has seen the cancel, such as
    /// cleaning up, is left alone.
    void request_end(bool anew = false) noexcept {
        const RuntimeLock lock;
        if (!end_requested_ || anew) {
            end_requested_ = true;
            request_cancel();
        }
    }
    /// Takes the pending cancel, if there is one that may be delivered. Called by suspension
    /// points.
    [[nodiscard]] bool take_cancel() noexcept {
        if (!cancel_pending_ || cancel_blocked_) {
            return false;
        }
        cancel_pending_ = false;
        if (state() != TaskState::running) {
            cancel_on_its_way_ = resumes_;
        }
        return true;
    }
    /// Makes a delivered cancel pending again: the next suspension point returns it once more.
    void recancel() noexcept {
        const RuntimeLock lock;
        cancel_pending_ = true;
    }
    /// While blocked, cancels stay pending. Returns what was set before.
    bool block_cancel(bool blocked) noexcept;

    /// \name For the runtime's own parts
    /// \{
    /// The root coroutine is at its end.
    void root_ended(PromiseBase& root) noexcept;
    [[nodiscard]] StackContext* context() const noexcept { return context_; }
    [[nodiscard]] bool needs_cancel() const noexcept { return cancel_pending_ && !cancel_blocked_; }
    /// \}

    static void* operator new(std::size_t size) { return allocate_frame(size, FrameUse::task); }
    static void operator delete(void* memory, std::size_t size) noexcept {
        free_frame(memory, size);
    }

protected:
    TaskRecord(
        Executor& executor,
        TaskKind kind,
        TaskRecord* parent,
        Scope* scope,
        TaskName&& name,
        PromiseBase& root
    );
    virtual ~TaskRecord();

    /// Takes the result out of the root coroutine, destroys its frame and tells whom it concerns.
    /// `root` is the task's root promise.
    virtual void finish(PromiseBase& root) noexcept = 0;
    /// At the end of `finish`: leaves the tree, gives up the runtime's reference. Under the
    /// runtime lock.
    void leave() noexcept;
    [[nodiscard]] Scope* scope() const noexcept { return scope_; }

private:
    friend class Executor;
    friend class Scope;
    friend class OperationWait;
    friend class StallDetector;
    friend class Suspension;
    friend class TaskOrder;
    friend class TaskRef;
    friend class YieldWait;
    friend struct DebugLayout;
    friend class Worker;
    friend class ThreadExecutor;
    template <class T> friend class FutureTask;

    void retain() noexcept {
        const RuntimeLock lock;
        ++references_;
    }
    void release() noexcept {
        if (RuntimeLock::is_needed()) [[unlikely]] {
            release_locked();
        } else if (--references_ == 0) {
            delete this;
        }
    }
    void release_locked() noexcept;
    void end_with_children(PromiseBase& root) noexcept;

    static thread_local constinit TaskRecord* current_;

    Executor* executor_;
    PromiseBase* leaf_;                ///< the innermost frame; stale while the task runs
    Suspension* suspension_ = nullptr; ///< what it waits for
    TaskRecord* next_ready_;           ///< in `ReadyTasks`, but for the last in it
    StackContext* context_ = nullptr;  ///< null for coroutines
    TaskRecord* parent_;
    TaskRecord* children_ = nullptr;
    TaskRecord* sibling_next_ = nullptr;
    TaskRecord** sibling_link_ = nullptr;
    Scope* scope_; ///< the scope that joins it; null for a future's task
    // Its last bytes hold what follows.
    [[no_unique_address]] TaskLabel name_;
    TaskKind kind_;
    Resumption resumption_;
    TaskState state_ = TaskState::ready; ///< still `running` while it waits; see `state`
    bool cancel_pending_ = false;
    bool cancel_blocked_ : 1 = false;
    bool end_requested_ : 1 = false; ///< by what started it
    std::uint8_t urgency_ = 0;       ///< its place in its worker's `TaskOrder`, from 1; 0: none
    bool ending_ = false; ///< the root coroutine has ended, children are being waited for
    std::uint32_t resumes_ = 0;
    std::uint32_t references_ = 1;
    std::uint32_t cancel_on_its_way_ = ~0U; ///< taken by the wait that ended after so many resumes
    std::uint64_t id_;
    TimePoint started_;
    std::uint64_t run_cycles_ = 0;
};

/// A handle to a task that may have finished. Copyable within the worker's thread.
class TaskRef {
public:
    struct Counted {};

    TaskRef() noexcept = default;
    /// For a reference that has been counted.
    TaskRef(TaskRecord& record, Counted /*already*/) noexcept : record_(&record) {}
    explicit TaskRef(TaskRecord& record) noexcept : record_(&record) { record.retain(); }
    TaskRef(const TaskRef& other) noexcept : record_(other.record_) {
        if (record_ != nullptr) {
            record_->retain();
        }
    }
    TaskRef(TaskRef&& other) noexcept : record_(std::exchange(other.record_, nullptr)) {}
    TaskRef& operator=(TaskRef other) noexcept {
        std::swap(record_, other.record_);
        return *this;
    }
    ~TaskRef() {
        if (record_ != nullptr) {
            record_->release();
        }
    }

    [[nodiscard]] explicit operator bool() const noexcept { return record_ != nullptr; }
    [[nodiscard]] bool is_finished() const noexcept {
        const RuntimeLock lock;
        return record_ == nullptr || record_->is_finished();
    }
    void request_cancel() noexcept {
        if (record_ != nullptr) {
            record_->request_cancel();
        }
    }

private:
    TaskRecord* record_ = nullptr;
};

inline TaskRecord& Suspension::task() const noexcept { return *promise_->task; }

inline bool Suspension::park() noexcept {
    if (task().kind() == TaskKind::coroutine) [[likely]] {
        return true;
    }
    park_here();
    return false;
}

inline void Suspension::end_here() noexcept { task().suspension_ = nullptr; }

inline void Suspension::begin_regardless(PromiseBase& promise) noexcept {
    promise_ = &promise;
    TaskRecord& record = *promise.task;
    record.leaf_ = &promise;
    record.suspension_ = this;
    ZSYNC_PROBE_TASK(task__suspend, record);
}

inline bool Suspension::begin(PromiseBase& promise) noexcept {
    if (promise.task->cancel_pending_ && promise.task->take_cancel()) [[unlikely]] {
        promise_ = &promise;
        return false;
    }
    begin_regardless(promise);
    return true;
}

} // namespace zsync
