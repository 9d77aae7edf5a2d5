#include <zsync/core/compute_pool.hpp>
#include <zsync/core/offload.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/worker.hpp>

namespace zsync {

OffloadPool::~OffloadPool() {
    if (!home_.is_here()) {
        return;
    }
    {
        const std::scoped_lock lock(mutex_);
        stopping_ = true;
    }
    available_->notify_all();
    for (PoolThread& thread : threads_) {
        thread.join();
    }
}

bool OffloadPool::add_thread() noexcept {
    const auto body = [](void* self) -> void* {
        static_cast<OffloadPool*>(self)->serve();
        return nullptr;
    };
    if (!threads_[started_].start("zsync-offload", body, this)) {
        return false;
    }
    ++started_;
    return true;
}

bool OffloadPool::submit(PooledCall& call) {
    {
        const std::scoped_lock lock(mutex_);
        const bool wants_thread = idle_ <= waiting_.size() && started_ < threads_.size();
        if (wants_thread && !add_thread() && started_ == 0) {
            return false;
        }
        if (!waiting_.push(call)) {
            return false;
        }
    }
    available_->notify_one();
    return true;
}

bool OffloadPool::withdraw(PooledCall& call) noexcept {
    const std::scoped_lock lock(mutex_);
    return waiting_.remove(call);
}

void OffloadPool::serve() noexcept {
    std::unique_lock lock(mutex_);
    for (;;) {
        ++idle_;
        available_->wait(lock, [this] { return stopping_ || !waiting_.empty(); });
        --idle_;
        PooledCall* call = waiting_.pop();
        if (call == nullptr) {
            return;
        }
        lock.unlock();
        call->run_and_return();
        lock.lock();
    }
}

CallPool& OffloadWaitBase::pool() const {
    auto& worker = static_cast<Worker&>(task().executor());
    if (kind_ == CallKind::compute) {
        return worker.compute_pool();
    }
    return worker.offload_pool();
}

// A task's own thread is there to be blocked, and in a simulation nobody may do anything beside.
bool OffloadWaitBase::runs_here(const TaskRecord& record) noexcept {
    return record.kind() == TaskKind::thread ||
           static_cast<const Worker&>(record.executor()).is_simulated();
}

bool OffloadWaitBase::send() {
    Inbox* home = static_cast<Worker&>(task().executor()).inbox().get();
    if (home == nullptr) {
        return false;
    }
    set_home(*home);
    return pool().submit(*this);
}

bool OffloadWaitBase::suspend(PromiseBase& promise) {
    {
        const RuntimeLock lock;
        if (!begin(promise)) {
            refused_ = Error(CoreError::canceled);
            return false;
        }
    }
    if (runs_here(*promise.task)) {
        run();
        const RuntimeLock lock;
        end_here();
        return false;
    }
    if (!send()) {
        refused_ = Error(CoreError::limit_reached);
        wake();
    }
    return park();
}

void OffloadWaitBase::interrupt(CoreError /*reason*/) noexcept {
    if (!runs_here(task()) && pool().withdraw(*this)) {
        if (task().take_cancel()) {
            refused_ = Error(CoreError::canceled);
        }
        wake();
    }
}

} // namespace zsync
