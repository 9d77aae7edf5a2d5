// Workers under the kernel's real-time policies, beside fair ones.
#include <zsync/core/frame_pool.hpp>
#include <zsync/core/real_time_task.hpp>
#include <zsync/core/scheduling.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/worker.hpp>
#include <zsync/core/worker_group.hpp>

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <array>
#include <chrono>
#include <fstream>
#include <memory>
#include <sched.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

namespace zsync {
namespace {

using namespace std::chrono_literals;
using Policy = Scheduling::Policy;

WorkerOptions options(Scheduling scheduling) {
    return {.name = "real-time", .cpu = {}, .scheduling = scheduling};
}

sched_attr attributes(Io /*io*/) {
    sched_attr found{};
    EXPECT_EQ(::sched_getattr(0, &found, sizeof found, 0), 0);
    return found;
}

TEST(RealTimePolicy, workers_of_all_policies_live_side_by_side) {
    const auto made = WorkerGroup::create({
        options({}),
        options({.policy = Policy::fifo, .priority = 10}),
        options({.policy = Policy::round_robin, .priority = 20}),
        options({.policy = Policy::deadline, .runtime = 1ms, .deadline = 5ms, .period = 10ms}),
    });
    ASSERT_TRUE(made) << made.error().message();
    struct Body {
        static Task<Result<void>> run(Io /*io*/, WorkerGroup& group) {
            std::vector<sched_attr> found;
            for (std::size_t n = 0; n < group.size(); ++n) {
                ZCO_TRY(found.emplace_back(), co_await group[n].call("attributes", attributes));
            }
            EXPECT_EQ(found[0].sched_policy, std::uint32_t{SCHED_OTHER});
            EXPECT_EQ(found[1].sched_policy, std::uint32_t{SCHED_FIFO});
            EXPECT_EQ(found[1].sched_priority, 10U);
            EXPECT_EQ(found[2].sched_policy, std::uint32_t{SCHED_RR});
            EXPECT_EQ(found[2].sched_priority, 20U);
            EXPECT_EQ(found[3].sched_policy, std::uint32_t{SCHED_DEADLINE});
            EXPECT_EQ(found[3].sched_runtime, 1'000'000U);
            EXPECT_EQ(found[3].sched_deadline, 5'000'000U);
            EXPECT_EQ(found[3].sched_period, 10'000'000U);
            // Each calls the next, and the last the first.
            for (std::size_t n = 0; n < group.size(); ++n) {
                const WorkerAddress next = group[(n + 1) % group.size()];
                EXPECT_TRUE(co_await group[n].call("ask", &ask, next));
            }
            // A worker under SCHED_DEADLINE promises no more than its own share.
            const auto refused = co_await group[3].call("promise", &promise, Duration(2ms));
            EXPECT_EQ(refused.error().error, Error(CoreError::limit_reached));
            EXPECT_TRUE(co_await group[3].call("promise", &promise, Duration(1ms)));
            EXPECT_TRUE(co_await group[1].call("promise", &promise, Duration(2ms)));
            co_return {};
        }
        static Task<Result<void>> ask(Io /*io*/, WorkerAddress next) {
            ZCO_CHECK(co_await next.call("attributes", attributes));
            co_return {};
        }
        static Outcome<void> promise(Io io, Duration budget) {
            ZTRY(RealTimeTask::enter(io, {.period = 10ms, .budget = budget}));
            return {};
        }
    };
    const auto here = *Worker::create();
    EXPECT_TRUE(here->run("test", Body::run(here->io(), **made)));
}

TEST(RealTimePolicy, threads_that_a_real_time_worker_makes_are_fair) {
    const auto group = *WorkerGroup::create({options({.policy = Policy::fifo, .priority = 10})});
    struct Body {
        static Task<Result<void>> run(Io io) {
            EXPECT_EQ(::sched_getscheduler(0) & ~SCHED_RESET_ON_FORK, SCHED_FIFO);
            EXPECT_EQ(co_await io.offload([] { return ::sched_getscheduler(0); }), SCHED_OTHER);
            EXPECT_EQ(co_await io.compute([] { return ::sched_getscheduler(0); }), SCHED_BATCH);
            co_return {};
        }
    };
    const auto here = *Worker::create();
    EXPECT_TRUE(here->run("test", (*group)[0].task("threads", &Body::run)));
}

TEST(RealTimePolicy, the_kernels_own_admission_is_reported_in_words_and_leaves_no_worker) {
    int runtime_us = 0;
    std::ifstream("/proc/sys/kernel/sched_rt_runtime_us") >> runtime_us;
    ASSERT_GT(runtime_us, 0) << "this kernel admits any number of deadline threads";
    // One more of 90 % each than there are processors.
    const std::vector<WorkerOptions> too_many(
        std::thread::hardware_concurrency() + 1,
        options({.policy = Policy::deadline, .runtime = 9ms, .period = 10ms})
    );
    for (int n = 0; n < 2; ++n) { // the refused ones have given back what they had
        const auto refused = WorkerGroup::create(too_many);
        ASSERT_FALSE(refused);
        EXPECT_EQ(refused.error().error, os_error(EBUSY));
        EXPECT_NE(
            refused.error().message().find(
                ": the kernel admits no thread of 90 % of a processor to SCHED_DEADLINE: with "
                "those "
                "that it has promised time to, that is more than kernel.sched_rt_runtime_us leaves"
            ),
            std::string::npos
        ) << refused.error().message();
    }
    const auto pinned = WorkerGroup::create({WorkerOptions{
        .name = "pinned",
        .cpu = 0,
        .scheduling = {.policy = Policy::deadline, .runtime = 1ms, .period = 10ms},
    }});
    EXPECT_EQ(pinned.error().error, Error(CoreError::invalid_argument));
}

/// Takes a capability from the calling thread.
void drop(unsigned capability) {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    std::array<__user_cap_data_struct, 2> data{};
    ASSERT_EQ(::syscall(SYS_capget, &header, data.data()), 0);
    data[0].effective &= ~(1U << capability);
    ASSERT_EQ(::syscall(SYS_capset, &header, data.data()), 0);
}

TEST(RealTimePolicy, a_missing_privilege_is_named) {
    std::thread([] {
        drop(CAP_SYS_NICE);
        const rlimit none{.rlim_cur = 0, .rlim_max = 0};
        ASSERT_EQ(::setrlimit(RLIMIT_RTPRIO, &none), 0);
        const auto fifo = WorkerGroup::create({options({.policy = Policy::fifo, .priority = 7})});
        ASSERT_FALSE(fifo);
        EXPECT_EQ(fifo.error().error, os_error(EPERM));
        EXPECT_EQ(
            fifo.error().message(),
            "worker 0: SCHED_FIFO 7 is refused: it needs CAP_SYS_NICE, or RLIMIT_RTPRIO of 7 "
            "(LimitRTPRIO=)"
        );
    }).join();
}

#ifndef ZSYNC_SANITIZED // they make mlockall do nothing, and frames come from the heap

TEST(RealTimePolicy, memory_that_may_not_be_locked_is_said_so) {
    std::thread([] {
        drop(CAP_IPC_LOCK);
        const rlimit little{.rlim_cur = 64 * 1024, .rlim_max = 64 * 1024};
        ASSERT_EQ(::setrlimit(RLIMIT_MEMLOCK, &little), 0);
        const auto refused = WorkerGroup::create({options({.lock_memory = true})});
        ASSERT_FALSE(refused);
        EXPECT_NE(
            refused.error().message().find("RLIMIT_MEMLOCK above the 64 KiB allowed here"),
            std::string::npos
        ) << refused.error().message();
    }).join();
}

struct Faults {
    long minor = 0;
    long major = 0;
    std::uint64_t heap_frames = 0;

    static Faults now() {
        rusage used{};
        EXPECT_EQ(::getrusage(RUSAGE_THREAD, &used), 0);
        return {used.ru_minflt, used.ru_majflt, frame_pool_stats().heap};
    }
};

Task<Result<void>> yield_often(Io io) {
    for (int n = 0; n < 10; ++n) {
        ZCO_CHECK(co_await io.yield());
    }
    co_return {};
}

Task<Result<Faults>> work(Io io) {
    const Faults before = Faults::now();
    const Outcome<RealTimeTask> self = RealTimeTask::enter(io, {.priority = 5});
    Scope scope(io, "scope");
    for (int n = 0; n < 200; ++n) {
        ZCO_CHECK(co_await io.sleep_for(50us));
        scope.spawn("yields", yield_often(io));
        ZCO_CHECK(co_await scope.join());
    }
    const Faults after = Faults::now();
    co_return Faults{
        .minor = after.minor - before.minor,
        .major = after.major - before.major,
        .heap_frames = after.heap_frames - before.heap_frames,
    };
}

TEST(RealTimePolicy, with_memory_locked_nothing_faults_and_nothing_is_allocated_after_the_start) {
    const auto made =
        WorkerGroup::create({options({.policy = Policy::fifo, .priority = 10, .lock_memory = true})}
        );
    ASSERT_TRUE(made) << made.error().message();
    const auto here = *Worker::create();
    const Result<Faults> faults = here->run("test", (**made)[0].task("work", work));
    ASSERT_TRUE(faults) << faults.error().message();
    EXPECT_EQ(faults->minor, 0);
    EXPECT_EQ(faults->major, 0);
    EXPECT_EQ(faults->heap_frames, 0U);
    EXPECT_EQ(::munlockall(), 0);
}

#endif

} // namespace
} // namespace zsync
