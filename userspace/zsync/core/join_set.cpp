#include <zsync/core/join_set.hpp>

namespace zsync {

void JoinSetBase::List::push(JoinSetTaskBase& task) noexcept {
    task.next_ = nullptr;
    task.previous_ = last;
    (last != nullptr ? last->next_ : first) = &task;
    last = &task;
}

void JoinSetBase::List::remove(JoinSetTaskBase& task) noexcept {
    (task.previous_ != nullptr ? task.previous_->next_ : first) = task.next_;
    (task.next_ != nullptr ? task.next_->previous_ : last) = task.previous_;
}

JoinSetBase::~JoinSetBase() {
    request_cancel();
    const RuntimeLock lock;
    while (running_.first != nullptr) {
        JoinSetTaskBase& task = *running_.first;
        running_.remove(task);
        task.set_ = nullptr;
        NextBase::free(task);
    }
    while (ended_.first != nullptr) {
        JoinSetTaskBase& task = *ended_.first;
        ended_.remove(task);
        NextBase::free(task);
    }
}

void JoinSetBase::request_cancel() noexcept {
    const RuntimeLock lock;
    for (JoinSetTaskBase* task = running_.first; task != nullptr; task = task->next_) {
        task->request_end();
    }
}

void JoinSetBase::add(JoinSetTaskBase& task) noexcept {
    const RuntimeLock lock;
    task.set_ = this;
    task.kept_ = TaskRef(task);
    running_.push(task);
    ++size_;
}

void JoinSetBase::begin(JoinSetTaskBase& task) noexcept {
    add(task);
    task.executor().start_anyhow(task);
}

bool JoinSetBase::begin_concurrent(JoinSetTaskBase& task) noexcept {
    add(task);
    if (task.executor().start(task, Concurrency::required)) {
        return true;
    }
    const RuntimeLock lock;
    running_.remove(task);
    --size_;
    NextBase::free(task);
    return false;
}

void JoinSetTaskBase::ended() noexcept {
    const RuntimeLock lock;
    if (set_ != nullptr) {
        set_->task_ended(*this);
    }
}

void JoinSetBase::task_ended(JoinSetTaskBase& task) noexcept {
    running_.remove(task);
    if (auto* first = static_cast<NextBase*>(waiting_.front())) {
        --size_;
        first->ended_ = &task;
        waiting_.wake(*first);
    } else {
        ended_.push(task);
    }
    if (size_ == 0) {
        waiting_.wake_all();
    }
}

bool JoinSetBase::NextBase::try_without_waiting() noexcept {
    if (JoinSetTaskBase* task = set_.ended_.first) {
        set_.ended_.remove(*task);
        --set_.size_;
        ended_ = task;
        return true;
    }
    return set_.size_ == 0;
}

} // namespace zsync
