#include <zsync/core/wait_queue.hpp>

namespace zsync {

bool QueueWait::suspend_in(WaitQueue& queue, PromiseBase& promise) noexcept {
    const RuntimeLock lock;
    if (!begin(promise)) {
        refuse(CoreError::canceled);
        return false;
    }
    return wait_in(queue);
}

bool QueueWait::suspend_regardless_in(WaitQueue& queue, PromiseBase& promise) noexcept {
    const RuntimeLock lock;
    regardless_ = true;
    begin_regardless(promise);
    return wait_in(queue);
}

bool QueueWait::wait_in(WaitQueue& queue) noexcept {
    queue_ = nullptr;
    if (try_without_waiting()) {
        wake();
        return park();
    }
    phase_ = Phase::waiting;
    queue.push(*this);
    if (has_deadline_) {
        arm(due);
    }
    entered();
    return park();
}

void QueueWait::leave_queue() noexcept {
    if (queue_ != nullptr) {
        queue_->remove(*this);
    }
    disarm();
}

void QueueWait::interrupt(CoreError reason) noexcept {
    const RuntimeLock lock;
    if (queue_ == nullptr || phase_ != Phase::waiting) {
        return;
    }
    if (reason == CoreError::canceled && (regardless_ || !task().take_cancel())) {
        return;
    }
    refuse(reason);
    leave_queue();
    interrupted();
}

void WaitQueue::wake(QueueWait& wait) noexcept {
    wait.leave_queue();
    wait.wake();
}

void WaitQueue::fail_all(CoreError reason) noexcept {
    while (first_ != nullptr) {
        QueueWait& wait = *first_;
        wait.refuse(reason);
        wake(wait);
    }
}

void WaitQueue::move_here(QueueWait& wait) noexcept {
    wait.leave_queue();
    wait.phase_ = QueueWait::Phase::committed;
    push(wait);
}

void WaitQueue::push(QueueWait& wait) noexcept {
    wait.queue_ = this;
    wait.next_ = nullptr;
    wait.previous_ = last_;
    (last_ != nullptr ? last_->next_ : first_) = &wait;
    last_ = &wait;
}

void WaitQueue::remove(QueueWait& wait) noexcept {
    wait.queue_ = nullptr;
    (wait.previous_ != nullptr ? wait.previous_->next_ : first_) = wait.next_;
    (wait.next_ != nullptr ? wait.next_->previous_ : last_) = wait.previous_;
}

} // namespace zsync
