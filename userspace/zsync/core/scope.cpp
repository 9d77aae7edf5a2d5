#include <zsync/core/assert.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/scope.hpp>

namespace zsync {

Scope::Scope(Io io, TaskName name, OnFailure on_failure)
    : io_(io), owner_(TaskRecord::current()), on_failure_(on_failure), name_(std::move(name)) {
    ZASSERT(owner_ != nullptr, "a scope is made inside a running task");
}

Scope::~Scope() { ZASSERT(size_ == 0, "a scope ends with children alive; join it first"); }

TaskRef Scope::begin(TaskRecord& record) noexcept {
    TaskRef handle(record);
    {
        const RuntimeLock lock;
        ++size_;
        if (canceling_) {
            record.request_end();
        }
    }
    record.executor().start_anyhow(record);
    return handle;
}

Result<TaskRef> Scope::begin_concurrent(TaskRecord& record) noexcept {
    TaskRef handle(record);
    {
        const RuntimeLock lock;
        ++size_;
        if (canceling_) {
            record.request_end();
        }
    }
    if (record.executor().start(record, Concurrency::required)) {
        return handle;
    }
    const RuntimeLock lock;
    --size_;
    record.leave();
    return fail(CoreError::concurrency_unavailable);
}

void Scope::child_done(std::optional<Error> failure) noexcept {
    const RuntimeLock lock;
    --size_;
    if (failure && !failure->is_canceled() && !failure_) {
        failure_ = failure;
        if (on_failure_ == OnFailure::cancel_siblings) {
            cancel();
        }
    }
    if (size_ == 0 && join_ != nullptr) {
        std::exchange(join_, nullptr)->wake();
    }
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
    if (reason != CoreError::deadlock) {
        scope_.cancel();
        return;
    }
    const RuntimeLock lock;
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
    const std::optional<Error> failure = std::exchange(scope_.failure_, std::nullopt);
    if (joiner_->task->take_cancel()) {
        return fail(CoreError::canceled);
    }
    if (failure) {
        return fail(*failure);
    }
    return {};
}

} // namespace zsync
