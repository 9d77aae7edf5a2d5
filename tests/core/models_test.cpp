// One text of each program, on every execution model.
#include "models.hpp"

#include <zsync/core/channel.hpp>
#include <zsync/core/failing_executor.hpp>
#include <zsync/core/mutex.hpp>
#include <zsync/core/notify.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/send_stream.hpp>
#include <zsync/core/stream.hpp>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <array>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <poll.h>
#include <signal.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace zsync;
using namespace std::chrono_literals;

namespace {

/// All models: programs that need nothing beside them.
class AnyModel : public testing::TestWithParam<Model> {
protected:
    Io io() { return host_.io(); }
    ModelHost host_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(
    Models,
    AnyModel,
    testing::Values(
        Model::coroutines,
        Model::fibers,
        Model::epoll_coroutines,
        Model::epoll_fibers,
        Model::threads,
        Model::blocking
    ),
    model_name
);

/// The models on which tasks run beside each other.
class ConcurrentModel : public AnyModel {};
INSTANTIATE_TEST_SUITE_P(Models, ConcurrentModel, concurrent_models(), model_name);

std::array<Fd, 2> pipe_pair() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    return {Fd(ends[0]), Fd(ends[1])};
}

std::array<Fd, 2> socket_pair() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    return {Fd(ends[0]), Fd(ends[1])};
}

Fd tcp_listener(SocketAddress& address) {
    Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    auto& in = reinterpret_cast<sockaddr_in&>(address.storage);
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.length = sizeof in;
    auto* generic = reinterpret_cast<sockaddr*>(&address.storage);
    EXPECT_EQ(::bind(listener.get(), generic, address.length), 0);
    EXPECT_EQ(::listen(listener.get(), 4), 0);
    EXPECT_EQ(::getsockname(listener.get(), generic, &address.length), 0);
    return listener;
}

template <class T> int errno_of(const Result<T>& result) {
    return result ? 0 : result.error().os_error();
}

Task<Result<std::string>> receive(Io io, FdRef from, std::size_t most = 16) {
    auto [count, buffer] = co_await io.recv(from, Bytes(most));
    ZCO_TRY(const std::size_t length, std::move(count));
    co_return std::string(buffer.text(length));
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

TEST_P(AnyModel, files_and_pipes_carry_bytes) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            ZCO_TRY(const Fd file, co_await io.open("/tmp", O_TMPFILE | O_RDWR, 0600));
            EXPECT_EQ((co_await io.write(file, Bytes::copy_of("on disk"), 0)).count, 7U);
            ZCO_CHECK(co_await io.fsync(file));
            auto read = co_await io.read(file, Bytes(16), 3);
            EXPECT_EQ(read.buffer.text(read.count.value_or(0)), "disk");
            auto [out, in] = pipe_pair();
            EXPECT_EQ((co_await io.write(in, Bytes::copy_of("piped"))).count, 5U);
            auto piped = co_await io.read(out, Bytes(16));
            EXPECT_EQ(piped.buffer.text(piped.count.value_or(0)), "piped");
            in.reset();
            EXPECT_EQ((co_await io.read(out, Bytes(16))).count, 0U);
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(AnyModel, a_deadline_ends_a_wait_and_the_buffer_comes_back) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            auto [a, b] = socket_pair();
            const TimePoint begun = io.now();
            auto [count, buffer] = co_await io.recv(a, Bytes(16)).until(begun + 3ms);
            EXPECT_EQ(count.error(), Error(CoreError::timed_out));
            EXPECT_EQ(buffer.size(), 16U);
            EXPECT_GE(io.now(), begun + 3ms);
            EXPECT_EQ((co_await io.send(b, Bytes::copy_of("late"))).count, 4U);
            EXPECT_EQ((co_await io.recv(a, Bytes(16)).until(begun)).count.value_or(4), 4U);
            Notify never;
            EXPECT_EQ(
                (co_await never.wait().until(io.now() + 2ms)).error(), Error(CoreError::timed_out)
            );
            co_return co_await io.sleep_for(1ms);
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
    EXPECT_EQ(host_.executor().task_count(), 0U);
}

TEST_P(AnyModel, a_send_of_all_goes_on_until_all_is_sent_or_says_how_far_it_came) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            auto [a, b] = socket_pair();
            const auto sent =
                co_await io.send(a, Bytes(1 << 22), MSG_WAITALL).until(io.now() + 5ms);
            EXPECT_GT(sent.count.value_or(0), 0U);
            EXPECT_LT(sent.count.value_or(1 << 22), 1U << 22);
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(AnyModel, errors_are_the_kernels_own) {
    struct Body {
        static Task<void> run(Io io) {
            const Fd none;
            EXPECT_EQ((co_await io.read(none, Bytes(1))).count.error().os_error(), EBADF);
            const Result<Fd> missing = co_await io.open("/nowhere", O_RDONLY);
            EXPECT_EQ(errno_of(missing), ENOENT);
            const auto [out, in] = pipe_pair();
            EXPECT_EQ((co_await io.recv(out, Bytes(1))).count.error().os_error(), ENOTSOCK);
            SocketAddress address;
            tcp_listener(address).reset(); // nobody listens there any more
            const Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            const Result<void> refused = co_await io.connect(client, address);
            EXPECT_EQ(errno_of(refused), ECONNREFUSED);
        }
    };
    io().run("root", Body::run(io()));
}

TEST_P(AnyModel, a_process_is_waited_for_and_reaped) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            const pid_t child = ::fork();
            if (child == 0) {
                ::_exit(7);
            }
            const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
            ZCO_TRY(const ExitStatus status, co_await io.wait_exit(pidfd));
            EXPECT_EQ(status.code, 7);
            EXPECT_EQ(::kill(child, 0), -1);
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(AnyModel, futures_and_scopes_give_results_and_first_errors) {
    struct Body {
        static Task<Result<int>> twice(Io io, int n) {
            ZCO_CHECK(co_await io.sleep_for(1ms));
            co_return 2 * n;
        }
        static Task<Result<void>> fails() { co_return fail(CoreError::closed); }
        static Task<Result<void>> run(Io io) {
            auto one = io.async(twice, io, 1);
            auto two = io.async(twice, io, 2);
            EXPECT_EQ(co_await one, 2);
            EXPECT_EQ(co_await two, 4);
            EXPECT_EQ(co_await two.cancel(), 4);
            co_return {};
        }
        static Task<Result<void>> scoped(Io io) {
            Scope scope(io, "scope");
            int ran = 0;
            scope.spawn("good", [&ran] { ++ran; });
            scope.spawn("bad", fails);
            EXPECT_EQ((co_await scope.join()).error(), Error(CoreError::closed));
            EXPECT_EQ(ran, 1);
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
    EXPECT_TRUE(io().run("scoped", Body::scoped(io())));
}

TEST_P(AnyModel, locks_channels_and_offloaded_calls_work_alone) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            Mutex mutex;
            {
                ZCO_TRY(const Mutex::Lock lock, co_await mutex.lock());
                EXPECT_TRUE(lock.owns_lock());
            }
            Channel<int> numbers(2);
            ZCO_CHECK(co_await numbers.send(1));
            ZCO_CHECK(co_await numbers.send(2));
            numbers.close();
            EXPECT_EQ(co_await numbers.receive(), 1);
            EXPECT_EQ(co_await numbers.receive(), 2);
            EXPECT_EQ((co_await numbers.receive()).error(), Error(CoreError::closed));
            EXPECT_EQ(co_await io.offload([] { return 42; }), 42);
            co_return co_await io.yield();
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(AnyModel, streams_carry_chunks_on_and_end) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            auto [a, b] = socket_pair();
            auto [c, d] = socket_pair();
            ZCO_TRY(auto pool, BufferPool::create(io, 4, 4));
            RecvStream in(io, a, pool);
            SendStream out(io, c, pool);
            EXPECT_EQ((co_await io.send(b, Bytes::copy_of("0123456789"))).count, 10U);
            b.reset();
            for (;;) {
                ZCO_TRY(Chunk chunk, co_await in.next());
                if (chunk.empty()) {
                    break;
                }
                ZCO_CHECK(co_await out.send(std::move(chunk)));
                ZCO_CHECK(co_await out.flush());
            }
            EXPECT_EQ(co_await receive(io, d), "0123456789");
            EXPECT_EQ(pool->stats().held, 0U);
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(ConcurrentModel, connections_are_accepted_and_echo) {
    struct Body {
        static Task<Result<void>> serve(Io io, FdRef listener) {
            ZCO_TRY(const Fd peer, co_await io.accept(listener));
            ZCO_TRY(const std::string text, co_await receive(io, peer));
            co_return (co_await io.send(peer, Bytes::copy_of(text))).count.transform([](auto) {});
        }
        static Task<Result<void>> run(Io io) {
            SocketAddress address;
            const Fd listener = tcp_listener(address);
            ZCO_TRY(auto server, io.concurrent(serve, io, FdRef(listener)));
            const Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            ZCO_CHECK(co_await io.connect(client, address));
            EXPECT_EQ((co_await io.send(client, Bytes::copy_of("echo"))).count, 4U);
            EXPECT_EQ(co_await receive(io, client), "echo");
            co_return co_await server;
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(ConcurrentModel, a_cancel_reaches_every_kind_of_wait) {
    struct Body {
        static Task<void> run(Io io) {
            auto [a, b] = socket_pair();
            SocketAddress address;
            const Fd listener = tcp_listener(address);
            Notify never;
            Mutex mutex;
            const auto held = co_await mutex.lock();
            Channel<int> empty(1);
            using Result = Result<void>;
            const FdRef socket(a);
            const std::vector<std::function<Task<Result>()>> waits{
                [=] -> Task<Result> {
                    co_return (co_await receive(io, socket)).transform([](auto&&) {});
                },
                [io, fd = FdRef(listener)] -> Task<Result> {
                    co_return (co_await io.accept(fd)).transform([](auto&&) {});
                },
                [=] -> Task<Result> { return sleep_long(io); },
                [&] -> Task<Result> { co_return co_await never.wait(); },
                [&] -> Task<Result> { co_return (co_await mutex.lock()).transform([](auto&&) {}); },
                [&] -> Task<Result> {
                    co_return (co_await empty.receive()).transform([](auto) {});
                },
                [=] -> Task<Result> {
                    auto inner = io.async(sleep_long, io);
                    co_return co_await inner;
                },
            };
            for (const auto& wait : waits) {
                // Before it has begun, and while it waits; and a second time is no other result.
                auto before = io.async("before", std::ref(wait));
                EXPECT_EQ((co_await before.cancel()).error(), Error(CoreError::canceled));
                auto during = io.async("during", std::ref(wait));
                co_await until_waiting(io, "during");
                during.request_cancel();
                during.request_cancel();
                EXPECT_EQ((co_await during.cancel()).error(), Error(CoreError::canceled));
                EXPECT_EQ((co_await during.cancel()).error(), Error(CoreError::canceled));
            }
            // Nothing was lost on the way.
            EXPECT_EQ((co_await io.send(b, Bytes::copy_of("kept"))).count, 4U);
            auto after = io.async(receive, io, FdRef(a), 16);
            EXPECT_EQ(co_await after, "kept");
            EXPECT_EQ(co_await after.cancel(), "kept");
        }
    };
    io().run("root", Body::run(io()));
    EXPECT_EQ(host_.executor().task_count(), 0U);
}

TEST_P(ConcurrentModel, a_cancel_that_races_the_bytes_loses_none) {
    struct Body {
        static Task<void> run(Io io) {
            auto [a, b] = socket_pair();
            std::size_t received = 0;
            for (int n = 0; n < 200; ++n) {
                auto receiving = io.async(receive, io, FdRef(a), 16);
                if (n % 2 == 0) {
                    (void)co_await io.yield();
                }
                EXPECT_EQ((co_await io.send(b, Bytes::copy_of("x"))).count, 1U);
                const Result<std::string>& got = co_await receiving.cancel();
                if (got) {
                    received += got->size();
                } else {
                    EXPECT_EQ(got.error(), Error(CoreError::canceled));
                }
            }
            while (received < 200) {
                const auto rest = co_await io.recv(a, Bytes(256), MSG_DONTWAIT);
                EXPECT_TRUE(rest.count);
                if (!rest.count) {
                    co_return;
                }
                received += *rest.count;
            }
            EXPECT_EQ(received, 200U);
        }
    };
    io().run("root", Body::run(io()));
}

TEST_P(ConcurrentModel, many_tasks_share_a_mutex_and_a_channel) {
    struct Shared {
        Mutex mutex;
        Channel<int> numbers{4};
        int unguarded = 0;
    };
    struct Body {
        static Task<Result<void>> count(Io io, Shared& shared) {
            for (int n = 0; n < 50; ++n) {
                {
                    ZCO_TRY(const Mutex::Lock lock, co_await shared.mutex.lock());
                    const int before = shared.unguarded;
                    ZCO_CHECK(co_await io.yield());
                    shared.unguarded = before + 1;
                }
                ZCO_CHECK(co_await shared.numbers.send(n));
            }
            co_return {};
        }
        static Task<Result<void>> run(Io io, Shared& shared) {
            Scope scope(io, "counters");
            for (int n = 0; n < 4; ++n) {
                scope.spawn("counter", count, io, std::ref(shared));
            }
            int sum = 0;
            for (int n = 0; n < 200; ++n) {
                ZCO_TRY(const int number, co_await shared.numbers.receive());
                sum += number;
            }
            EXPECT_EQ(sum, 4 * 49 * 50 / 2);
            co_return co_await scope.join();
        }
    };
    Shared shared;
    EXPECT_TRUE(io().run("root", Body::run(io(), shared)));
    EXPECT_EQ(shared.unguarded, 200);
}

TEST_P(ConcurrentModel, two_that_wait_for_the_same_socket_both_get_theirs) {
    struct Body {
        static Task<void> run(Io io) {
            auto [a, b] = socket_pair();
            auto first = io.async("first", receive, io, FdRef(a), 1);
            auto second = io.async("second", receive, io, FdRef(a), 1);
            auto both_ways = io.async(
                [](Io task_io, FdRef fd) -> Task<Result<std::uint32_t>> {
                    co_return co_await task_io.poll(fd, POLLIN);
                },
                io,
                FdRef(a)
            );
            co_await until_waiting(io, "first");
            co_await until_waiting(io, "second");
            EXPECT_EQ((co_await io.send(b, Bytes::copy_of("1"))).count, 1U);
            EXPECT_EQ((co_await io.send(b, Bytes::copy_of("2"))).count, 1U);
            const std::string got = (co_await first).value_or("") + (co_await second).value_or("");
            EXPECT_EQ(got.size(), 2U);
            (void)co_await both_ways.cancel();
        }
    };
    io().run("root", Body::run(io()));
}

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
