#include <zsync/core/io.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/worker.hpp>

namespace zsync {

Scope::Scope(Io io, std::string_view name)
    : worker_(io.worker()), parent_(worker_.current()), name_(name) {
    ZASSERT(parent_ != nullptr, "a scope is made inside a running task");
}

Scope::~Scope() { ZASSERT(size_ == 0, "a scope ends with children alive; join it first"); }

TaskRef Scope::start(
    std::string_view name,
    std::coroutine_handle<> root,
    PromiseBase& promise,
    TaskRecord::Finish on_end
) {
    TaskRecord& record = worker_.register_task(parent_, name, root, promise, on_end);
    record.scope_ = this;
    record.sibling_next_ = children_;
    if (children_ != nullptr) {
        children_->sibling_previous_ = &record;
    }
    children_ = &record;
    ++size_;
    if (canceling_) {
        record.request_cancel();
    }
    TaskRef handle(record);
    worker_.make_ready(record, root);
    return handle;
}

void Scope::child_done(TaskRecord& record, std::optional<Error> failure) noexcept {
    if (record.sibling_previous_ != nullptr) {
        record.sibling_previous_->sibling_next_ = record.sibling_next_;
    } else {
        children_ = record.sibling_next_;
    }
    if (record.sibling_next_ != nullptr) {
        record.sibling_next_->sibling_previous_ = record.sibling_previous_;
    }
    --size_;
    worker_.unregister_task(record);
    if (failure && !failure->is_canceled() && !failure_) {
        failure_ = failure;
        cancel();
    }
    if (size_ == 0 && join_ != nullptr) {
        std::exchange(join_, nullptr)->wake();
    }
}

void Scope::cancel() noexcept {
    canceling_ = true;
    for (TaskRecord* child = children_; child != nullptr; child = child->sibling_next_) {
        child->request_cancel();
    }
}

bool Scope::Join::begin(PromiseBase& promise, std::coroutine_handle<> waiter) noexcept {
    joiner_ = &promise;
    if (scope_.size_ == 0) {
        return false;
    }
    ZASSERT(scope_.join_ == nullptr, "a scope is joined by one task at a time");
    enter_regardless(promise, waiter);
    scope_.join_ = this;
    if (promise.task->cancel_is_pending()) {
        scope_.cancel();
    }
    return true;
}

Result<void> Scope::Join::await_resume() noexcept {
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
