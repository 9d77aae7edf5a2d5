#include <zsync/core/frame_pool.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/scheduling.hpp>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <format>
#include <sched.h>

namespace zsync {
namespace {

constexpr Duration kernel_runtime_min = std::chrono::nanoseconds(1024); // sched(7)

std::uint64_t nanoseconds(Duration duration) {
    return static_cast<std::uint64_t>(std::chrono::nanoseconds(duration).count());
}

std::string_view name_of(Scheduling::Policy policy) {
    switch (policy) {
    case Scheduling::Policy::fair:
        return "SCHED_OTHER";
    case Scheduling::Policy::fifo:
        return "SCHED_FIFO";
    case Scheduling::Policy::round_robin:
        return "SCHED_RR";
    case Scheduling::Policy::deadline:
        return "SCHED_DEADLINE";
    }
    return "unknown";
}

std::string refusal(const Scheduling& asked, int error) {
    const std::string_view name = name_of(asked.policy);
    const bool deadline = asked.policy == Scheduling::Policy::deadline;
    if (error == EBUSY && deadline) {
        return std::format(
            "the kernel admits no thread of {:.0f} % of a processor to {}: with those that it has "
            "promised time to, that is more than kernel.sched_rt_runtime_us leaves",
            asked.capacity() * 100,
            name
        );
    }
    if (error == EPERM && deadline) {
        return std::format(
            "{} is refused: it needs CAP_SYS_NICE, and a thread that may use every processor of "
            "its root domain",
            name
        );
    }
    if (error == EPERM) {
        return std::format(
            "{} {} is refused: it needs CAP_SYS_NICE, or RLIMIT_RTPRIO of {} (LimitRTPRIO=)",
            name,
            asked.priority,
            asked.priority
        );
    }
    return std::format("sched_setattr to {}: {}", name, os_error(error).message());
}

/// Touches each page below the current frame, as calls going deeper will.
[[gnu::noinline]] void prefault_stack() {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): written below, a byte a page
    std::array<volatile char, limits::prefault_stack_bytes> below;
    for (std::size_t at = 0; at < below.size(); at += 4096) {
        below[at] = 0;
    }
}

void prefault_frames() {
    struct Kept {
        Kept* next;
    };
    for (std::size_t bytes = 16; bytes <= limits::prefault_frame_bytes_max; bytes += 16) {
        Kept* kept = nullptr;
        for (std::uint32_t n = 0; n < limits::prefault_frames; ++n) {
            void* frame = allocate_frame(bytes, FrameUse::operation);
            std::memset(frame, 0, bytes);
            kept = new (frame) Kept{kept};
        }
        while (kept != nullptr) {
            Kept* next = kept->next;
            free_frame(kept, bytes);
            kept = next;
        }
    }
}

} // namespace

Outcome<void> Scheduling::check() const {
    const auto wrong = [](std::string words) {
        return fail(CoreError::invalid_argument, std::move(words));
    };
    const bool by_priority = policy == Policy::fifo || policy == Policy::round_robin;
    if (by_priority && (priority < 1 || priority > 99)) {
        return wrong(std::format("{} {}: priorities are 1 to 99", name_of(policy), priority));
    }
    if (!by_priority && priority != 0) {
        return wrong(std::format("{} has no priority", name_of(policy)));
    }
    if (policy != Policy::deadline) {
        return {};
    }
    const Duration due = deadline == Duration() ? period : deadline;
    if (runtime < kernel_runtime_min || runtime > due || due > period) {
        return wrong(std::format(
            "SCHED_DEADLINE with runtime {}, deadline {}, period {}: it must be 1024ns <= runtime "
            "<= deadline <= period",
            runtime,
            due,
            period
        ));
    }
    return {};
}

Outcome<void> Scheduling::apply() const {
    ZTRY(check());
    sched_attr wanted{};
    wanted.size = sizeof wanted;
    // A thread that may not fork could not have the kernel make its io_uring workers either.
    wanted.sched_flags = SCHED_FLAG_RESET_ON_FORK;
    wanted.sched_priority = static_cast<std::uint32_t>(priority);
    switch (policy) {
    case Policy::fair:
        return {};
    case Policy::fifo:
        wanted.sched_policy = SCHED_FIFO;
        break;
    case Policy::round_robin:
        wanted.sched_policy = SCHED_RR;
        break;
    case Policy::deadline:
        wanted.sched_policy = SCHED_DEADLINE;
        wanted.sched_runtime = nanoseconds(runtime);
        wanted.sched_deadline = nanoseconds(deadline == Duration() ? period : deadline);
        wanted.sched_period = nanoseconds(period);
        break;
    }
    if (::sched_setattr(0, &wanted, 0) != 0) {
        const int error = errno;
        return fail(os_error(error), refusal(*this, error));
    }
    // Else the kernel may let timers of the thread be 50 us late to save wake-ups.
    (void)::prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    return {};
}

Outcome<void> lock_memory() {
    // What is mapped now is read in and locked; what is mapped later is locked when it is touched,
    // or every stack of every thread would take its full size.
    if (::mlockall(MCL_CURRENT) != 0 || ::mlockall(MCL_FUTURE | MCL_ONFAULT) != 0) {
        const Error error = os_error(errno);
        rlimit limit{};
        (void)::getrlimit(RLIMIT_MEMLOCK, &limit);
        return fail(
            error,
            std::format(
                "memory cannot be locked: {}; it needs CAP_IPC_LOCK, or RLIMIT_MEMLOCK above the "
                "{} KiB allowed here (LimitMEMLOCK=)",
                error.message(),
                limit.rlim_cur / 1024
            )
        );
    }
    prefault_stack();
    prefault_frames();
    return {};
}

} // namespace zsync
