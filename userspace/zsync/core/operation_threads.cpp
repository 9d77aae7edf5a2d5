#include <zsync/core/operation_threads.hpp>

#include <sys/eventfd.h>

#include <optional>
#include <utility>

namespace zsync {

OperationThreads::OperationThreads() noexcept
    : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), Fd::OfTheRuntime()) {}

OperationThreads::~OperationThreads() {
    if (!home_.is_here()) {
        return;
    }
    {
        const std::scoped_lock lock(mutex_);
        stopping_ = true;
    }
    available_->notify_all();
    for (std::unique_ptr<Member>& member : members_) {
        member.reset();
    }
}

bool OperationThreads::add_thread() noexcept {
    auto member = std::make_unique<Member>();
    member->pool = this;
    const auto body = [](void* argument) -> void* {
        auto& self = *static_cast<Member*>(argument);
        self.pool->serve(self);
        return nullptr;
    };
    if (!member->thread.start("zsync-operation", body, member.get())) {
        return false;
    }
    members_[threads_++] = std::move(member);
    return true;
}

bool OperationThreads::submit(OperationJob& job) noexcept {
    if (!event_) {
        return false;
    }
    {
        const std::scoped_lock lock(mutex_);
        if (idle_ <= waiting_ && threads_ < members_.size() && !add_thread() && threads_ == 0) {
            return false;
        }
        job.next = nullptr;
        *end_ = &job;
        end_ = &job.next;
        ++waiting_;
    }
    available_->notify_one();
    return true;
}

bool OperationThreads::stop(OperationJob& job) noexcept {
    const std::scoped_lock lock(mutex_);
    if (job.running != nullptr) {
        job.running->trigger();
        return false;
    }
    for (OperationJob** link = &first_; *link != nullptr; link = &(*link)->next) {
        if (*link == &job) {
            *link = job.next;
            if (end_ == &job.next) {
                end_ = link;
            }
            --waiting_;
            return true;
        }
    }
    return false; // it has ended
}

OperationJob* OperationThreads::take_ended() noexcept {
    eventfd_t count = 0;
    (void)::eventfd_read(event_.get(), &count);
    const std::scoped_lock lock(mutex_);
    return std::exchange(ended_, nullptr);
}

// Under the mutex.
void OperationThreads::put_ended(OperationJob& job, std::int32_t result) noexcept {
    job.result = result;
    job.next = ended_;
    ended_ = &job;
    (void)::eventfd_write(event_.get(), 1);
}

void OperationThreads::end(OperationJob& job, std::int32_t result) noexcept {
    const std::scoped_lock lock(mutex_);
    put_ended(job, result);
}

void OperationThreads::serve(Member& member) noexcept {
    std::unique_lock lock(mutex_);
    for (;;) {
        ++idle_;
        available_->wait(lock, [this] { return stopping_ || first_ != nullptr; });
        --idle_;
        if (first_ == nullptr) {
            return;
        }
        OperationJob& job = *first_;
        first_ = job.next;
        if (first_ == nullptr) {
            end_ = &first_;
        }
        --waiting_;
        job.running = &member.interrupt;
        lock.unlock();
        const std::int32_t result = carry_out(job.request, std::nullopt, &member.interrupt);
        lock.lock();
        job.running = nullptr;
        member.interrupt.clear();
        put_ended(job, result);
    }
}

} // namespace zsync
