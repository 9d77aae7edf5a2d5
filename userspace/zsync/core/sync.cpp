#include <zsync/core/assert.hpp>
#include <zsync/core/sync.hpp>

namespace zsync {

bool QueueWait::suspend(PromiseBase& promise) noexcept {
    const RuntimeLock lock;
    if (!begin(promise)) {
        failure_ = Error(CoreError::canceled);
        return false;
    }
    if (try_without_waiting()) {
        wake();
        return park();
    }
    queue_.push(*this);
    if (wait_until_) {
        arm(*wait_until_);
    }
    return park();
}

void QueueWait::end() noexcept {
    queue_.remove(*this);
    disarm();
    wake();
}

void QueueWait::interrupt(CoreError reason) noexcept {
    if (!queued_ || (reason == CoreError::canceled && !task().take_cancel())) {
        return;
    }
    failure_ = Error(reason);
    end();
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
