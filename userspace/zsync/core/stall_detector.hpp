// StallDetector: looks now and then which task has a worker's thread.
#pragma once

#include <zsync/core/cycle_clock.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/signal_stack.hpp>

#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <functional>
#include <optional>
#include <string>

namespace zsync {

class TaskRecord;
class Worker;

/// A task that held its worker for too long.
struct Stall {
    std::uint64_t task = 0;
    std::string name;  ///< its first `limits::stall_name_bytes_max` bytes
    std::string until; ///< file:line of the `co_await` where it waits after it; `its end`
    Duration held{};   ///< to within a tick
};

/// A timer that ticks on a worker's thread while that is busy: every tick charges the task that
/// runs with the time since the last, and sees whether it is still the same one at a stretch. A
/// resume pays nothing for it, and a worker that sleeps is not woken: the first tick that finds it
/// asleep stops the timer, and its next turn starts it again.
///
/// The tick is SIGURG, which is ignored where nobody asks for it, sent to the one thread
/// (timer_create(2), SIGEV_THREAD_ID); a handler that was there before is called for all others.
class StallDetector {
public:
    using Report = std::function<void(const Stall&)>;

    /// `limit` is raised to two ticks. `charges`: tasks' running time is counted here.
    StallDetector(Duration limit, Report report, bool charges);
    StallDetector(const StallDetector&) = delete;
    StallDetector& operator=(const StallDetector&) = delete;
    ~StallDetector() { leave_thread(); }

    /// The worker runs on the calling thread from here on, until `leave_thread`. Nothing is
    /// detected where the system gives no timer; `timer_error` tells.
    void enter_thread(Worker& worker);
    void leave_thread() noexcept;
    /// Why the system gave no timer (errno): EAGAIN where RLIMIT_SIGPENDING is used up. 0: it did,
    /// or has not been asked.
    [[nodiscard]] int timer_error() const noexcept { return timer_error_; }

    /// \name The worker's loop
    /// \{
    /// About to wait in the kernel, or back from there.
    void sleeps(bool asleep) noexcept { asleep_.store(asleep, std::memory_order_relaxed); }
    [[nodiscard]] bool wants_attention() const noexcept {
        return attention_.load(std::memory_order_relaxed);
    }
    /// Between two turns: reports what was found, and lets the timer tick.
    void attend(Worker& worker);
    /// The worker was back for nothing, which is how a tick in its sleep ends that: no more ticks
    /// until it is back for something.
    void rest() noexcept;
    /// \}

    [[nodiscard]] std::uint64_t stalls() const noexcept { return stalls_; }

private:
    struct Held {
        std::uint64_t task = 0;
        std::uint32_t resumes = 0; ///< tells one stretch of a task from its next
        TimePoint first;           ///< the first tick that saw it
        TimePoint last;
    };
    struct Found {
        Held held;
        std::array<char, limits::stall_name_bytes_max> name{};
        std::size_t name_bytes = 0;
    };

    static void on_signal(int signal, siginfo_t* info, void* context) noexcept;
    static void install_handler() noexcept;
    void tick() noexcept;
    void look_at(TaskRecord& record) noexcept;
    void set_timer(Duration period) noexcept;

    Duration limit_;
    Report report_;
    bool charges_;
    std::uint64_t stalls_ = 0;
    std::optional<SignalStack> signal_stack_;
    timer_t timer_{};
    bool has_timer_ = false;
    int timer_error_ = 0;
    std::atomic<bool> asleep_ = false;
    std::atomic<bool> attention_ = false;
    // The handler's; read by the loop while no task runs.
    CycleClock::Cycles last_tick_ = 0;
    Held current_;
    std::array<Found, limits::stalls_per_turn_max> found_{};
    std::size_t found_count_ = 0;
};

} // namespace zsync
