#include <zsync/core/io.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/worker.hpp>

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <array>
#include <chrono>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <unistd.h>
#include <vector>

using namespace zsync;
using namespace std::chrono_literals;

namespace {

std::unique_ptr<Worker> make_worker() {
    auto worker = Worker::create();
    if (!worker) {
        ADD_FAILURE() << worker.error().message();
        std::abort();
    }
    return *std::move(worker);
}

struct Pipe {
    Fd reader;
    Fd writer;
};

Pipe make_pipe() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    return {.reader = Fd(ends[0]), .writer = Fd(ends[1])};
}

std::array<Fd, 2> make_socket_pair() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    return {Fd(ends[0]), Fd(ends[1])};
}

Task<Result<int>> add(int a, int b) { co_return a + b; }

Task<Result<int>> add_three(int a, int b, int c) {
    ZCO_TRY(const int ab, co_await add(a, b));
    ZCO_TRY(const int abc, co_await add(ab, c));
    co_return abc;
}

#ifndef ZSYNC_SANITIZED
Task<int> count_down(int depth) {
    if (depth == 0) {
        co_return 0;
    }
    co_return 1 + co_await count_down(depth - 1);
}
#endif

Task<Result<void>> sleep_forever(Io io) { co_return co_await io.sleep_for(24h); }

Task<Result<void>> fail_after(Io io, Duration delay, Error error) {
    ZCO_CHECK(co_await io.sleep_for(delay));
    co_return fail(error);
}

Task<Result<void>> start_one_and_fail(Scope& scope, Io io) {
    scope.spawn("sleeper", sleep_forever(io));
    co_return fail(CoreError::closed);
}

Task<void> note(Io io, std::vector<int>& order, int n) {
    order.push_back(n);
    (void)co_await io.yield();
    order.push_back(n + 10);
}

} // namespace

TEST(Task, awaits_children_and_passes_errors_up) {
    const auto worker = make_worker();
    EXPECT_EQ(worker->run("sum", add_three(1, 2, 3)), 6);
    EXPECT_EQ(worker->task_count(), 0U);
}

// Sanitizer builds neither pool frames nor turn symmetric transfer into a tail call.
#ifndef ZSYNC_SANITIZED
TEST(Task, frames_are_reused) {
    const auto worker = make_worker();
    (void)worker->run("warm", add_three(1, 2, 3));
    const std::uint64_t before = frame_pool_stats().heap;
    const std::uint64_t live = frame_pool_stats().live;
    for (int i = 0; i < 100; ++i) {
        (void)worker->run("sum", add_three(1, 2, 3));
    }
    EXPECT_EQ(frame_pool_stats().heap, before);
    EXPECT_EQ(frame_pool_stats().live, live);
}

TEST(Task, deep_chains_do_not_grow_the_stack_when_they_end) {
    const auto worker = make_worker();
    EXPECT_EQ(worker->run("deep", count_down(100000)), 100000);
}

#endif

TEST(Scope, children_take_turns) {
    const auto worker = make_worker();
    std::vector<int> order;
    struct Body {
        static Task<Result<void>> run(Io io, std::vector<int>& order) {
            Scope scope(io, "scope");
            scope.spawn("one", note(io, order, 1));
            scope.spawn("two", note(io, order, 2));
            EXPECT_EQ(scope.size(), 2U);
            co_return co_await scope.join();
        }
    };
    EXPECT_TRUE(worker->run("root", Body::run(worker->io(), order)));
    EXPECT_EQ(order, (std::vector{1, 2, 11, 12}));
}

TEST(Scope, first_failure_cancels_siblings_and_is_returned) {
    const auto worker = make_worker();
    struct Body {
        static Task<Result<void>> run(Io io) {
            Scope scope(io, "scope");
            scope.spawn("sleeper", sleep_forever(io));
            scope.spawn("failing", fail_after(io, 1ms, Error(CoreError::closed)));
            co_return co_await scope.join();
        }
    };
    EXPECT_EQ(worker->run("root", Body::run(worker->io())).error(), Error(CoreError::closed));
}

TEST(Scope, body_that_returns_early_takes_its_children_along) {
    const auto worker = make_worker();
    const Io io = worker->io();
    const auto result = worker->run("root", in_scope(io, "scope", &start_one_and_fail, io));
    EXPECT_EQ(result.error(), Error(CoreError::closed));
}

TEST(Scope, canceling_the_joiner_reaches_grandchildren_and_is_delivered_once) {
    const auto worker = make_worker();
    struct Body {
        static Task<Result<void>> middle(Io io) {
            Scope scope(io, "inner");
            scope.spawn("grandchild", sleep_forever(io));
            const Result<void> joined = co_await scope.join();
            EXPECT_EQ(joined.error(), Error(CoreError::canceled));
            // The cancel has been delivered: what follows runs undisturbed.
            EXPECT_TRUE(co_await io.sleep_for(1ms));
            co_return joined;
        }
        static Task<Result<void>> run(Io io) {
            Scope scope(io, "outer");
            TaskRef child = scope.spawn("middle", middle(io));
            ZCO_CHECK(co_await io.sleep_for(1ms));
            EXPECT_EQ(io.executor().task_count(), 3U);
            child.request_cancel();
            co_return co_await scope.join();
        }
    };
    EXPECT_TRUE(worker->run("root", Body::run(worker->io())));
    EXPECT_EQ(worker->task_count(), 0U);
}

TEST(Scope, spawning_into_a_canceled_scope_starts_canceled) {
    const auto worker = make_worker();
    struct Body {
        static Task<Result<void>> run(Io io) {
            Scope scope(io, "scope");
            scope.cancel();
            scope.spawn("sleeper", sleep_forever(io));
            co_return co_await scope.join();
        }
    };
    EXPECT_TRUE(worker->run("root", Body::run(worker->io())));
}

TEST(Registry, knows_every_task_its_parent_and_where_it_waits) {
    const auto worker = make_worker();
    struct Body {
        static Task<Result<void>> run(Io io) {
            Scope scope(io, "scope");
            scope.spawn("sleeper", sleep_forever(io));
            ZCO_CHECK(co_await io.yield());
            const std::vector<TaskInfo> tasks = io.executor().tasks();
            EXPECT_EQ(tasks.size(), 2U);
            EXPECT_EQ(tasks[0].name, "root");
            EXPECT_EQ(tasks[0].state, "running");
            EXPECT_EQ(tasks[1].name, "sleeper");
            EXPECT_EQ(tasks[1].parent, tasks[0].id);
            EXPECT_EQ(tasks[1].state, "waiting: sleep");
            EXPECT_NE(tasks[1].where.find("task_test.cpp:"), std::string::npos);
            scope.cancel();
            co_return co_await scope.join();
        }
    };
    EXPECT_TRUE(worker->run("root", Body::run(worker->io())));
}

TEST(Io, moves_bytes_and_gives_the_buffer_back) {
    const auto worker = make_worker();
    struct Body {
        static Task<Result<std::string>> run(Io io) {
            const Pipe pipe = make_pipe();
            auto written = co_await io.write(pipe.writer, Bytes::copy_of("hello"));
            EXPECT_EQ(written.count, 5U);
            EXPECT_EQ(written.buffer.text(5), "hello");
            auto [count, buffer] = co_await io.read(pipe.reader, Bytes(64));
            ZCO_CHECK(count);
            co_return std::string(buffer.text(*count));
        }
    };
    EXPECT_EQ(worker->run("root", Body::run(worker->io())), "hello");
}

TEST(Io, a_canceled_read_ends_and_loses_no_byte) {
    const auto worker = make_worker();
    struct Body {
        static Task<Result<void>> reader(Io io, const Pipe& pipe) {
            auto [count, buffer] = co_await io.read(pipe.reader, Bytes(16));
            EXPECT_EQ(count.error(), Error(CoreError::canceled));
            // Written before the next read: it must still be in the pipe.
            EXPECT_EQ((co_await io.write(pipe.writer, Bytes::copy_of("x"))).count, 1U);
            auto again = co_await io.read(pipe.reader, std::move(buffer));
            EXPECT_EQ(again.count, 1U);
            co_return {};
        }
        static Task<Result<void>> run(Io io) {
            const Pipe pipe = make_pipe();
            Scope scope(io, "scope");
            TaskRef task = scope.spawn("reader", reader(io, pipe));
            ZCO_CHECK(co_await io.sleep_for(2ms));
            task.request_cancel();
            co_return co_await scope.join();
        }
    };
    EXPECT_TRUE(worker->run("root", Body::run(worker->io())));
}

TEST(Io, a_deadline_ends_an_operation_with_timed_out) {
    const auto worker = make_worker();
    struct Body {
        static Task<Result<void>> run(Io io) {
            const Pipe pipe = make_pipe();
            const TimePoint begin = Clock::now();
            auto read = co_await io.read(pipe.reader, Bytes(16)).until(begin + 20ms);
            EXPECT_EQ(read.count.error(), Error(CoreError::timed_out));
            EXPECT_GE(Clock::now() - begin, 20ms);
            co_return {};
        }
    };
    EXPECT_TRUE(worker->run("root", Body::run(worker->io())));
}

TEST(Io, poll_reports_readiness_of_a_foreign_descriptor) {
    const auto worker = make_worker();
    struct Body {
        static Task<Result<void>> run(Io io) {
            const Pipe pipe = make_pipe();
            EXPECT_EQ(::write(pipe.writer.get(), "x", 1), 1);
            const auto events = co_await io.poll(FdRef(pipe.reader.get()), POLLIN);
            EXPECT_EQ(events, static_cast<std::uint32_t>(POLLIN));
            co_return {};
        }
    };
    EXPECT_TRUE(worker->run("root", Body::run(worker->io())));
}

TEST(Io, sockets_accept_connect_send_and_receive) {
    const auto worker = make_worker();
    struct Body {
        static Task<Result<void>> serve(Io io, const Fd& listener) {
            ZCO_TRY(const Fd client, co_await io.accept(listener));
            auto [count, buffer] = co_await io.recv(client, Bytes(16));
            ZCO_CHECK(count);
            auto sent = co_await io.send(client, Bytes::copy_of(buffer.text(*count)));
            EXPECT_EQ(sent.count, 4U);
            co_return {};
        }
        static Task<Result<void>> run(Io io) {
            const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            sockaddr_storage address{};
            socklen_t length = sizeof(sockaddr_in);
            address.ss_family = AF_INET;
            EXPECT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
            EXPECT_EQ(::listen(listener.get(), 1), 0);
            ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length);
            Scope scope(io, "scope");
            scope.spawn("server", serve(io, listener));
            const Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            const Result<void> connected =
                co_await io.connect(client, {.storage = address, .length = length});
            EXPECT_TRUE(connected);
            EXPECT_EQ((co_await io.send(client, Bytes::copy_of("ping"))).count, 4U);
            auto echoed = co_await io.recv(client, Bytes(16));
            EXPECT_EQ(echoed.count, 4U);
            co_return co_await scope.join();
        }
    };
    EXPECT_TRUE(worker->run("root", Body::run(worker->io())));
}

TEST(Io, send_to_a_closed_peer_is_an_error_not_a_signal) {
    const auto worker = make_worker();
    struct Body {
        static Task<Result<void>> run(Io io) {
            auto [ours, theirs] = make_socket_pair();
            theirs.reset();
            auto sent = co_await io.send(ours, Bytes::copy_of("x"));
            EXPECT_EQ(sent.count.error().os_error(), EPIPE);
            co_return {};
        }
    };
    EXPECT_TRUE(worker->run("root", Body::run(worker->io())));
}

TEST(Io, waits_for_a_child_process_by_pidfd) {
    const auto worker = make_worker();
    struct Body {
        static Task<Result<ExitStatus>> run(Io io) {
            const pid_t child = ::fork();
            if (child == 0) {
                ::_exit(7);
            }
            const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
            co_return co_await io.wait_exit(pidfd);
        }
    };
    const auto status = worker->run("root", Body::run(worker->io()));
    ASSERT_TRUE(status);
    EXPECT_EQ(status->code, 7);
    EXPECT_EQ(status->signal, 0);
}

TEST(Io, an_idle_worker_does_not_wake_up) {
    const auto worker = make_worker();
    struct Body {
        static Task<Result<void>> run(Io io) {
            const auto& self = static_cast<Worker&>(io.executor());
            const std::uint64_t before = self.turns();
            ZCO_CHECK(co_await io.sleep_for(300ms));
            EXPECT_LE(self.turns() - before, 2U);
            co_return {};
        }
    };
    EXPECT_TRUE(worker->run("root", Body::run(worker->io())));
}

TEST(Offload, runs_on_another_thread_and_gives_the_result_back) {
    const auto worker = make_worker();
    struct Body {
        static Task<Result<pid_t>> run(Io io) {
            co_return co_await io.offload([] { return ::gettid(); });
        }
    };
    const auto thread = worker->run("root", Body::run(worker->io()));
    ASSERT_TRUE(thread);
    EXPECT_NE(*thread, ::gettid());
}

TEST(Offload, keeps_the_calls_own_error) {
    const auto worker = make_worker();
    struct Body {
        static Task<Outcome<int>> run(Io io) {
            co_return co_await io.offload([]() -> Outcome<int> {
                return fail(CoreError::unsupported, "no such thing");
            });
        }
    };
    const auto outcome = worker->run("root", Body::run(worker->io()));
    ASSERT_FALSE(outcome);
    EXPECT_EQ(outcome.error().message(), "no such thing");
}

TEST(Offload, a_call_that_has_begun_is_finished_before_cancel_is_seen) {
    const auto worker = make_worker();
    struct Body {
        static Task<Result<void>> caller(Io io, const Pipe& gate) {
            const auto read = co_await io.offload([&gate] {
                char byte = 0;
                return ::read(gate.reader.get(), &byte, 1);
            });
            EXPECT_EQ(read, 1);
            EXPECT_EQ((co_await io.yield()).error(), Error(CoreError::canceled));
            co_return {};
        }
        static Task<Result<void>> run(Io io) {
            const Pipe gate = make_pipe();
            Scope scope(io, "scope");
            TaskRef task = scope.spawn("caller", caller(io, gate));
            ZCO_CHECK(co_await io.sleep_for(5ms));
            task.request_cancel();
            EXPECT_EQ(::write(gate.writer.get(), "x", 1), 1);
            co_return co_await scope.join();
        }
    };
    EXPECT_TRUE(worker->run("root", Body::run(worker->io())));
}
