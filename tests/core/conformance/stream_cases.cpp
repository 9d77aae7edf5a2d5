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
/// A request of a stream that has ended may still have to hear its own end.
Task<Result<void>> until_released(Io io, const std::shared_ptr<BufferPool>& pool) {
    while (pool.use_count() > 1) {
        ZCO_CHECK(co_await io.yield());
    }
    co_return {};
}

/// Until it takes no more.
void fill(FdRef socket) {
    const std::string block(4096, 'x');
    while (::send(socket.get(), block.data(), block.size(), MSG_DONTWAIT) > 0) {
    }
}

/// No descriptor is left, for a moment.
class NoDescriptors {
public:
    NoDescriptors() {
        EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
        const rlimit none{.rlim_cur = 0, .rlim_max = before_.rlim_max};
        EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
    }
    NoDescriptors(const NoDescriptors&) = delete;
    NoDescriptors& operator=(const NoDescriptors&) = delete;
    ~NoDescriptors() { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0); }

private:
    rlimit before_{};
};

/// Both kinds of stream socket: what the kernel does for one is not what it does for the other.
using MakePair = Pair (*)();
Pair unix_pair() { return socket_pair(); }
constexpr std::array<MakePair, 2> each_family{&tcp_pair, &unix_pair};

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
    RecvStream holder(io, one.a, pool);
    RecvStream gives_up(io, two.a, pool);
    RecvStream next(io, three.a, pool);
    put(one.b, "held");
    ZCO_TRY(Chunk held, co_await holder.next());
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

ZSYNC_CASE(send_stream, sends_chunks_on_in_order, network) {
    for (const MakePair make : each_family) {
        auto in_pair = make();
        auto out_pair = make();
        ZCO_TRY(auto pool, BufferPool::create(io, 4, 4));
        RecvStream in(io, in_pair.a, pool);
        SendStream out(io, out_pair.a, pool);
        put(in_pair.b, "0123456789");
        in_pair.b.reset();
        for (;;) {
            ZCO_TRY(Chunk chunk, co_await in.next());
            if (chunk.empty()) {
                break;
            }
            ZCO_CHECK(co_await out.send(std::move(chunk)));
        }
        ZCO_CHECK(co_await out.flush());
        std::string got;
        while (got.size() < 10) {
            const auto some = co_await io.recv(out_pair.b, Bytes(16));
            ZCO_CHECK(some.count);
            got += conformance::text_of(some);
        }
        EXPECT_EQ(got, "0123456789");
        EXPECT_EQ(pool->stats().held, 0U);
    }
    co_return {};
}

ZSYNC_CASE(send_stream, flush_of_nothing_is_done, nothing) {
    const auto pair = socket_pair();
    ZCO_TRY(auto pool, BufferPool::create(io, 4, 4));
    SendStream out(io, pair.a, pool);
    EXPECT_IS(co_await out.flush(), "ok");
    co_return {};
}

ZSYNC_CASE(send_stream, an_empty_chunk_is_nothing_to_send, nothing) {
    const auto pair = socket_pair();
    ZCO_TRY(auto pool, BufferPool::create(io, 4, 4));
    SendStream out(io, pair.a, pool);
    EXPECT_IS(co_await out.send(Chunk()), "ok");
    EXPECT_EQ(take(pair.b), "");
    co_return {};
}

ZSYNC_CASE(send_stream, waits_for_room_and_goes_on, beside | network) {
    for (const MakePair make : each_family) {
        struct Body {
            static Task<Result<void>> echo(Io io, FdRef socket, std::shared_ptr<BufferPool> pool) {
                RecvStream in(io, socket, pool);
                SendStream out(io, socket, pool);
                for (;;) {
                    ZCO_TRY(Chunk chunk, co_await in.next());
                    if (chunk.empty()) {
                        co_return co_await out.flush();
                    }
                    ZCO_CHECK(co_await out.send(std::move(chunk)));
                }
            }
            static Task<Result<void>> feed(Io io, FdRef socket, const std::string& text) {
                const auto sent = co_await io.send(socket, std::span(text), MSG_WAITALL);
                ZCO_CHECK(sent.count);
                co_return co_await io.shutdown(socket, SHUT_WR);
            }
        };
        auto pair = make();
        const int bytes = 4096; // so small that chunks queue, and the sender has to wait for room
        EXPECT_EQ(::setsockopt(pair.a.get(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes), 0);
        ZCO_TRY(auto pool, BufferPool::create(io, 256, 64));
        std::string text;
        for (int n = 0; n < 4000; ++n) {
            text += std::format("{:06} ", n);
        }
        ZCO_TRY(auto echoing, io.concurrent(Body::echo, io, FdRef(pair.a), pool));
        ZCO_TRY(auto feeding, io.concurrent(Body::feed, io, FdRef(pair.b), std::cref(text)));
        std::string got;
        while (got.size() < text.size()) {
            const auto some = co_await io.recv(pair.b, Bytes(4096));
            ZCO_CHECK(some.count);
            got += conformance::text_of(some);
        }
        EXPECT_TRUE(got == text);
        EXPECT_IS(co_await echoing, "ok");
        EXPECT_IS(co_await feeding, "ok");
        ZCO_CHECK(co_await until_released(io, pool));
        EXPECT_EQ(pool->stats().held, 0U);
    }
    co_return {};
}

ZSYNC_CASE(send_stream, a_failed_send_is_returned_from_then_on, network) {
    auto in_pair = socket_pair();
    auto out_pair = socket_pair();
    ZCO_TRY(auto pool, BufferPool::create(io, 4, 64));
    put(in_pair.b, "bounces");
    RecvStream in(io, in_pair.a, pool);
    ZCO_TRY(Chunk chunk, co_await in.next());
    out_pair.b.reset();
    SendStream out(io, out_pair.a, pool);
    const Result<void> sent = co_await out.send(std::move(chunk));
    EXPECT_TRUE(sent || what(sent) == "EPIPE"); // a thread's send is done when it returns
    EXPECT_IS(co_await out.flush(), "EPIPE");
    EXPECT_IS(co_await out.send(Chunk()), "EPIPE");
    EXPECT_EQ(pool->stats().held, 0U);
    co_return {};
}

ZSYNC_CASE(send_stream, that_ends_unflushed_still_sends, network) {
    const auto in_pair = socket_pair();
    const auto out_pair = socket_pair();
    ZCO_TRY(auto pool, BufferPool::create(io, 4, 64));
    put(in_pair.b, "on its way");
    {
        RecvStream in(io, in_pair.a, pool);
        ZCO_TRY(Chunk chunk, co_await in.next());
        SendStream out(io, out_pair.a, pool);
        ZCO_CHECK(co_await out.send(std::move(chunk)));
    }
    ZCO_CHECK(co_await until_released(io, pool));
    EXPECT_EQ(take(out_pair.b), "on its way");
    EXPECT_EQ(pool->stats().held, 0U);
    co_return {};
}

ZSYNC_CASE(send_stream, that_ends_unflushed_sends_to_nobody_else, network | timer) {
    const bool fills = io.kind() != TaskKind::thread; // whose sends are done when they return
    for (const auto& [full, handed_over] :
         {std::pair{false, false}, std::pair{true, false}, std::pair{true, true}}) {
        const auto in_pair = socket_pair();
        auto out_pair = socket_pair();
        ZCO_TRY(auto pool, BufferPool::create(io, 8, 16));
        if (fills && full) {
            fill(out_pair.a);
        }
        const int number = out_pair.a.get();
        put(in_pair.b, std::string(48, 'y'));
        {
            RecvStream in(io, in_pair.a, pool);
            SendStream out(io, out_pair.a, pool);
            for (int n = 0; n < 3; ++n) {
                ZCO_TRY(Chunk chunk, co_await in.next());
                ZCO_CHECK(co_await out.send(std::move(chunk)));
            }
            if (handed_over) {
                ZCO_CHECK(co_await io.yield());
            }
        }
        const auto other = socket_pair();
        out_pair.a.reset();
        const Fd reused(::dup3(other.a.get(), number, O_CLOEXEC));
        TIMES_OUT(co_await io.recv(reused, Bytes(8)).until(io.now() + soon));
        std::string got;
        while (pool.use_count() > 1) {
            got += take(out_pair.b);
            ZCO_CHECK(co_await io.yield());
        }
        got += take(out_pair.b);
        EXPECT_EQ(take(other.b), "") << "full: " << full << ", handed over: " << handed_over;
        EXPECT_EQ(std::ranges::count(got, 'y'), 48);
        EXPECT_EQ(pool->stats().held, 0U);
        // Its own descriptor is closed by now.
        EXPECT_EQ(::recv(out_pair.b.get(), &got[0], 1, MSG_DONTWAIT), 0);
    }
    co_return {};
}

ZSYNC_CASE(send_stream, that_ends_unflushed_without_a_descriptor_drops_the_rest, network | timer) {
    for (const bool handed_over : {false, true}) {
        const auto in_pair = socket_pair();
        auto out_pair = socket_pair();
        ZCO_TRY(auto pool, BufferPool::create(io, 8, 16));
        if (io.kind() != TaskKind::thread) {
            fill(out_pair.a);
        }
        const int number = out_pair.a.get();
        put(in_pair.b, std::string(48, 'y'));
        {
            RecvStream in(io, in_pair.a, pool);
            std::optional<SendStream> out(std::in_place, io, out_pair.a, pool);
            for (int n = 0; n < 3; ++n) {
                ZCO_TRY(Chunk chunk, co_await in.next());
                ZCO_CHECK(co_await out->send(std::move(chunk)));
            }
            if (handed_over) {
                ZCO_CHECK(co_await io.yield());
            }
            const NoDescriptors none;
            out.reset();
        }
        const auto other = socket_pair();
        out_pair.a.reset();
        const Fd reused(::dup3(other.a.get(), number, O_CLOEXEC));
        TIMES_OUT(co_await io.recv(reused, Bytes(8)).until(io.now() + soon));
        std::string got;
        while (pool.use_count() > 1) {
            got += take(out_pair.b);
            ZCO_CHECK(co_await io.yield());
        }
        got += take(out_pair.b);
        EXPECT_EQ(take(other.b), "");
        EXPECT_EQ(std::ranges::count(got, 'y') % 16, 0) << "a chunk in part";
        EXPECT_EQ(pool->stats().held, 0U);
    }
    co_return {};
}

// Chunks larger than what the socket takes at once: on a thread, part of one goes out.
ZSYNC_CASE(send_stream, a_cancel_leaves_no_chunk_in_part, beside | network) {
    struct Body {
        static Task<Result<void>> send(SendStream& out, Chunk& chunk) {
            auto sending = out.send(std::move(chunk));
            const Result<void> sent = co_await sending;
            chunk = sending.take_back();
            co_return sent;
        }
        static Task<Result<std::string>> read(Io io, FdRef from, std::size_t length) {
            std::string got;
            while (got.size() < length) {
                const auto some = co_await io.recv(from, Bytes(65536));
                ZCO_CHECK(some.count);
                got += conformance::text_of(some);
            }
            co_return got;
        }
    };
    constexpr std::size_t length = 100'000;
    const auto in_pair = socket_pair();
    const auto out_pair = socket_pair();
    const int bytes = 4096;
    EXPECT_EQ(::setsockopt(out_pair.a.get(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes), 0);
    ZCO_TRY(auto pool, BufferPool::create(io, 4, length));
    RecvStream in(io, in_pair.a, pool);
    SendStream out(io, out_pair.a, pool);
    std::string sent;
    Chunk chunk;
    for (const char letter : {'a', 'b'}) {
        put(in_pair.b, std::string(length, letter));
        ZCO_TRY(chunk, co_await in.next());
        EXPECT_EQ(chunk.size(), length);
        ZCO_TRY(auto sending, io.concurrent(Body::send, std::ref(out), std::ref(chunk)));
        ZCO_CHECK(co_await at_rest(io));
        const Result<void> ended = co_await sending.cancel();
        if (ended) {
            EXPECT_FALSE(chunk);
            sent += std::string(length, letter);
        } else {
            EXPECT_IS(ended, "Canceled");
            EXPECT_EQ(chunk.size(), length) << "a chunk was lost";
        }
    }
    ZCO_TRY(auto reading, io.concurrent(Body::read, io, FdRef(out_pair.b), sent.size()));
    EXPECT_IS(co_await out.flush(), "ok");
    ZCO_TRY(const std::string got, co_await std::move(reading));
    EXPECT_TRUE(got == sent);
    EXPECT_EQ(take(out_pair.b), "");
    co_return {};
}

ZSYNC_CASE(send_stream, may_send_a_chunk_that_another_stream_received, network) {
    const auto one = socket_pair();
    const auto two = socket_pair();
    ZCO_TRY(auto pool, BufferPool::create(io, 4, 64));
    RecvStream from_one(io, one.a, pool);
    SendStream to_two(io, two.a, pool);
    put(one.b, "across");
    ZCO_TRY(Chunk chunk, co_await from_one.next());
    ZCO_CHECK(co_await to_two.send(std::move(chunk)));
    ZCO_CHECK(co_await to_two.flush());
    EXPECT_EQ(take(two.b), "across");
    co_return {};
}

} // namespace zsync::conformance
