#include <zsync/core/assert.hpp>
#include <zsync/core/executor.hpp>
#include <zsync/core/fiber.hpp>
#include <zsync/core/fiber_switch.hpp>
#include <zsync/core/future.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/probes.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/task_record.hpp>
#include <zsync/core/worker.hpp>

#include <cstring>
#include <format>

namespace zsync {
std::string place_of(const std::source_location& where) {
    if (where.line() == 0) {
        return "not started";
    }
    std::string_view file = where.file_name();
    // Paths as in the source tree, whatever directory the build ran in.
    constexpr std::string_view source_root = "userspace/";
    if (const auto at = file.rfind(source_root); at != std::string_view::npos) {
        file.remove_prefix(at + source_root.size());
    }
    while (file.starts_with("../")) {
        file.remove_prefix(3);
    }
    return std::format("{}:{}", file, where.line());
}

thread_local constinit TaskRecord* TaskRecord::current_ = nullptr;

std::recursive_mutex& RuntimeLock::mutex() noexcept {
    static std::recursive_mutex mutex;
    return mutex;
}

TaskName::TaskName(std::string_view text, Place made)
    : text_(nullptr), length_(static_cast<std::uint32_t>(text.size())), owned_(true), made_(made) {
    char* copy = new char[text.size() + 1]; // tracers read up to a zero
    std::memcpy(copy, text.data(), text.size());
    copy[text.size()] = 0;
    text_ = copy;
}

void TaskName::free_text(const char* text) noexcept { delete[] text; }

// NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): `next_ready_` is set when it is queued
TaskRecord::TaskRecord(
    Executor& executor,
    TaskKind kind,
    TaskRecord* parent,
    Scope* scope,
    TaskName&& name,
    PromiseBase& root
)
    : executor_(&executor), leaf_(&root), parent_(parent), scope_(scope), name_(std::move(name)),
      kind_(kind), resumption_(executor.resumptions_[std::to_underlying(kind)]),
      started_(executor.recent_time()) {
    root.task = this;
    const RuntimeLock lock;
    id_ = ++executor.last_task_id_;
    TaskRecord*& siblings = parent != nullptr ? parent->children_ : executor.root_;
    sibling_next_ = siblings;
    if (siblings != nullptr) {
        siblings->sibling_link_ = &sibling_next_;
    }
    sibling_link_ = &siblings;
    siblings = this;
    if (Ledger::traces()) [[unlikely]] {
        // NOLINTNEXTLINE(bugprone-use-after-move): only its text has been moved
        Ledger::task_made(*this, name.made());
    }
    ZSYNC_PROBE_TASK(task__start, *this);
}

TaskRecord::~TaskRecord() = default;

void TaskRecord::release_locked() noexcept {
    bool last = false;
    {
        const RuntimeLock lock;
        last = --references_ == 0;
    }
    if (last) {
        delete this;
    }
}

void TaskRecord::leave() noexcept {
    state_ = TaskState::finished;
    ZSYNC_PROBE_TASK(task__end, *this);
    if (kind_ != TaskKind::thread) {
        static_cast<Worker*>(executor_)->remember(*this);
    }
    if (current_ == this) {
        current_ = nullptr;
    }
    ++executor_->ended_tasks_;
    if (context_ != nullptr && context_->given == this) {
        context_->given = nullptr;
    }
    *sibling_link_ = sibling_next_;
    if (sibling_next_ != nullptr) {
        sibling_next_->sibling_link_ = sibling_link_;
    }
    TaskRecord* parent = std::exchange(parent_, nullptr);
    if (parent != nullptr && parent->ending_ && parent->children_ == nullptr) {
        parent->finish(*parent->leaf_);
    }
    release();
}

void TaskRecord::root_ended(PromiseBase& root) noexcept {
    // On threads children may be leaving at this moment.
    if (RuntimeLock::is_needed() || children_ != nullptr) [[unlikely]] {
        end_with_children(root);
    } else {
        finish(root);
    }
}

// Futures that went out of scope unfinished; scopes cannot end like that.
void TaskRecord::end_with_children(PromiseBase& root) noexcept {
    {
        const RuntimeLock lock;
        if (children_ != nullptr) {
            ending_ = true;
            leaf_ = &root;
            if (current_ == this) {
                current_ = nullptr;
            }
            for (TaskRecord* child = children_; child != nullptr; child = child->sibling_next_) {
                child->request_end();
            }
            return;
        }
    }
    finish(root);
}

std::string_view name_of(TaskKind kind) noexcept {
    switch (kind) {
    case TaskKind::coroutine:
        return "coroutine";
    case TaskKind::fiber:
        return "fiber";
    case TaskKind::thread:
        return "thread";
    }
    return "task";
}

TaskInfo TaskRecord::info(const HeldChunks& held) const {
    TaskInfo info{
        .id = id_,
        .parent = parent_ != nullptr ? parent_->id_ : 0,
        .name = std::string(name_.text()),
        .state = {},
        .where = {},
        .chain = {},
        .kind = kind_,
        .resumes = resumes_,
    };
    const TaskState state = this->state();
    switch (state) {
    case TaskState::ready:
        info.state = "ready";
        break;
    case TaskState::running:
        info.state = "running";
        break;
    case TaskState::waiting:
        info.state = suspension_ != nullptr ? std::format("waiting: {}", suspension_->kind())
                                            : std::string("waiting: children");
        break;
    case TaskState::finished:
        info.state = "finished";
        break;
    }
    if (cancel_pending_) {
        info.state += ", canceling";
    }
    if (state == TaskState::running) {
        info.where = "on the CPU";
    } else {
        info.chain = await_chain();
        info.where = info.chain.empty() ? "finished" : info.chain.front();
    }
    // Each wake-up leads to one resume; a task that was woken and waits for its turn has one to
    // come.
    const bool begun = resumes_ != 0;
    info.wakeups = begun ? resumes_ - 1U + (state == TaskState::ready ? 1U : 0U) : 0U;
    if (const auto found = held.find(key_of(this)); found != held.end()) {
        info.buffers = found->second;
    }
    if (kind_ == TaskKind::fiber && context_ != nullptr) {
        info.stack_bytes = static_cast<const Fiber*>(context_)->stack_bytes_used();
    }
    info.age = executor_->now() - started_;
    info.running = executor_->cycles().duration(run_cycles_);
    executor_->describe(*this, info);
    return info;
}

std::vector<std::string> TaskRecord::await_chain() const {
    std::vector<std::string> chain;
    for (const PromiseBase* frame = state_ == TaskState::finished ? nullptr : leaf_;
         frame != nullptr && chain.size() < limits::await_chain_max;
         frame = frame->outer()) {
        chain.push_back(place_of(frame->where));
    }
    return chain;
}

// Without recursion: a tree may be deeper than the stack of the fiber that asks.
void TaskRecord::collect(std::vector<TaskInfo>& into, const HeldChunks& held) const {
    std::vector<const TaskRecord*> left{this};
    while (!left.empty()) {
        const TaskRecord& task = *left.back();
        left.pop_back();
        into.push_back(task.info(held));
        // The newest child is first in the list; people read the oldest first.
        for (const TaskRecord* child = task.children_; child != nullptr;
             child = child->sibling_next_) {
            left.push_back(child);
        }
    }
}

void TaskRecord::request_cancel() noexcept {
    const RuntimeLock lock;
    if (state_ == TaskState::finished || cancel_pending_) {
        return;
    }
    // A wait has ended with the last one, and the task has not seen it yet: that was this one too.
    if (state_ == TaskState::ready && cancel_on_its_way_ == resumes_) {
        return;
    }
    cancel_pending_ = true;
    ZSYNC_PROBE_TASK(task__cancel, *this);
    if (cancel_blocked_) {
        return;
    }
    if (suspension_ != nullptr) {
        suspension_->interrupt(CoreError::canceled);
    } else if (context_ != nullptr && state() == TaskState::running) {
        // What it has started inline it is waiting for, in effect.
        for (TaskRecord* above = context_->innermost; above != nullptr && above != this;
             above = above->parent_) {
            above->request_cancel();
        }
    }
}

bool TaskRecord::block_cancel(bool blocked) noexcept {
    const RuntimeLock lock;
    const bool before = cancel_blocked_;
    cancel_blocked_ = blocked;
    return before;
}

void Suspension::park_here() noexcept {
    TaskRecord& record = task();
    if (record.kind_ == TaskKind::fiber) {
        const RuntimeLock::Released released;
        static_cast<Fiber*>(record.context_)->leave();
        return;
    }
    record.executor_->park(record);
}

void Suspension::wake_thread(TaskRecord& record) noexcept {
    record.state_ = TaskState::ready;
    record.executor_->unpark(record);
}

void CancelRelay::relay() noexcept {
    // Null while none passes anything on.
    static thread_local constinit CancelRelay** last = nullptr;
    next_relay_ = nullptr;
    if (last != nullptr) {
        *last = this;
        last = &next_relay_;
        return;
    }
    last = &next_relay_;
    for (CancelRelay* first = this; first != nullptr; first = first->next_relay_) {
        first->pass_on();
    }
    last = nullptr;
}

void TimedSuspension::arm(TimePoint at) noexcept { task().executor().add_timer(*this, at); }

void TimedSuspension::remove_timer() noexcept { task().executor().remove_timer(*this); }

PromiseBase& waiting_frame(std::source_location here) noexcept {
    const TaskRecord* record = TaskRecord::current();
    if (record == nullptr || record->context() == nullptr) {
        assertion_failed(
            "wait()",
            here.file_name(),
            here.line(),
            record == nullptr ? "wait() outside of any task; start one with Executor::run"
                              : "wait() in a coroutine, which has no stack to wait on; co_await"
        );
    }
    PromiseBase& frame = *record->context()->frame;
    frame.where = here;
    return frame;
}

void FutureTaskBase::wake_waiter() noexcept {
    if (waiter_ != nullptr) {
        std::exchange(waiter_, nullptr)->wake();
    }
}

bool FutureWaitBase::suspend(PromiseBase& promise) noexcept {
    const RuntimeLock lock;
    if (awaited_.is_finished()) {
        return false;
    }
    if (&awaited_ == promise.task) [[unlikely]] {
        deadlocked_ = true;
        return false;
    }
    ZASSERT(awaited_.waiter_ == nullptr, "a future is awaited by one task at a time");
    awaited_.waiter_ = this;
    begin_regardless(promise);
    if (promise.task->needs_cancel()) {
        awaited_.request_end();
    }
    return park();
}

void FutureWaitBase::interrupt(CoreError reason) noexcept {
    const RuntimeLock lock;
    if (reason != CoreError::deadlock) {
        relay();
        return;
    }
    deadlocked_ = true;
    awaited_.waiter_ = nullptr;
    wake();
}

void Executor::run_inline(TaskRecord& record) noexcept {
    TaskRecord* outer = TaskRecord::current_;
    StackContext* context = outer != nullptr ? outer->context_ : nullptr;
    ZASSERT(context != nullptr, "only a task with a stack can run another one on it");
    PromiseBase* outer_frame = context->frame;
    run_on(record, *context);
    const RuntimeLock lock;
    context->frame = outer_frame;
    context->innermost = outer;
    TaskRecord::current_ = outer;
}

void Executor::run_on(TaskRecord& record, StackContext& context) noexcept {
    PromiseBase& root = *record.leaf_;
    if (Ledger::traces()) [[unlikely]] {
        frame_pool.clear(); // also a thread that only frees must not pool
    }
    {
        const RuntimeLock lock;
        context.frame = &root;
        context.innermost = &record;
        record.context_ = &context;
        record.state_ = TaskState::running;
        ++record.resumes_;
    }
    TaskRecord::current_ = &record;
    root.frame().resume();
    TaskRecord::current_ = nullptr;
}

bool Executor::is_waiting(const TaskRecord& record) noexcept {
    return record.suspension_ != nullptr;
}

void Executor::goes_on(TaskRecord& record) noexcept {
    record.state_ = TaskState::running;
    ++record.resumes_;
}

void Executor::interrupt(TaskRecord& record, CoreError reason) noexcept {
    record.suspension_->interrupt(reason);
}

std::vector<TaskInfo> Executor::tasks() const {
    const RuntimeLock lock;
    const HeldChunks held = Ledger::held_chunks(*this);
    std::vector<TaskInfo> tasks;
    for (const TaskRecord* root = root_; root != nullptr; root = root->next_sibling()) {
        root->collect(tasks, held);
    }
    return tasks;
}

std::uint64_t Executor::task_count() const noexcept {
    const RuntimeLock lock;
    return last_task_id_ - ended_tasks_;
}

} // namespace zsync
