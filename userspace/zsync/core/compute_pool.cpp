#include <zsync/core/assert.hpp>
#include <zsync/core/compute_pool.hpp>
#include <zsync/core/processors.hpp>
#include <zsync/core/work_deque.hpp>

#include <algorithm>
#include <pthread.h>

namespace zsync {

/// A thread and what it has forked.
class ComputePool::Member {
public:
    Member(ComputePool& of, std::uint32_t index) noexcept : pool(of), number(index) {}

    static thread_local constinit Member* current;

    WorkDeque<Fork, limits::forks_max> forks;
    ComputePool& pool;
    std::atomic<std::uint64_t> forked{0}; ///< written by this thread only
    std::atomic<std::uint64_t> stolen{0}; ///< the same: from others
    PoolThread thread;
    std::uint32_t number;

    static void count(std::atomic<std::uint64_t>& counter) noexcept {
        counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
};
thread_local constinit ComputePool::Member* ComputePool::Member::current = nullptr;

ComputePool::ComputePool(std::uint32_t threads_max) {
    ZASSERT(
        threads_max >= 1 && threads_max <= limits::compute_threads_max,
        "a compute pool has 1 to compute_threads_max threads"
    );
    for (std::uint32_t n = 0; n < threads_max; ++n) {
        members_.push_back(std::make_unique<Member>(*this, n));
    }
}

ComputePool::~ComputePool() {
    if (!home_.is_here()) {
        return;
    }
    {
        const std::scoped_lock lock(mutex_);
        stopping_ = true;
    }
    available_->notify_all();
    for (const std::unique_ptr<Member>& member : members_) {
        member->thread.join();
    }
}

namespace {

/// A forked child has its parent's memory but none of its threads. It leaves the parent's pool as
/// it is, also at its end, and makes one of its own when it needs one.
class SharedPool {
public:
    SharedPool() { (void)::pthread_atfork(nullptr, nullptr, &leave_to_parent); }
    SharedPool(const SharedPool&) = delete;
    SharedPool& operator=(const SharedPool&) = delete;
    ~SharedPool() { delete pool_.exchange(nullptr); }

    ComputePool& get() {
        ComputePool* pool = pool_.load(std::memory_order_acquire);
        if (pool == nullptr) {
            auto made = std::make_unique<ComputePool>(
                std::min(usable_processors(), limits::compute_threads_max)
            );
            // Another thread may have been first.
            if (pool_.compare_exchange_strong(pool, made.get(), std::memory_order_acq_rel)) {
                pool = made.release();
            }
        }
        return *pool;
    }

private:
    static void leave_to_parent() noexcept { pool_.store(nullptr); }

    static std::atomic<ComputePool*> pool_;
};
std::atomic<ComputePool*> SharedPool::pool_{nullptr};

} // namespace

ComputePool& ComputePool::shared() {
    static SharedPool shared;
    return shared.get();
}

bool ComputePool::add_thread() noexcept {
    Member& member = *members_[started_.load(std::memory_order_relaxed)];
    const auto body = [](void* argument) -> void* {
        auto& self = *static_cast<Member*>(argument);
        self.pool.serve(self);
        return nullptr;
    };
    if (!member.thread.start("zsync-compute", body, &member)) {
        return false;
    }
    started_.fetch_add(1, std::memory_order_release);
    return true;
}

bool ComputePool::submit(PooledCall& call) {
    {
        const std::scoped_lock lock(mutex_);
        const std::uint32_t started = started_.load(std::memory_order_relaxed);
        const bool wants_thread = resting_ <= waiting_.size() && started < members_.size();
        if (wants_thread && !add_thread() && started == 0) {
            return false;
        }
        if (!waiting_.push(call)) {
            return false;
        }
    }
    available_->notify_one();
    return true;
}

bool ComputePool::withdraw(PooledCall& call) noexcept {
    const std::scoped_lock lock(mutex_);
    return waiting_.remove(call);
}

ComputePoolStats ComputePool::stats() const noexcept {
    const std::scoped_lock lock(mutex_);
    ComputePoolStats stats{.threads = started_.load(std::memory_order_relaxed), .calls = calls_};
    for (const std::unique_ptr<Member>& member : members_) {
        stats.forks += member->forked.load(std::memory_order_relaxed);
        stats.steals += member->stolen.load(std::memory_order_relaxed);
    }
    return stats;
}

void ComputePool::serve(Member& member) noexcept {
    Member::current = &member;
    // Workers, who are woken to answer, come before what only computes; and a real-time worker that
    // started this thread does not pass its priority on. Refused, it runs as any other thread.
    const sched_param none{};
    (void)::sched_setscheduler(0, SCHED_BATCH, &none);

    std::unique_lock lock(mutex_);
    for (;;) {
        // What has been begun is finished before something new is.
        lock.unlock();
        while (Fork* fork = steal(member)) {
            run_stolen(member, *fork);
        }
        lock.lock();
        if (PooledCall* call = waiting_.pop()) {
            ++calls_;
            lock.unlock();
            call->run_and_return();
            lock.lock();
            continue;
        }
        if (stopping_) {
            return;
        }
        // Says that it sleeps, then looks once more: who forks looks in the other order.
        idle_.fetch_add(1, std::memory_order_seq_cst);
        ++resting_;
        while (!stopping_ && waiting_.empty() && !has_forks()) {
            available_->wait(lock);
        }
        --resting_;
        idle_.fetch_sub(1, std::memory_order_relaxed);
    }
}

bool ComputePool::has_forks() const noexcept {
    const std::uint32_t started = started_.load(std::memory_order_acquire);
    return std::any_of(members_.begin(), members_.begin() + started, [](const auto& member) {
        return !member->forks.empty();
    });
}

Fork* ComputePool::steal(const Member& thief) noexcept {
    const std::uint32_t started = started_.load(std::memory_order_acquire);
    for (std::uint32_t n = 1; n < started; ++n) {
        if (Fork* fork = members_[(thief.number + n) % started]->forks.steal()) {
            return fork;
        }
    }
    return nullptr;
}

void ComputePool::run_stolen(Member& member, Fork& fork) noexcept {
    Member::count(member.stolen);
    fork.run();
    if (fork.state_.exchange(Fork::State::done, std::memory_order_acq_rel) ==
        Fork::State::awaited) {
        // The fork may be gone; who waited for it looks again.
        {
            const std::scoped_lock lock(mutex_);
        }
        joined_->notify_all();
    }
}

bool ComputePool::is_here() noexcept { return Member::current != nullptr; }

bool ComputePool::offer(Fork& fork) noexcept {
    Member& member = *Member::current;
    if (!member.forks.push(fork)) {
        return false;
    }
    Member::count(member.forked);
    if (member.pool.idle_.load(std::memory_order_seq_cst) != 0 ||
        member.pool.started_.load(std::memory_order_relaxed) < member.pool.members_.size())
        [[unlikely]] {
        member.pool.wake_for_fork();
    }
    return true;
}

void ComputePool::wake_for_fork() noexcept {
    const std::scoped_lock lock(mutex_);
    if (resting_ != 0) {
        available_->notify_one();
    } else if (idle_.load(std::memory_order_relaxed) != 0) {
        joined_->notify_one();
    } else if (started_.load(std::memory_order_relaxed) < members_.size()) {
        (void)add_thread(); // it looks for forks first
    }
}

void ComputePool::finish(Fork& fork) noexcept {
    Member& member = *Member::current;
    // Forks end in the opposite order, so what is left at this end is this one, or nothing.
    if (Fork* mine = member.forks.pop()) {
        mine->run();
        return;
    }
    while (fork.state_.load(std::memory_order_acquire) != Fork::State::done) {
        if (Fork* other = member.pool.steal(member)) {
            member.pool.run_stolen(member, *other);
        } else {
            member.pool.wait_for(fork);
        }
    }
}

void ComputePool::wait_for(Fork& fork) noexcept {
    std::unique_lock lock(mutex_);
    Fork::State running = Fork::State::running;
    if (!fork.state_.compare_exchange_strong(
            running, Fork::State::awaited, std::memory_order_acq_rel
        ) &&
        running == Fork::State::done) {
        return;
    }
    idle_.fetch_add(1, std::memory_order_seq_cst);
    while (fork.state_.load(std::memory_order_acquire) != Fork::State::done && !has_forks()) {
        joined_->wait(lock);
    }
    idle_.fetch_sub(1, std::memory_order_relaxed);
}

} // namespace zsync
