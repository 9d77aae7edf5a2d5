// What is particular to an executor; what all have in common is in conformance/.
#include <zsync/core/blocking_executor.hpp>
#include <zsync/core/channel.hpp>
#include <zsync/core/failing_executor.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/join_set.hpp>
#include <zsync/core/mutex.hpp>
#include <zsync/core/notify.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/thread_executor.hpp>

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <fcntl.h>
#include <string_view>
#include <thread>
#include <unistd.h>

using namespace zsync;
using namespace std::chrono_literals;

namespace {

std::array<Fd, 2> pipe_pair() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    return {Fd(ends[0]), Fd(ends[1])};
}

template <class T> int errno_of(const Result<T>& result) {
    return result ? 0 : result.error().os_error();
}

Task<Result<void>> sleep_long(Io io) { co_return co_await io.sleep_for(24h); }

/// Until the task waits in the kernel or in a queue, by what the registry says of it.
Task<void> until_waiting(Io io, std::string_view name) {
    for (;;) {
        for (const TaskInfo& task : io.executor().tasks()) {
            if (task.name == name && task.state.starts_with("waiting")) {
                co_return;
            }
        }
        EXPECT_TRUE(co_await io.yield());
    }
}

} // namespace

TEST(ThreadExecutor, says_so_when_its_threads_are_used_up_and_runs_the_rest_inline) {
    struct Body {
        static Task<void> run(Io io) {
            auto first = io.concurrent("first", sleep_long, io);
            EXPECT_TRUE(first);
            if (!first) {
                co_return;
            }
            const auto second = io.concurrent(sleep_long, io);
            EXPECT_EQ(second.error(), Error(CoreError::concurrency_unavailable));
            const auto here = std::this_thread::get_id();
            auto inline_task = io.async([here] { return std::this_thread::get_id() == here; });
            EXPECT_TRUE(co_await inline_task);
            EXPECT_EQ((co_await first->cancel()).error(), Error(CoreError::canceled));
        }
    };
    auto executor = ThreadExecutor::create(1);
    ASSERT_TRUE(executor);
    const Io io = (*executor)->io();
    io.run("root", Body::run(io));
    io.run("root again", Body::run(io));
    EXPECT_EQ((*executor)->thread_count(), 1U);
}

TEST(ThreadExecutor, a_cancel_reaches_what_runs_inline_on_the_tasks_thread) {
    struct Body {
        static Task<Result<void>> outer(Io io) {
            auto inner = io.async("inner", sleep_long, io); // runs here, to its end
            co_return co_await inner;
        }
        static Task<void> run(Io io) {
            auto task = io.async("outer", outer, io);
            co_await until_waiting(io, "inner");
            EXPECT_EQ((co_await task.cancel()).error(), Error(CoreError::canceled));
        }
    };
    auto executor = ThreadExecutor::create(1);
    ASSERT_TRUE(executor);
    (*executor)->io().run("root", Body::run((*executor)->io()));
}

TEST(BlockingExecutor, refuses_concurrency_and_reports_a_wait_without_end) {
    struct Body {
        static Task<void> run(Io io) {
            EXPECT_EQ(
                io.concurrent(sleep_long, io).error(), Error(CoreError::concurrency_unavailable)
            );
            Notify never;
            EXPECT_EQ((co_await never.wait()).error(), Error(CoreError::deadlock));
            Channel<int> empty(1);
            EXPECT_EQ((co_await empty.receive()).error(), Error(CoreError::deadlock));
            Mutex mutex;
            const auto held = co_await mutex.lock();
            EXPECT_EQ((co_await mutex.lock()).error(), Error(CoreError::deadlock));
            auto done = io.async([] { return 1; });
            EXPECT_TRUE(done.is_finished());
            EXPECT_EQ(co_await done, 1);
        }
    };
    BlockingExecutor executor;
    executor.io().run("root", Body::run(executor.io()));
}

TEST(BlockingExecutor, a_task_that_waits_for_one_that_waits_for_it_gets_deadlock) {
    struct Body {
        static Task<Result<void>> join(Scope& scope) { co_return co_await scope.join(); }
        static Task<void> run(Io io) {
            Scope scope(io, "scope");
            Result<void> joined;
            scope.spawn("child", [&]() -> Task<void> { joined = co_await join(scope); });
            EXPECT_EQ(joined.error(), Error(CoreError::deadlock));
            EXPECT_TRUE(co_await scope.join());
            JoinSet<Result<int>> set(io);
            Result<Result<int>> next = 0;
            set.spawn([&]() -> Task<Result<int>> {
                next = co_await set.next();
                co_return 1;
            });
            EXPECT_EQ(next.error(), Error(CoreError::deadlock));
            EXPECT_EQ(**co_await set.next(), 1);
        }
    };
    BlockingExecutor executor;
    executor.io().run("root", Body::run(executor.io()));
}

TEST(FailingExecutor, fails_by_class_and_has_no_clock) {
    struct Body {
        static Task<void> run(Io io, FailingExecutor& executor) {
            const auto [out, in] = pipe_pair();
            EXPECT_EQ(
                (co_await io.write(in, Bytes::copy_of("x"))).count.error().os_error(), ENOSPC
            );
            const Result<Fd> down = co_await io.socket(AF_INET, SOCK_STREAM);
            EXPECT_EQ(errno_of(down), ENETDOWN);
            EXPECT_EQ(
                io.concurrent(sleep_long, io).error(), Error(CoreError::concurrency_unavailable)
            );
            EXPECT_EQ((co_await io.sleep_for(1h)).error(), Error(CoreError::unsupported));
            EXPECT_EQ(
                (co_await io.read(out, Bytes(1)).until(io.now() + 1h)).count.error(),
                Error(CoreError::unsupported)
            );
            EXPECT_EQ(io.now(), TimePoint{});
            executor.set_failure(OperationClass::file_write, 0);
            EXPECT_EQ((co_await io.write(in, Bytes::copy_of("x"))).count, 1U);
            executor.set_failure(OperationClass::file_read, EIO);
            EXPECT_EQ((co_await io.read(out, Bytes(1))).count.error().os_error(), EIO);
        }
    };
    FailingExecutor executor;
    executor.io().run("root", Body::run(executor.io(), executor));
}
