// CallPool: threads that make calls for tasks.
#pragma once

#include <zsync/core/inbox.hpp>

#include <cstddef>
#include <utility>

namespace zsync {

/// One call on its way to a thread and back to the task that waits for it, in whose frame it lies.
class PooledCall : public Message {
public:
    /// On the pool's thread.
    virtual void run() noexcept = 0;
    /// Runs and goes home. Not touched there any more.
    void run_and_return() noexcept {
        Inbox& home = *home_;
        run();
        home.post_to_waiting(*this);
    }
    void set_home(Inbox& home) noexcept { home_ = &home; }

protected:
    ~PooledCall() = default;

private:
    friend class CallQueue;
    Inbox* home_ = nullptr;
    PooledCall* following_ = nullptr;
    PooledCall* before_ = nullptr;
    bool queued_ = false;
};

/// Calls that wait for a thread, the oldest first. Guarded by its pool's lock.
class CallQueue {
public:
    explicit CallQueue(std::size_t count_max) noexcept : count_max_(count_max) {}

    [[nodiscard]] bool empty() const noexcept { return first_ == nullptr; }
    [[nodiscard]] std::size_t size() const noexcept { return count_; }
    /// False when it is full.
    [[nodiscard]] bool push(PooledCall& call) noexcept {
        if (count_ == count_max_) {
            return false;
        }
        ++count_;
        call.queued_ = true;
        call.following_ = nullptr;
        call.before_ = last_;
        (last_ != nullptr ? last_->following_ : first_) = &call;
        last_ = &call;
        return true;
    }
    [[nodiscard]] PooledCall* pop() noexcept {
        PooledCall* first = first_;
        return first != nullptr && remove(*first) ? first : nullptr;
    }
    /// False when it is not there.
    bool remove(PooledCall& call) noexcept {
        if (!std::exchange(call.queued_, false)) {
            return false;
        }
        --count_;
        (call.before_ != nullptr ? call.before_->following_ : first_) = call.following_;
        (call.following_ != nullptr ? call.following_->before_ : last_) = call.before_;
        return true;
    }

private:
    std::size_t count_max_;
    std::size_t count_ = 0;
    PooledCall* first_ = nullptr;
    PooledCall* last_ = nullptr;
};

/// Threads that make calls in the order in which they come.
class CallPool {
public:
    CallPool() = default;
    CallPool(const CallPool&) = delete;
    CallPool& operator=(const CallPool&) = delete;

    /// From any thread. False when too many calls are waiting, or no thread can be had.
    [[nodiscard]] virtual bool submit(PooledCall& call) = 0;
    /// Takes back a call that no thread has begun. False when it is too late.
    [[nodiscard]] virtual bool withdraw(PooledCall& call) noexcept = 0;

protected:
    ~CallPool() = default;
};

} // namespace zsync
