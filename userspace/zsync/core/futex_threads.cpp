#include <zsync/core/futex_threads.hpp>

#include <linux/futex.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <unistd.h>

namespace zsync {

/// One thread and what it waits for.
class FutexThreads::Member {
public:
    explicit Member(OperationThreads& ended) noexcept : ended_(ended) {
        waits_.reserve(limits::futexes_per_thread_max);
    }
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;
    ~Member() {
        if (!home_.is_here()) {
            return;
        }
        {
            const std::scoped_lock lock(mutex_);
            stopping_ = true;
        }
        interrupt();
        thread_.join();
    }

    [[nodiscard]] bool start() noexcept {
        const auto body = [](void* argument) -> void* {
            static_cast<Member*>(argument)->serve();
            return nullptr;
        };
        return thread_.start("zsync-futex", body, this);
    }
    /// False when it is full.
    [[nodiscard]] bool add(OperationJob& job) noexcept {
        {
            const std::scoped_lock lock(mutex_);
            if (waits_.size() == limits::futexes_per_thread_max) {
                return false;
            }
            waits_.push_back({.job = &job});
        }
        interrupt();
        return true;
    }
    /// False when the job is another one's.
    [[nodiscard]] bool stop(const OperationJob& job) noexcept {
        {
            const std::scoped_lock lock(mutex_);
            const auto found = std::ranges::find(waits_, &job, &Wait::job);
            if (found == waits_.end()) {
                return false;
            }
            found->stopped = true;
        }
        interrupt();
        return true;
    }

private:
    struct Wait {
        OperationJob* job;
        bool begun = false; ///< the kernel has had it
        bool stopped = false;
    };
    static constexpr std::size_t words_max = limits::futexes_per_thread_max + 1;

    void interrupt() noexcept {
        word_.fetch_add(1);
        (void)::syscall(SYS_futex, &word_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }

    // The first word is this thread's own: the kernel tells of the last one that was woken.
    std::size_t fill(std::array<futex_waitv, words_max>& words) noexcept {
        words[0] = {
            .val = word_.load(),
            .uaddr = reinterpret_cast<std::uintptr_t>(&word_),
            .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG,
            .__reserved = 0,
        };
        std::size_t count = 1;
        for (const Wait& wait : waits_) {
            const OperationRequest& request = wait.job->request;
            words[count++] = {
                .val = request.offset,
                .uaddr = request.address,
                .flags = static_cast<std::uint32_t>(request.fd),
                .__reserved = 0,
            };
        }
        return count;
    }

    void serve() noexcept {
        std::array<futex_waitv, words_max> words{};
        std::unique_lock lock(mutex_);
        while (!stopping_) {
            const std::size_t count = fill(words);
            end_where([](const Wait& wait) { return wait.stopped; }, -ECANCELED);
            if (count != waits_.size() + 1) {
                continue; // the words are not theirs any more
            }
            lock.unlock();
            const long woken = ::syscall(SYS_futex_waitv, words.data(), count, 0, nullptr, 0);
            const int error = woken < 0 ? errno : 0;
            lock.lock();
            // Those that came meanwhile are behind the others.
            take_in(woken, error, count - 1);
        }
    }

    void take_in(long woken, int error, std::size_t waited_for) noexcept {
        const auto end = waits_.begin() + static_cast<std::ptrdiff_t>(waited_for);
        if (woken > 0) {
            std::for_each(waits_.begin(), end, [this](const Wait& wait) {
                ended_.end(*wait.job, 0);
            });
            waits_.erase(waits_.begin(), end);
            return;
        }
        if (error == EAGAIN) {
            // Some word has another value: for a wait that had begun that is as good as a wake.
            end_where([](const Wait& wait) { return has_changed(wait) && wait.begun; }, 0);
            end_where([](const Wait& wait) { return has_changed(wait); }, -EAGAIN);
        } else if (error != 0 && error != EINTR) {
            // One of them is no futex, and the kernel does not say which.
            end_where([](const Wait&) { return true; }, -error);
        }
        if (error == 0) {
            std::for_each(waits_.begin(), end, [](Wait& wait) { wait.begun = true; });
        }
    }

    static bool has_changed(const Wait& wait) noexcept {
        const OperationRequest& request = wait.job->request;
        const auto* word = std::bit_cast<const std::atomic<std::uint32_t>*>(request.address);
        return word->load() != static_cast<std::uint32_t>(request.offset);
    }

    template <class Which> void end_where(Which which, std::int32_t result) noexcept {
        std::erase_if(waits_, [&](const Wait& wait) {
            const bool ends = which(wait);
            if (ends) {
                ended_.end(*wait.job, result);
            }
            return ends;
        });
    }

    OperationThreads& ended_;
    std::mutex mutex_;
    std::vector<Wait> waits_;
    std::atomic<std::uint32_t> word_{0}; ///< another value interrupts the wait
    bool stopping_ = false;
    HomeProcess home_;
    PoolThread thread_;
};

FutexThreads::FutexThreads(OperationThreads& ended) noexcept : ended_(ended) {}

FutexThreads::~FutexThreads() = default;

bool FutexThreads::submit(OperationJob& job) noexcept {
    for (const std::unique_ptr<Member>& member : members_) {
        if (member->add(job)) {
            return true;
        }
    }
    auto member = std::make_unique<Member>(ended_);
    if (!member->start()) {
        return false;
    }
    const bool added = member->add(job);
    members_.push_back(std::move(member));
    return added;
}

void FutexThreads::stop(OperationJob& job) noexcept {
    for (const std::unique_ptr<Member>& member : members_) {
        if (member->stop(job)) {
            return;
        }
    }
}

} // namespace zsync
