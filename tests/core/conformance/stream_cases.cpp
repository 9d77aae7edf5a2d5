// BufferPool, RecvStream, SendStream.
#include "tests/core/conformance/conformance.hpp"

#include <zsync/core/limits.hpp>
#include <zsync/core/send_stream.hpp>
#include <zsync/core/stream.hpp>

#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <fcntl.h>
#include <format>
#include <memory>
#include <optional>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

namespace zsync::conformance {
namespace {

std::string text_of(const Chunk& chunk) {
    const auto bytes = chunk.bytes();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
Task<Result<std::string>> next_text(RecvStream& stream) {
    ZCO_TRY(const Chunk chunk, co_await stream.next());
    co_return text_of(chunk);
}
/// Everything up to the end.
Task<Result<std::string>> rest_of(RecvStream& stream) {
    std::string all;
    for (;;) {
        ZCO_TRY(const Chunk chunk, co_await stream.next());
        if (chunk.empty()) {
            co_return all;
        }
        all += text_of(chunk);
    }
}
} // namespace

ZSYNC_CASE(buffer_pool, refuses_sizes_that_the_kernel_would_not_take, nothing) {
    EXPECT_IS(BufferPool::create(io, 3, 8), "InvalidArgument");
    EXPECT_IS(BufferPool::create(io, 0, 8), "InvalidArgument");
    EXPECT_IS(BufferPool::create(io, 8, 0), "InvalidArgument");
    EXPECT_IS(BufferPool::create(io, 2 * limits::pool_buffers_max, 8), "InvalidArgument");
    EXPECT_IS(BufferPool::create(io, limits::pool_buffers_max, 8), "ok");
    co_return {};
}

ZSYNC_CASE(buffer_pool, of_one_buffer_serves, network) {
    const auto pair = socket_pair();
    ZCO_TRY(auto pool, BufferPool::create(io, 1, 8));
    RecvStream stream(io, pair.a, pool);
    put(pair.b, "first");
    ZCO_TRY(const std::string first, co_await next_text(stream));
    EXPECT_EQ(first, "first");
    put(pair.b, "second");
    EXPECT_EQ(co_await next_text(stream), "second");
    co_return {};
}

ZSYNC_CASE(buffer_pool, counts_what_is_held, network) {
    const auto pair = socket_pair();
    ZCO_TRY(auto pool, BufferPool::create(io, 4, 8));
    RecvStream stream(io, pair.a, pool);
    put(pair.b, "x");
    {
        ZCO_TRY(const Chunk chunk, co_await stream.next());
        EXPECT_EQ(pool->stats().buffers, 4U);
        EXPECT_GE(pool->stats().held, 1U);
    }
    co_return {};
}

ZSYNC_CASE(buffer_pool, is_shared_by_streams, network) {
    const auto one = socket_pair();
    const auto two = socket_pair();
    ZCO_TRY(auto pool, BufferPool::create(io, 2, 8));
    RecvStream first(io, one.a, pool);
    RecvStream second(io, two.a, pool);
    put(one.b, "one");
    put(two.b, "two");
    ZCO_TRY(const std::string text, co_await next_text(first));
    EXPECT_EQ(text, "one");
    EXPECT_EQ(co_await next_text(second), "two");
    co_return {};
}

ZSYNC_CASE(recv_stream, gives_what_arrives_in_order, network) {
    for (const MakePair make : each_family) {
        const auto pair = make();
        ZCO_TRY(auto pool, BufferPool::create(io, 4, 16));
        RecvStream stream(io, pair.a, pool);
        for (const std::string text : {"one", "two", "a longer text than fits into one buffer"}) {
            put(pair.b, text);
            std::string got;
            while (got.size() < text.size()) {
                ZCO_TRY(const std::string some, co_await next_text(stream));
                EXPECT_FALSE(some.empty());
                got += some;
            }
            EXPECT_EQ(got, text);
        }
    }
    co_return {};
}

ZSYNC_CASE(recv_stream, gives_the_end_again_and_again, network) {
    for (const MakePair make : each_family) {
        auto pair = make();
        ZCO_TRY(auto pool, BufferPool::create(io, 4, 16));
        RecvStream stream(io, pair.a, pool);
        put(pair.b, "last words");
        pair.b.reset();
        ZCO_TRY(const std::string all, co_await rest_of(stream));
        EXPECT_EQ(all, "last words");
        EXPECT_EQ(co_await next_text(stream), "");
        EXPECT_EQ(co_await next_text(stream), "");
        EXPECT_EQ(pool->stats().held, 0U);
    }
    co_return {};
}

ZSYNC_CASE(recv_stream, fills_no_chunk_beyond_its_size, network) {
    const auto pair = socket_pair();
    ZCO_TRY(auto pool, BufferPool::create(io, 8, 4));
    RecvStream stream(io, pair.a, pool);
    put(pair.b, "0123456789");
    std::string got;
    while (got.size() < 10) {
        ZCO_TRY(const std::string some, co_await next_text(stream));
        EXPECT_LE(some.size(), 4U);
        got += some;
    }
    EXPECT_EQ(got, "0123456789");
    co_return {};
}

ZSYNC_CASE(recv_stream, is_waited_for, beside | network) {
    for (const MakePair make : each_family) {
        const auto pair = make();
        ZCO_TRY(auto pool, BufferPool::create(io, 4, 16));
        RecvStream stream(io, pair.a, pool);
        ZCO_TRY(auto reading, io.concurrent(next_text, std::ref(stream)));
        ZCO_CHECK(co_await at_rest(io));
        EXPECT_FALSE(reading.is_finished());
        ZCO_CHECK((co_await io.send(pair.b, Bytes::copy_of("late"))).count);
        EXPECT_EQ(co_await reading, "late");
    }
    co_return {};
}

ZSYNC_CASE(recv_stream, holds_no_buffer_while_it_waits, beside | network) {
    const auto pair = tcp_pair();
    ZCO_TRY(auto pool, BufferPool::create(io, 4, 16));
    RecvStream stream(io, pair.a, pool);
    ZCO_TRY(auto reading, io.concurrent(next_text, std::ref(stream)));
    ZCO_CHECK(co_await at_rest(io));
    // Where the kernel does not pick buffers, the request has been lent one.
    EXPECT_LE(pool->stats().held, 1U);
    EXPECT_IS(co_await reading.cancel(), "Canceled");
    ZCO_CHECK((co_await io.send(pair.b, Bytes::copy_of("x"))).count);
    co_return {};
}

ZSYNC_CASE(recv_stream, goes_on_over_a_pool_that_is_too_small, network) {
    for (const MakePair make : each_family) {
        const auto pair = make();
        ZCO_TRY(auto pool, BufferPool::create(io, 2, 4));
        RecvStream stream(io, pair.a, pool);
        std::string sent;
        for (int n = 0; n < 50; ++n) {
            sent += std::format("{:03} ", n);
        }
        put(pair.b, sent);
        std::string got;
        while (got.size() < sent.size()) {
            ZCO_TRY(const Chunk first, co_await stream.next());
            ZCO_TRY(const Chunk second, co_await stream.next());
            got += text_of(first) + text_of(second);
        }
        EXPECT_EQ(got, sent);
    }
    co_return {};
}

ZSYNC_CASE(recv_stream, waits_for_a_buffer_that_another_stream_gives_back, beside | network) {
    for (const MakePair make : each_family) {
        const auto one = make();
        const auto two = make();
        ZCO_TRY(auto pool, BufferPool::create(io, 2, 4));
        RecvStream holder(io, one.a, pool);
        RecvStream starved(io, two.a, pool);
        put(one.b, "12345678");
        ZCO_TRY(Chunk first, co_await holder.next());
        ZCO_TRY(const Chunk second, co_await holder.next());
        put(two.b, "late");
        ZCO_TRY(auto reading, io.concurrent(next_text, std::ref(starved)));
        while (pool->stats().ran_dry == 0) {
            ZCO_CHECK(co_await io.yield());
        }
        EXPECT_FALSE(reading.is_finished());
        first = Chunk();
        EXPECT_EQ(co_await reading, "late");
    }
    co_return {};
}

ZSYNC_CASE(recv_stream, that_gave_up_waiting_leaves_the_buffer_to_the_next, beside | network) {
    const auto one = socket_pair();
    const auto two = socket_pair();
    const auto three = socket_pair();
    ZCO_TRY(auto pool, BufferPool::create(io, 1, 4));
    put(one.b, "held");
    Chunk held;
    {
        // Only for so long: it may be told of a pool that is dry too.
        RecvStream holder(io, one.a, pool);
        ZCO_TRY(held, co_await holder.next());
    }
    RecvStream gives_up(io, two.a, pool);
    RecvStream next(io, three.a, pool);
    put(two.b, "two");
    ZCO_TRY(auto first, io.concurrent(next_text, std::ref(gives_up)));
    while (pool->stats().ran_dry < 1) {
        ZCO_CHECK(co_await io.yield());
    }
    put(three.b, "next");
    ZCO_TRY(auto second, io.concurrent(next_text, std::ref(next)));
    while (pool->stats().ran_dry < 2) {
        ZCO_CHECK(co_await io.yield());
    }
    EXPECT_IS(co_await first.cancel(), "Canceled");
    held = Chunk();
    EXPECT_EQ(co_await second, "next");
    co_return {};
}

ZSYNC_CASE(recv_stream, that_is_silent_keeps_no_buffer_from_the_next, beside | network) {
    const auto one = tcp_pair();
    const auto two = tcp_pair();
    const auto three = tcp_pair();
    // Where requests bring their own buffers, the silent one holds one of the two.
    ZCO_TRY(auto pool, BufferPool::create(io, 2, 4));
    RecvStream holder(io, one.a, pool);
    RecvStream silent(io, two.a, pool);
    RecvStream next(io, three.a, pool);
    put(one.b, "heldmore");
    ZCO_TRY(Chunk held, co_await holder.next());
    ZCO_TRY(Chunk more, co_await holder.next());
    ZCO_TRY(auto waiting, io.concurrent(next_text, std::ref(silent)));
    ZCO_CHECK(co_await at_rest(io));
    put(three.b, "next");
    ZCO_TRY(auto reading, io.concurrent(next_text, std::ref(next)));
    while (pool->stats().ran_dry < 1) {
        ZCO_CHECK(co_await io.yield());
    }
    held = Chunk();
    if (!pool->is_on_ring()) {
        more = Chunk();
    }
    EXPECT_EQ(co_await reading, "next");
    EXPECT_IS(co_await waiting.cancel(), "Canceled");
    co_return {};
}

ZSYNC_CASE(recv_stream, a_wait_for_a_buffer_can_be_canceled, beside | network) {
    const auto pair = socket_pair();
    ZCO_TRY(auto pool, BufferPool::create(io, 1, 4));
    RecvStream stream(io, pair.a, pool);
    put(pair.b, "12345678");
    ZCO_TRY(Chunk first, co_await stream.next());
    ZCO_TRY(auto reading, io.concurrent(next_text, std::ref(stream)));
    while (pool->stats().ran_dry == 0) {
        ZCO_CHECK(co_await io.yield());
    }
    EXPECT_IS(co_await reading.cancel(), "Canceled");
    first = Chunk();
    EXPECT_EQ(co_await next_text(stream), "5678");
    co_return {};
}

ZSYNC_CASE(recv_stream, a_wait_for_a_buffer_times_out, beside | network | timer) {
    const auto pair = socket_pair();
    ZCO_CHECK(io.concurrent([] {}));
    ZCO_TRY(auto pool, BufferPool::create(io, 1, 4));
    RecvStream stream(io, pair.a, pool);
    put(pair.b, "12345678");
    ZCO_TRY(Chunk first, co_await stream.next());
    TIMES_OUT(co_await stream.next().until(io.now() + soon));
    first = Chunk();
    EXPECT_EQ(co_await next_text(stream), "5678");
    co_return {};
}

ZSYNC_CASE(recv_stream, a_canceled_next_loses_no_byte, beside | network) {
    for (const MakePair make : each_family) {
        const auto pair = make();
        ZCO_TRY(auto pool, BufferPool::create(io, 4, 64));
        RecvStream stream(io, pair.a, pool);
        ZCO_TRY(auto reading, io.concurrent(next_text, std::ref(stream)));
        ZCO_CHECK(co_await at_rest(io));
        EXPECT_IS(co_await reading.cancel(), "Canceled");
        put(pair.b, "kept");
        EXPECT_EQ(co_await next_text(stream), "kept");
    }
    co_return {};
}

ZSYNC_CASE(recv_stream, a_pending_cancel_is_delivered_before_it_waits, network) {
    const auto pair = socket_pair();
    ZCO_TRY(auto pool, BufferPool::create(io, 4, 64));
    RecvStream stream(io, pair.a, pool);
    io.recancel();
    EXPECT_IS(co_await stream.next(), "Canceled");
    put(pair.b, "kept");
    ZCO_TRY(const std::string text, co_await next_text(stream));
    EXPECT_EQ(text, "kept");
    co_return {};
}

ZSYNC_CASE(recv_stream, a_deadline_loses_no_byte, network | timer) {
    const auto pair = socket_pair();
    ZCO_TRY(auto pool, BufferPool::create(io, 4, 64));
    RecvStream stream(io, pair.a, pool);
    {
        const Result<Chunk> late = co_await stream.next().until(io.now() + soon);
        if (what(late) == "ENETDOWN") {
            co_return fail(late.error());
        }
        EXPECT_IS(late, "TimedOut");
    }
    put(pair.b, "kept");
    EXPECT_EQ(co_await next_text(stream), "kept");
    co_return {};
}

ZSYNC_CASE(recv_stream, that_ends_early_gives_its_buffers_back, network) {
    for (const MakePair make : each_family) {
        const auto pair = make();
        ZCO_TRY(auto pool, BufferPool::create(io, 4, 8));
        {
            RecvStream stream(io, pair.a, pool);
            put(pair.b, "first and more than is read");
            ZCO_TRY(const std::string text, co_await next_text(stream));
            EXPECT_EQ(text, "first an");
        }
        ZCO_CHECK(co_await until_released(io, pool));
        EXPECT_EQ(pool->stats().held, 0U);
    }
    co_return {};
}

ZSYNC_CASE(recv_stream, that_was_never_asked_needs_nothing, network) {
    const auto pair = socket_pair();
    ZCO_TRY(auto pool, BufferPool::create(io, 4, 8));
    {
        const RecvStream stream(io, pair.a, pool);
    }
    EXPECT_EQ(pool.use_count(), 1);
    co_return (co_await io.send(pair.b, Bytes::copy_of("x"))).count.transform([](std::size_t) {});
}

ZSYNC_CASE(recv_stream, gives_the_sockets_error, network) {
    const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ZCO_TRY(auto pool, BufferPool::create(io, 4, 8));
    RecvStream stream(io, socket, pool);
    const Result<Chunk> failed = co_await stream.next();
    if (what(failed) == "ENETDOWN") {
        co_return fail(failed.error());
    }
    EXPECT_IS(failed, "ENOTCONN");
    co_return {};
}

ZSYNC_CASE(recv_stream, gives_a_reset_after_what_had_arrived, network) {
    auto pair = tcp_pair();
    ZCO_TRY(auto pool, BufferPool::create(io, 4, 16));
    RecvStream stream(io, pair.a, pool);
    put(pair.b, "before");
    ZCO_TRY(const std::string before, co_await next_text(stream));
    EXPECT_EQ(before, "before");
    const linger reset{.l_onoff = 1, .l_linger = 0};
    EXPECT_EQ(::setsockopt(pair.b.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    pair.b.reset();
    EXPECT_IS(co_await stream.next(), "ECONNRESET");
    co_return {};
}

ZSYNC_CASE(recv_stream, may_be_moved_between_two_waits, network) {
    const auto pair = socket_pair();
    ZCO_TRY(auto pool, BufferPool::create(io, 4, 16));
    RecvStream stream(io, pair.a, pool);
    put(pair.b, "one");
    ZCO_TRY(const std::string one, co_await next_text(stream));
    RecvStream moved(std::move(stream));
    put(pair.b, "two");
    EXPECT_EQ(co_await next_text(moved), "two");
    co_return {};
}

ZSYNC_CASE(
    recv_stream, that_is_canceled_and_ends_takes_nothing_from_anybody_else, beside | network
) {
    struct Body {
        static Task<Result<void>> receive(Io io, Fd from, std::shared_ptr<BufferPool> pool) {
            RecvStream stream(io, from, pool);
            ZCO_TRY(const Chunk chunk, co_await stream.next());
            co_return {};
        }
    };
    ZCO_TRY(auto pool, BufferPool::create(io, 4, 16));
    auto pair = socket_pair();
    const auto other = socket_pair();
    put(other.b, "not for it");
    const int number = pair.a.get();
    ZCO_TRY(auto receiving, io.concurrent(Body::receive, io, std::move(pair.a), pool));
    ZCO_CHECK(co_await io.yield()); // its request is queued, and not yet with the kernel
    EXPECT_IS(co_await receiving.cancel(), "Canceled");
    const Fd reused(::dup3(other.a.get(), number, O_CLOEXEC));
    ZCO_CHECK(co_await until_released(io, pool));
    EXPECT_EQ(take(other.a), "not for it");
    co_return {};
}

ZSYNC_CASE(recv_stream, chunks_may_be_kept_while_others_come, network) {
    const auto pair = socket_pair();
    ZCO_TRY(auto pool, BufferPool::create(io, 8, 4));
    RecvStream stream(io, pair.a, pool);
    std::vector<Chunk> kept;
    for (const char* text : {"aaaa", "bbbb", "cccc"}) {
        put(pair.b, text);
        ZCO_TRY(Chunk chunk, co_await stream.next());
        kept.push_back(std::move(chunk));
    }
    EXPECT_EQ(text_of(kept[0]) + text_of(kept[1]) + text_of(kept[2]), "aaaabbbbcccc");
    co_return {};
}

} // namespace zsync::conformance
