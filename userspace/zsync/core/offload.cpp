#include <zsync/core/assert.hpp>
#include <zsync/core/offload.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/worker.hpp>

#include <sys/eventfd.h>

#include <cerrno>
#include <csignal>
#include <pthread.h>
#include <unistd.h>

namespace zsync {

OffloadPool::OffloadPool(Worker& worker) : worker_(worker), event_(::eventfd(0, EFD_CLOEXEC)) {
    ZASSERT(event_, "an eventfd can be made for the offload pool");
    listen();
}

OffloadPool::~OffloadPool() {
    {
        const std::scoped_lock lock(mutex_);
        stopping_ = true;
    }
    available_.notify_all();
    threads_.clear();
    // Ends the read on the eventfd, which refers to this object.
    worker_.queue().queue_cancel(*this);
    while (worker_.queue().in_flight() != 0) {
        worker_.queue().enter(true, std::nullopt);
        worker_.queue().deliver();
    }
}

void OffloadPool::listen() noexcept {
    worker_.queue().queue(
        {
            .opcode = Opcode::read,
            .fd = event_.get(),
            .address = reinterpret_cast<std::uintptr_t>(&event_count_),
            .length = sizeof event_count_,
        },
        *this
    );
}

bool OffloadPool::submit(OffloadCall& call) {
    {
        const std::scoped_lock lock(mutex_);
        if (waiting_count_ == limits::offload_queue_max) {
            return false;
        }
        ++waiting_count_;
        call.next = nullptr;
        if (waiting_last_ != nullptr) {
            waiting_last_->next = &call;
        } else {
            waiting_first_ = &call;
        }
        waiting_last_ = &call;
        if (idle_threads_ < waiting_count_ && threads_.size() < limits::offload_threads_max) {
            threads_.emplace_back([this] { serve(); });
        }
    }
    available_.notify_one();
    return true;
}

bool OffloadPool::withdraw(OffloadCall& call) noexcept {
    const std::scoped_lock lock(mutex_);
    OffloadCall* previous = nullptr;
    for (OffloadCall* at = waiting_first_; at != nullptr; previous = at, at = at->next) {
        if (at != &call) {
            continue;
        }
        (previous != nullptr ? previous->next : waiting_first_) = at->next;
        if (waiting_last_ == at) {
            waiting_last_ = previous;
        }
        --waiting_count_;
        return true;
    }
    return false;
}

void OffloadPool::serve() {
    pthread_setname_np(pthread_self(), "zsync-offload");
    // Signals are the worker's business.
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, nullptr);

    std::unique_lock lock(mutex_);
    for (;;) {
        ++idle_threads_;
        available_.wait(lock, [this] { return stopping_ || waiting_first_ != nullptr; });
        --idle_threads_;
        if (waiting_first_ == nullptr) {
            return;
        }
        OffloadCall& call = *waiting_first_;
        waiting_first_ = call.next;
        if (waiting_first_ == nullptr) {
            waiting_last_ = nullptr;
        }
        --waiting_count_;
        lock.unlock();
        call.run();
        lock.lock();
        call.next = returned_;
        returned_ = &call;
        const std::uint64_t one = 1;
        const ssize_t written = ::write(event_.get(), &one, sizeof one);
        ZASSERT(written == sizeof one, "an eventfd takes a one");
    }
}

void OffloadPool::complete(std::int32_t result, std::uint32_t /*flags*/) noexcept {
    if (result == -ECANCELED || result == -EINTR) {
        return;
    }
    ZASSERT(result == sizeof event_count_, "the eventfd of the offload pool can be read");
    listen();
    OffloadCall* returned = nullptr;
    {
        const std::scoped_lock lock(mutex_);
        returned = std::exchange(returned_, nullptr);
    }
    while (returned != nullptr) {
        OffloadCall* next = returned->next;
        returned->returned();
        returned = next;
    }
}

OffloadPool& OffloadWaitBase::pool() const {
    return static_cast<Worker&>(task().executor()).offload_pool();
}

// A task's own thread is there to be blocked, and in a simulation nobody may do anything beside.
bool OffloadWaitBase::runs_here(const TaskRecord& record) noexcept {
    return record.kind() == TaskKind::thread ||
           static_cast<const Worker&>(record.executor()).is_simulated();
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
    if (!pool().submit(*this)) {
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
