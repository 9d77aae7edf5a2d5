#include "tests/core/seeds.hpp"

#include <zsync/core/channel.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/send_stream.hpp>
#include <zsync/core/simulation.hpp>
#include <zsync/core/stream.hpp>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <format>
#include <numeric>
#include <span>
#include <string>
#include <unistd.h>

using namespace zsync;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t seeds = 2000;

std::array<Fd, 2> socket_pair() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    return {Fd(ends[0]), Fd(ends[1])};
}

/// What a program has seen; equal for equal seeds.
struct Trace {
    std::uint64_t digest = 0;
    std::uint64_t echoed = 0;
    std::uint64_t canceled = 0;
    std::uint64_t timed_out = 0;
    bool operator==(const Trace&) const = default;
};

/// A client that was stopped closes its socket, with bytes in it perhaps.
Result<void> unless_hung_up(const Error& error) {
    if (error.os_error() == EPIPE || error.os_error() == ECONNRESET) {
        return {};
    }
    return fail(error);
}

Task<Result<void>> echo(Io io, Fd socket, std::shared_ptr<BufferPool> pool) {
    RecvStream in(io, socket, pool);
    SendStream out(io, socket, pool);
    for (;;) {
        Result<Chunk> chunk = co_await in.next();
        if (!chunk) {
            co_return unless_hung_up(chunk.error());
        }
        if (chunk->empty()) {
            const Result<void> flushed = co_await out.flush();
            co_return flushed ? flushed : unless_hung_up(flushed.error());
        }
        if (const Result<void> sent = co_await out.send(*std::move(chunk)); !sent) {
            co_return unless_hung_up(sent.error());
        }
    }
}

/// A send without memory for it has sent nothing: it is made again a moment later.
Task<Result<void>> send_all(Io io, FdRef socket, std::string_view text) {
    for (std::span<const char> rest(text); !rest.empty();) {
        const auto sent = co_await io.send(socket, rest);
        if (!sent.count && sent.count.error().os_error() == ENOBUFS) {
            ZCO_CHECK(co_await io.sleep_for(1us));
            continue;
        }
        ZCO_CHECK(sent.count);
        rest = rest.subspan(*sent.count);
    }
    co_return {};
}

/// Sends lines and reads the same lines back; may be stopped at any point.
Task<Result<void>> talk(Io io, Fd socket, int number, Trace& trace) {
    std::string sent;
    std::string got;
    for (int n = 0; n < 5; ++n) {
        const std::string line = std::format("client {} says {}\n", number, n);
        ZCO_CHECK(co_await send_all(io, socket, line));
        sent += line;
        while (got.size() < sent.size()) {
            auto [count, buffer] =
                co_await io.recv(socket, Bytes(64)).until(io.now() + std::chrono::hours(1));
            ZCO_CHECK(count);
            EXPECT_NE(*count, 0U) << "the server hung up";
            if (*count == 0) {
                co_return {};
            }
            got += buffer.text(*count);
        }
        EXPECT_EQ(got, sent);
        ++trace.echoed;
    }
    co_return {};
}

Task<Result<void>>
stop_somewhere(Io io, Future<Result<void>>& talking, Duration after, Trace& trace) {
    ZCO_CHECK(co_await io.sleep_for(after));
    const Result<void>& ended = co_await talking.cancel();
    if (!ended) {
        EXPECT_TRUE(ended.error().is_canceled()) << ended.error().message();
        ++trace.canceled;
    }
    co_return {};
}

Task<Result<void>> run_clients(Scope& scope, Io io, Trace* trace) {
    ZCO_TRY(auto pool, BufferPool::create(io, 8, 32));
    std::vector<Future<Result<void>>> clients;
    for (int n = 0; n < 4; ++n) {
        auto [client, server] = socket_pair();
        scope.spawn("echo", echo(io, std::move(server), pool));
        clients.push_back(io.async("client", talk, io, std::move(client), n, std::ref(*trace)));
    }
    ZCO_CHECK(co_await stop_somewhere(io, clients.back(), 30us, *trace));
    clients.pop_back();
    for (auto& client : clients) {
        const Result<void>& talked = co_await client;
        EXPECT_TRUE(talked) << talked.error().message();
    }
    clients.clear();
    ZCO_CHECK(co_await scope.join());
    // Requests of streams that have ended may still have to hear their own end.
    for (int n = 0; pool.use_count() > 1 && n < 1000; ++n) {
        ZCO_CHECK(co_await io.sleep_for(1us));
    }
    EXPECT_EQ(pool.use_count(), 1) << "a request was lost";
    EXPECT_EQ(pool->stats().held, 0U) << "a buffer was lost";
    co_return {};
}

/// A producer and consumers over a bounded channel, with waits that time out in between.
Task<Result<void>> consume(Io io, Channel<int>& numbers, int& sum, Trace& trace) {
    for (;;) {
        const Result<int> number = co_await numbers.receive().until(io.now() + 5us);
        if (number) {
            sum += *number;
        } else if (number.error() == Error(CoreError::timed_out)) {
            ++trace.timed_out;
        } else {
            EXPECT_EQ(number.error(), Error(CoreError::closed));
            co_return {};
        }
    }
}

Task<Result<void>> run_channel(Scope& scope, Io io, Trace* trace) {
    Channel<int> numbers(3);
    int sum = 0;
    for (int n = 0; n < 3; ++n) {
        scope.spawn("consumer", consume(io, numbers, sum, *trace));
    }
    for (int n = 1; n <= 40; ++n) {
        ZCO_CHECK(co_await numbers.send(n));
        if (n % 10 == 0) {
            ZCO_CHECK(co_await io.sleep_for(20us));
        }
    }
    numbers.close();
    ZCO_CHECK(co_await scope.join());
    EXPECT_EQ(sum, 40 * 41 / 2);
    co_return {};
}

template <class Program> Trace simulate(std::uint64_t seed, TaskKind kind, Program program) {
    SCOPED_TRACE(replay_of(seed));
    Trace trace;
    Simulation simulation(seed);
    const Io io(simulation.worker(), kind);
    const Result<void> done = io.run("program", in_scope(io, "program", program, io, &trace));
    EXPECT_TRUE(done) << done.error().message();
    EXPECT_EQ(simulation.worker().task_count(), 0U);
    trace.digest = simulation.digest();
    return trace;
}

template <class Each> void for_each_seed(Each each) {
    for (const std::uint64_t seed : seeds_to(seeds)) {
        if (!testing::Test::HasFailure()) {
            each(seed);
        }
    }
}

} // namespace

TEST(Simulation, echo_loses_nothing_whatever_the_ring_does) {
    std::uint64_t canceled = 0;
    std::uint64_t runs = 0;
    std::uint64_t digest = 0;
    for_each_seed([&](std::uint64_t seed) {
        const TaskKind kind = seed % 4 == 0 ? TaskKind::fiber : TaskKind::coroutine;
        const Trace trace = simulate(seed, kind, &run_clients);
        canceled += trace.canceled;
        digest ^= trace.digest;
        ++runs;
    });
    RecordProperty("digest", std::format("{:x}", digest)); // test_replay.py compares processes
    // The cancel must come before the end in some runs and after it in others.
    EXPECT_TRUE(runs == 1 || (canceled > 0 && canceled < runs)) << canceled << " of " << runs;
}

TEST(Simulation, a_channel_loses_nothing_to_time_outs) {
    std::uint64_t timed_out = 0;
    for_each_seed([&](std::uint64_t seed) {
        timed_out += simulate(seed, TaskKind::coroutine, &run_channel).timed_out;
    });
    EXPECT_TRUE(timed_out > 0 || seed_to_replay() != nullptr);
}

TEST(Simulation, the_same_seed_makes_the_same_decisions) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        const Trace first = simulate(seed, TaskKind::coroutine, &run_clients);
        EXPECT_EQ(first, simulate(seed, TaskKind::coroutine, &run_clients));
        EXPECT_NE(first.digest, simulate(seed + 1000, TaskKind::coroutine, &run_clients).digest);
    }
}

TEST(Simulation, everything_that_a_ring_may_do_happens) {
    SimulationMishaps all;
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        // So few places for completions that some must overflow.
        Simulation simulation(seed, {.completion_entries = 3});
        const Io io = simulation.worker().io();
        Trace trace;
        EXPECT_TRUE(io.run("clients", in_scope(io, "clients", &run_clients, io, &trace)));
        const SimulationMishaps& some = simulation.queue().mishaps();
        all.delayed += some.delayed;
        all.shortened += some.shortened;
        all.interrupted += some.interrupted;
        all.split += some.split;
        all.reordered += some.reordered;
        all.canceled += some.canceled;
        all.late_cancels += some.late_cancels;
        all.no_buffers += some.no_buffers;
        all.no_receive_buffers += some.no_receive_buffers;
        all.lost_more += some.lost_more;
        all.submission_full += some.submission_full;
        all.overflowed += some.overflowed;
    }
    EXPECT_GT(all.delayed, 0U);
    EXPECT_GT(all.shortened, 0U);
    EXPECT_GT(all.interrupted, 0U);
    EXPECT_GT(all.split, 0U);
    EXPECT_GT(all.reordered, 0U);
    EXPECT_GT(all.canceled, 0U);
    EXPECT_GT(all.late_cancels, 0U);
    EXPECT_GT(all.no_buffers, 0U);
    EXPECT_GT(all.no_receive_buffers, 0U);
    EXPECT_GT(all.lost_more, 0U);
    EXPECT_GT(all.submission_full, 0U);
    EXPECT_GT(all.overflowed, 0U);
}

TEST(Simulation, time_passes_only_when_nothing_else_can) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            const TimePoint begin = io.now();
            ZCO_CHECK(co_await io.sleep_for(24h * 365));
            EXPECT_GE(io.now() - begin, 24h * 365);
            EXPECT_LT(io.now() - begin, 24h * 365 + 1s);
            co_return {};
        }
    };
    const TimePoint begin = Clock::now();
    Simulation simulation(1);
    EXPECT_TRUE(simulation.worker().run("root", Body::run(simulation.worker().io())));
    EXPECT_LT(Clock::now() - begin, 10s);
}

TEST(Simulation, a_wait_that_nothing_can_end_is_found) {
    struct Body {
        static Task<Result<std::size_t>> run(Io io) {
            auto [a, b] = socket_pair();
            co_return (co_await io.recv(a, Bytes(1))).count;
        }
    };
    Simulation simulation(1);
    EXPECT_EQ(
        simulation.worker().run("root", Body::run(simulation.worker().io())).error().os_error(),
        EDEADLK
    );
}

TEST(Simulation, how_long_the_kernel_takes_decides_nothing) {
    struct Body {
        static Task<Result<std::size_t>> run(Io io, std::chrono::milliseconds late) {
            const Fd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
            itimerspec once{};
            once.it_value.tv_nsec = std::chrono::nanoseconds(late).count();
            EXPECT_EQ(::timerfd_settime(timer.get(), 0, &once, nullptr), 0);
            co_return (co_await io.read(timer, Bytes(sizeof(std::uint64_t)))).count;
        }
    };
    const auto digest_of = [](std::chrono::milliseconds late) {
        Simulation simulation(1);
        EXPECT_EQ(
            simulation.worker().run("root", Body::run(simulation.worker().io(), late)),
            sizeof(std::uint64_t)
        );
        return simulation.digest();
    };
    EXPECT_EQ(digest_of(20ms), digest_of(150ms));
}

TEST(Simulation, a_send_without_buffers_says_so_and_sends_nothing) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            auto [a, b] = socket_pair();
            const auto sent = co_await io.send(a, Bytes::copy_of("x"));
            EXPECT_EQ(sent.count.error().os_error(), ENOBUFS);
            a.reset();
            EXPECT_EQ((co_await io.recv(b, Bytes(1))).count, 0U);
            co_return {};
        }
    };
    Simulation simulation(1, {.interrupted = 0, .no_buffers = 1});
    EXPECT_TRUE(simulation.worker().run("root", Body::run(simulation.worker().io())));
}

namespace {

/// What vectored operations and splices have moved, and how often less than they were asked for.
struct Moved {
    std::uint64_t short_reads = 0;
    std::uint64_t short_writes = 0;
    std::uint64_t short_splices = 0;
    std::uint64_t short_messages = 0;
};

/// `bytes` in two parts.
std::array<iovec, 2> halves(std::span<char> bytes) {
    const std::size_t half = bytes.size() / 2;
    return {
        iovec{.iov_base = bytes.data(), .iov_len = half},
        iovec{.iov_base = bytes.data() + half, .iov_len = bytes.size() - half},
    };
}

/// From a file to a pipe to a socket, and by a message to another socket.
Task<Result<void>> move_in_parts(Io io, std::string name, Moved* moved) {
    constexpr std::size_t size = 64;
    std::string text(size, 0);
    std::iota(text.begin(), text.end(), '0');
    ZCO_TRY(const Fd file, co_await io.open(name, O_RDWR | O_CREAT | O_TRUNC));
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const std::array<Fd, 2> pipe{Fd(ends[0]), Fd(ends[1])};
    const auto [socket, peer] = socket_pair();
    std::string got(size, 0);
    for (std::size_t at = 0; at < size;) {
        const std::span<char> rest = std::span(text).subspan(at);
        const auto parts = halves(rest);
        ZCO_TRY(const std::uint32_t count, co_await io.write_from(file, parts, at));
        moved->short_writes += count < rest.size() ? 1 : 0;
        at += count;
    }
    for (std::size_t at = 0; at < size;) {
        const auto left = static_cast<std::uint32_t>(size - at);
        ZCO_TRY(
            const std::uint32_t count,
            co_await io.splice(file, at, pipe[1], Io::current_position, left)
        );
        moved->short_splices += count < left ? 1 : 0;
        at += count;
    }
    for (std::size_t at = 0; at < size;) {
        const std::span<char> rest = std::span(got).subspan(at);
        const auto parts = halves(rest);
        ZCO_TRY(const std::uint32_t count, co_await io.read_into(pipe[0], parts));
        moved->short_reads += count < rest.size() ? 1 : 0;
        at += count;
    }
    EXPECT_EQ(got, text);
    for (std::size_t at = 0; at < size;) {
        const std::span<char> rest = std::span(got).subspan(at);
        const auto sent = co_await io.send_to(socket, rest, SocketAddress());
        if (!sent.count && sent.count.error().os_error() == ENOBUFS) {
            continue;
        }
        ZCO_CHECK(sent.count);
        moved->short_messages += *sent.count < rest.size() ? 1 : 0;
        at += *sent.count;
    }
    EXPECT_EQ(::recv(peer.get(), got.data(), size, MSG_DONTWAIT), static_cast<ssize_t>(size));
    EXPECT_EQ(got, text);
    co_return co_await io.unlink(name);
}

/// As many chunks as fit through one stream, and what came out.
Task<Result<void>> forward(Io io, std::string* got) {
    constexpr std::size_t chunks = std::size_t{2} * limits::send_stream_chunks_max;
    auto [from, to] = socket_pair();
    auto [out, peer] = socket_pair();
    std::string text(chunks * 4, 0);
    for (std::size_t n = 0; n < text.size(); ++n) {
        text[n] = static_cast<char>('a' + n % 23);
    }
    EXPECT_EQ(::send(to.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
    ZCO_TRY(auto pool, BufferPool::create(io, 256, 4));
    {
        RecvStream in(io, from, pool);
        SendStream stream(io, out, pool);
        for (std::size_t left = text.size(); left != 0;) {
            ZCO_TRY(Chunk chunk, co_await in.next());
            left -= chunk.size();
            ZCO_CHECK(co_await stream.send(std::move(chunk)));
        }
        ZCO_CHECK(co_await stream.flush());
    }
    got->resize(text.size());
    const auto size = static_cast<ssize_t>(text.size());
    EXPECT_EQ(::recv(peer.get(), got->data(), got->size(), MSG_DONTWAIT), size);
    EXPECT_EQ(*got, text);
    co_return {};
}

} // namespace

TEST(Simulation, vectored_transfers_and_splices_move_less_than_asked_for_under_any_seed) {
    const std::string name = testing::TempDir() + std::format("zsync-parts-{}", ::getpid());
    Moved moved;
    for (const std::uint64_t seed : seeds_to(200)) {
        SCOPED_TRACE(replay_of(seed));
        Simulation simulation(seed);
        const Io io = simulation.worker().io();
        ASSERT_TRUE(io.run("root", move_in_parts(io, name, &moved)));
    }
    if (seed_to_replay() == nullptr) {
        EXPECT_GT(moved.short_reads, 0U);
        EXPECT_GT(moved.short_writes, 0U);
        EXPECT_GT(moved.short_splices, 0U);
        EXPECT_GT(moved.short_messages, 0U);
    }
}

TEST(Simulation, a_send_stream_bears_a_socket_without_memory_under_any_seed) {
    SimulationMishaps all;
    for (const std::uint64_t seed : seeds_to(200)) {
        SCOPED_TRACE(replay_of(seed));
        Simulation simulation(seed, {.no_buffers = 0.4});
        const TaskKind kind = seed % 2 == 0 ? TaskKind::fiber : TaskKind::coroutine;
        const Io io(simulation.worker(), kind);
        std::string got;
        ASSERT_TRUE(io.run("root", forward(io, &got)));
        all.no_buffers += simulation.queue().mishaps().no_buffers;
        all.shortened += simulation.queue().mishaps().shortened;
    }
    if (seed_to_replay() == nullptr) {
        EXPECT_GT(all.no_buffers, 0U);
        EXPECT_GT(all.shortened, 0U);
    }
}

TEST(Simulation, a_send_stream_writes_into_the_queue_without_a_call) {
    struct Body {
        static Task<Result<void>> run(Io io, std::uint64_t& in_flight, SimulatedQueue& queue) {
            auto [from, to] = socket_pair();
            auto [out, peer] = socket_pair();
            ZCO_TRY(auto pool, BufferPool::create(io, 4, 4));
            RecvStream in(io, from, pool);
            SendStream stream(io, out, pool);
            EXPECT_EQ(::send(to.get(), "text", 4, 0), 4);
            ZCO_TRY(Chunk chunk, co_await in.next());
            // A call would draw whether it is a full queue.
            const std::uint64_t before = queue.digest();
            in_flight = queue.in_flight();
            EXPECT_TRUE(stream.send(std::move(chunk)).await_ready());
            in_flight = queue.in_flight() - in_flight;
            EXPECT_EQ(queue.digest(), before);
            co_return co_await stream.flush();
        }
    };
    Simulation simulation(1);
    std::uint64_t in_flight = 0;
    const Io io = simulation.worker().io();
    EXPECT_TRUE(io.run("root", Body::run(io, in_flight, simulation.queue())));
    EXPECT_EQ(in_flight, 1U);
}

TEST(Simulation, a_stream_without_memory_ends_with_its_linger_and_with_its_worker) {
    struct Body {
        static Task<Result<void>> run(Io io, BufferPoolStats& stats, bool waits) {
            auto [from, to] = socket_pair();
            auto [out, peer] = socket_pair();
            ZCO_TRY(auto pool, BufferPool::create(io, 4, 4));
            {
                RecvStream in(io, from, pool);
                SendStream stream(io, out, pool);
                for (const std::string_view text : {"one", "two"}) {
                    EXPECT_EQ(::send(to.get(), text.data(), text.size(), 0), 3);
                    ZCO_TRY(Chunk chunk, co_await in.next());
                    ZCO_CHECK(co_await stream.send(std::move(chunk)));
                }
            }
            if (waits) {
                ZCO_CHECK(co_await io.sleep_for(
                    std::chrono::milliseconds(limits::send_stream_linger_ms + 100)
                ));
            }
            stats = pool->stats();
            co_return {};
        }
    };
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        SCOPED_TRACE(replay_of(seed));
        Simulation simulation(seed, {.shortened = 0, .no_buffers = 1});
        const Io io = simulation.worker().io();
        BufferPoolStats stats;
        EXPECT_TRUE(io.run("root", Body::run(io, stats, seed % 2 == 0)));
        EXPECT_EQ(stats.held, seed % 2 == 0 ? 0U : 2U);
        EXPECT_EQ(simulation.queue().in_flight(), 0U);
    }
}

TEST(Simulation, a_stream_that_ends_unflushed_lingers_up_to_its_limit) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            auto [from, to] = socket_pair();
            auto [out, peer] = socket_pair();
            const std::string block(4096, 'x');
            std::size_t in_the_way = 0;
            while (::send(out.get(), block.data(), block.size(), MSG_DONTWAIT) > 0) {
                in_the_way += block.size();
            }
            ZCO_TRY(auto pool, BufferPool::create(io, 4, 4));
            {
                RecvStream in(io, from, pool);
                SendStream stream(io, out, pool);
                for (const std::string_view text : {"one", "two"}) {
                    EXPECT_EQ(::send(to.get(), text.data(), text.size(), 0), 3);
                    ZCO_TRY(Chunk chunk, co_await in.next());
                    ZCO_CHECK(co_await stream.send(std::move(chunk)));
                }
            }
            out.reset();
            const auto linger = std::chrono::milliseconds(limits::send_stream_linger_ms);
            ZCO_CHECK(co_await io.sleep_for(linger - 10ms));
            EXPECT_EQ(pool->stats().held, 2U);
            ZCO_CHECK(co_await io.sleep_for(20ms));
            while (pool.use_count() > 1) {
                ZCO_CHECK(co_await io.yield());
            }
            EXPECT_EQ(pool->stats().held, 0U);
            std::string got(2 * in_the_way, 0);
            EXPECT_EQ(::recv(peer.get(), got.data(), got.size(), MSG_WAITALL), in_the_way);
            co_return {};
        }
    };
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        // Nothing is late, so that what was dropped has gone nowhere.
        Simulation simulation(seed, {.shortened = 0, .late_cancel = 0});
        EXPECT_TRUE(simulation.worker().run("root", Body::run(simulation.worker().io())));
    }
}

TEST(Simulation, files_and_offloaded_calls_take_part) {
    struct Body {
        static Task<Result<void>> run(Io io, std::string name) {
            ZCO_TRY(const Fd file, co_await io.open(name, O_RDWR | O_CREAT | O_TRUNC));
            const std::string text(1000, 'x');
            std::size_t at = 0;
            while (at < text.size()) {
                const auto written = co_await io.write(file, std::span(text).subspan(at), at);
                ZCO_CHECK(written.count);
                at += *written.count;
            }
            ZCO_TRY(const struct statx found, co_await io.stat(file));
            EXPECT_EQ(found.stx_size, text.size());
            EXPECT_EQ(co_await io.offload([] { return 42; }), 42);
            co_return co_await io.unlink(name);
        }
    };
    const std::string name = testing::TempDir() + std::format("zsync-simulated-{}", ::getpid());
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        Simulation simulation(seed);
        EXPECT_TRUE(simulation.worker().run("root", Body::run(simulation.worker().io(), name)));
    }
}
