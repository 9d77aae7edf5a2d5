#include <zsync/core/assert.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/scope.hpp>

namespace zsync {

Scope::Scope(Io io, TaskName name, OnFailure on_failure)
    : io_(io), owner_(TaskRecord::current()), on_failure_(on_failure), name_(std::move(name)) {
    ZASSERT(owner_ != nullptr, "a scope is made inside a running task");
}

Scope::~Scope() { ZASSERT(size_ == 0, "a scope ends with children alive; join it first"); }

// Counted with it is the reference that its starter gets.
inline TaskRef Scope::count(TaskRecord& child) noexcept {
    const RuntimeLock lock;
    ++child.references_;
    ++size_;
    if (canceling_) [[unlikely]] {
        child.request_end();
    }
    return {child, TaskRef::Counted()};
}

TaskRef Scope::begin(TaskRecord& child) noexcept {
    TaskRef handle = count(child);
    child.executor().start_anyhow(child);
    return handle;
}

Result<TaskRef> Scope::begin_concurrent(TaskRecord& child) noexcept {
    TaskRef handle = count(child);
    if (child.executor().start(child, Concurrency::required)) {
        return handle;
    }
    const RuntimeLock lock;
    --size_;
    child.leave();
    return fail(CoreError::concurrency_unavailable);
}

// In one: whoever joins must find the task finished.
void Scope::child_ended(TaskRecord& child) noexcept {
    const RuntimeLock lock;
    Scope& scope = *child.scope_;
    if (--scope.size_ == 0 && scope.join_ != nullptr) {
        std::exchange(scope.join_, nullptr)->wake();
    }
    child.leave();
}

void Scope::child_failed(TaskRecord& child, const Error& failure) noexcept {
    const RuntimeLock lock;
    Scope& scope = *child.scope_;
    if (!failure.is_canceled() && !scope.failure_) {
        scope.failure_ = failure;
        if (scope.on_failure_ == OnFailure::cancel_siblings) {
            scope.cancel();
        }
    }
    child_ended(child);
}

void Scope::cancel() noexcept {
    const RuntimeLock lock;
    canceling_ = true;
    TaskRecord* next = nullptr;
    for (TaskRecord* child = owner_->children_; child != nullptr; child = next) {
        next = child->sibling_next_;
        if (child->scope_ == this) {
            child->request_end();
        }
    }
}

bool Scope::Join::suspend(PromiseBase& promise) noexcept {
    const RuntimeLock lock;
    joiner_ = &promise;
    if (scope_.size_ == 0) {
        return false;
    }
    ZASSERT(scope_.join_ == nullptr, "a scope is joined by one task at a time");
    begin_regardless(promise);
    scope_.join_ = this;
    if (promise.task->needs_cancel()) {
        scope_.cancel();
    }
    return park();
}

void Scope::Join::interrupt(CoreError reason) noexcept {
    const RuntimeLock lock;
    if (reason != CoreError::deadlock) {
        relay();
        return;
    }
    deadlocked_ = true;
    scope_.join_ = nullptr;
    wake();
}

Result<void> Scope::Join::await_resume() noexcept {
    const RuntimeLock lock;
    if (deadlocked_) {
        return fail(CoreError::deadlock);
    }
    scope_.canceling_ = false;
    if (!scope_.failure_ && !joiner_->task->needs_cancel()) [[likely]] {
        return {};
    }
    const std::optional<Error> failure = std::exchange(scope_.failure_, std::nullopt);
    if (joiner_->task->take_cancel()) {
        return fail(CoreError::canceled);
    }
    return failure ? Result<void>(fail(*failure)) : Result<void>();
}

} // namespace zsync
