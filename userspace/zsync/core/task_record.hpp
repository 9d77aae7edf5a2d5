// TaskRecord: what the runtime knows of one live task.
#pragma once

#include <zsync/core/suspension.hpp>

#include <chrono>
#include <coroutine>
#include <cstdint>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zsync {

class Scope;
class Worker;

/// The part of a coroutine's promise that does not depend on its result: its place in the chain of
/// awaits that makes up a task.
struct PromiseBase {
    TaskRecord* task = nullptr;           ///< null until the coroutine runs
    PromiseBase* caller = nullptr;        ///< who awaits this coroutine; null at the task's root
    std::coroutine_handle<> continuation; ///< the caller's frame
    std::source_location where;           ///< the `co_await` it is suspended at
};

enum class TaskState : std::uint8_t { ready, running, waiting };

/// A task as a person sees it; a copy, safe to keep.
struct TaskInfo {
    std::uint64_t id = 0;
    std::uint64_t parent = 0; ///< 0 for the worker's root task
    std::string name;
    /// `ready`, `running`, `waiting: KIND` (what it waits for), with `, canceling` while a cancel
    /// is on its way to it.
    std::string state;
    std::string
        where; ///< file:line of the innermost suspended `co_await`; "on the CPU" while it runs
    std::chrono::nanoseconds age{};
};

/// One spawned task: identity, position in the tree, await chain and cancel state. Owned by the
/// runtime while the task lives; `TaskRef` keeps it readable afterwards. Belongs to one worker
/// thread.
class TaskRecord {
public:
    using Finish = void (*)(TaskRecord&) noexcept;

    TaskRecord(Worker& worker, TaskRecord* parent, std::string_view name, std::uint64_t id);
    TaskRecord(const TaskRecord&) = delete;
    TaskRecord& operator=(const TaskRecord&) = delete;

    [[nodiscard]] Worker& worker() const noexcept { return *worker_; }
    [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
    [[nodiscard]] const std::string& name() const noexcept { return name_; }
    [[nodiscard]] bool is_finished() const noexcept { return finished_; }
    [[nodiscard]] bool cancel_is_pending() const noexcept { return cancel_pending_; }
    [[nodiscard]] TaskInfo info() const;
    /// The await chain, innermost first, as file:line.
    [[nodiscard]] std::vector<std::string> await_chain() const;

    /// Asks the task to stop: its current or next suspension point returns `canceled`, once. No
    /// effect on a task that has finished.
    void request_cancel() noexcept;
    /// Takes the pending cancel, if there is one, for delivery. Called by suspension points only.
    [[nodiscard]] bool take_cancel() noexcept;

private:
    friend class Scope;
    friend class Suspension;
    friend class TaskRef;
    friend class Worker;
    template <class T> friend class Task;
    friend struct FinalAwaiter;

    void retain() noexcept { ++references_; }
    void release() noexcept;

    Worker* worker_;
    Scope* scope_ = nullptr;
    PromiseBase* leaf_ = nullptr;
    Suspension* suspension_ = nullptr;
    std::coroutine_handle<> root_;
    std::coroutine_handle<> next_; ///< what to resume when the task's turn comes
    Finish finish_ = nullptr;      ///< called once, with the root coroutine at its end
    TaskRecord* next_ready_ = nullptr;
    TaskRecord* registry_previous_ = nullptr;
    TaskRecord* registry_next_ = nullptr;
    TaskRecord* sibling_previous_ = nullptr;
    TaskRecord* sibling_next_ = nullptr;
    std::uint64_t id_;
    std::uint64_t parent_id_;
    std::chrono::steady_clock::time_point started_;
    std::uint32_t references_ = 1;
    TaskState state_ = TaskState::ready;
    bool cancel_pending_ = false;
    bool finished_ = false;
    std::string name_;
};

/// A handle to a task that may have finished. Copyable within the worker's thread.
class TaskRef {
public:
    TaskRef() noexcept = default;
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

} // namespace zsync
