#include <zsync/core/probes.hpp>
#include <zsync/core/stall_detector.hpp>
#include <zsync/core/task_record.hpp>
#include <zsync/core/worker.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ranges>
#include <string_view>
#include <unistd.h>
#include <utility>

namespace zsync {
namespace {

constexpr Duration tick_period = std::chrono::microseconds(limits::stall_tick_us);

struct sigaction& previous_handler() noexcept {
    static struct sigaction previous{};
    return previous;
}

} // namespace

StallDetector::StallDetector(Duration limit, Report report, bool charges)
    : limit_(std::max(limit, 2 * tick_period)), report_(std::move(report)), charges_(charges) {}

void StallDetector::on_signal(int signal, siginfo_t* info, void* context) noexcept {
    if (info->si_code == SI_TIMER) {
        static_cast<StallDetector*>(info->si_value.sival_ptr)->tick();
        return;
    }
    const struct sigaction& previous = previous_handler();
    if ((previous.sa_flags & SA_SIGINFO) != 0) {
        previous.sa_sigaction(signal, info, context);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(signal);
    }
}

void StallDetector::install_handler() noexcept {
    [[maybe_unused]] static const bool installed = [] {
        struct sigaction action{};
        action.sa_sigaction = &on_signal;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
        sigemptyset(&action.sa_mask);
        return ::sigaction(SIGURG, &action, &previous_handler()) == 0;
    }();
}

void StallDetector::enter_thread(Worker& worker) {
    signal_stack_.emplace();
    install_handler();
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGURG);
    ::pthread_sigmask(SIG_UNBLOCK, &ours, nullptr);
    struct sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGURG;
    event.sigev_value.sival_ptr = this;
    event._sigev_un._tid = ::gettid();
    has_timer_ = ::timer_create(CLOCK_MONOTONIC, &event, &timer_) == 0;
    timer_error_ = has_timer_ ? 0 : errno;
    attend(worker);
}

void StallDetector::leave_thread() noexcept {
    if (std::exchange(has_timer_, false)) {
        // A tick that is on its way is delivered before this call returns to the thread.
        (void)::timer_delete(timer_);
    }
    attention_.store(false, std::memory_order_relaxed);
    signal_stack_.reset();
}

void StallDetector::set_timer(Duration period) noexcept {
    struct itimerspec times{};
    times.it_interval.tv_nsec = period.count();
    times.it_value = times.it_interval;
    (void)::timer_settime(timer_, 0, &times, nullptr);
}

void StallDetector::tick() noexcept {
    if (!has_timer_) {
        return;
    }
    const CycleClock::Cycles now = CycleClock::now();
    const CycleClock::Cycles passed = now - std::exchange(last_tick_, now);
    if (asleep_.load(std::memory_order_relaxed)) {
        set_timer(Duration(0));
        attention_.store(true, std::memory_order_relaxed);
        return;
    }
    TaskRecord* const record = TaskRecord::current();
    if (record == nullptr) {
        return;
    }
    if (charges_) {
        record->run_cycles_ += passed;
    }
    look_at(*record);
}

void StallDetector::look_at(TaskRecord& record) noexcept {
    const TimePoint now = Clock::now();
    if (current_.task != record.id_ || current_.resumes != record.resumes_) {
        current_ = {.task = record.id_, .resumes = record.resumes_, .first = now, .last = now};
        return;
    }
    current_.last = now;
    if (now - current_.first < limit_) {
        return;
    }
    Found* found = found_count_ != 0 ? &found_[found_count_ - 1] : nullptr;
    if (found == nullptr || found->held.task != current_.task ||
        found->held.resumes != current_.resumes) {
        if (found_count_ == found_.size()) {
            return;
        }
        found = &found_[found_count_++];
        const std::string_view name = record.name();
        found->name_bytes = std::min(name.size(), found->name.size());
        std::ranges::copy(name.substr(0, found->name_bytes), found->name.begin());
    }
    found->held = current_;
    attention_.store(true, std::memory_order_relaxed);
}

void StallDetector::rest() noexcept {
    if (has_timer_) {
        set_timer(Duration(0));
        attention_.store(true, std::memory_order_relaxed);
    }
}

void StallDetector::attend(Worker& worker) {
    if (!has_timer_) {
        return;
    }
    std::atomic_signal_fence(std::memory_order_seq_cst);
    attention_.store(false, std::memory_order_relaxed);
    last_tick_ = CycleClock::now();
    set_timer(tick_period);
    for (const Found& found : found_ | std::views::take(found_count_)) {
        ++stalls_;
        const Duration held = found.held.last - found.held.first + tick_period;
        ZSYNC_PROBE(
            stall, "8@%0 8@%1", ZSYNC_PROBE_VALUE(found.held.task), ZSYNC_PROBE_VALUE(held.count())
        );
        report_({
            .task = found.held.task,
            .name = std::string(found.name.data(), found.name_bytes),
            .until = worker.place_of_task(found.held.task),
            .held = held,
        });
    }
    found_count_ = 0;
}

} // namespace zsync
