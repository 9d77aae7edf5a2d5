// SendStream.
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

namespace zsync::conformance {
namespace {

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

/// Closes the sending end and gives its number to another connection, which must get nothing, while
/// what a stream has left goes out; `got` is what comes. The outcome of a receive on that number.
Task<Result<void>>
reuse_number(Io io, Pair& pair, const std::shared_ptr<BufferPool>& pool, std::string& got) {
    const int number = pair.a.get();
    const auto other = socket_pair();
    pair.a.reset();
    const Fd reused(::dup3(other.a.get(), number, O_CLOEXEC));
    const auto received = co_await io.recv(reused, Bytes(8)).until(io.now() + soon);
    while (pool.use_count() > 1) {
        got += take(pair.b);
        ZCO_CHECK(co_await io.yield());
    }
    got += take(pair.b);
    EXPECT_EQ(take(other.b), "");
    ZCO_CHECK(received.count);
    co_return {};
}

} // namespace

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
        std::string got;
        TIMES_OUT(co_await reuse_number(io, out_pair, pool, got));
        EXPECT_EQ(std::ranges::count(got, 'y'), 48)
            << "full: " << full << ", handed over: " << handed_over;
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
        std::string got;
        TIMES_OUT(co_await reuse_number(io, out_pair, pool, got));
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
