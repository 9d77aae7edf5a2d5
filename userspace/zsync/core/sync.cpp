#include <zsync/core/assert.hpp>
#include <zsync/core/sync.hpp>
#include <zsync/core/worker.hpp>

namespace zsync {

bool QueueWait::start(PromiseBase& promise, std::coroutine_handle<> waiter) noexcept {
    if (!enter(promise, waiter)) {
        failure_ = Error(CoreError::canceled);
        return false;
    }
    queue_.push(*this);
    if (wait_until_) {
        task().worker().timers().add(deadline_, *wait_until_);
    }
    return true;
}

void QueueWait::end() noexcept {
    queue_.remove(*this);
    task().worker().timers().remove(deadline_);
    wake();
}

void QueueWait::request_cancel() noexcept {
    if (queued_ && task().take_cancel()) {
        failure_ = Error(CoreError::canceled);
        end();
    }
}

void QueueWait::deadline_passed(Timer& timer) noexcept {
    auto& self = *static_cast<QueueWait*>(timer.owner);
    self.failure_ = Error(CoreError::timed_out);
    self.end();
}

WaitQueue::~WaitQueue() { ZASSERT(first_ == nullptr, "nobody waits in a queue that ends"); }

bool WaitQueue::wake_one() noexcept {
    if (first_ == nullptr) {
        return false;
    }
    first_->end();
    return true;
}

void WaitQueue::wake_all() noexcept {
    while (wake_one()) {
    }
}

void WaitQueue::push(QueueWait& wait) noexcept {
    wait.queued_ = true;
    wait.previous_ = last_;
    (last_ != nullptr ? last_->next_ : first_) = &wait;
    last_ = &wait;
}

void WaitQueue::remove(QueueWait& wait) noexcept {
    wait.queued_ = false;
    (wait.previous_ != nullptr ? wait.previous_->next_ : first_) = wait.next_;
    (wait.next_ != nullptr ? wait.next_->previous_ : last_) = wait.previous_;
}

} // namespace zsync
