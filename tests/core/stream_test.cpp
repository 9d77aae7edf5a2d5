#include <zsync/core/io.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/send_stream.hpp>
#include <zsync/core/stream.hpp>
#include <zsync/core/worker.hpp>

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>

using namespace zsync;
using namespace std::chrono_literals;

namespace {

enum class Sockets { tcp, unix_domain };

struct Setting {
    TaskKind kind;
    Sockets sockets;
};

/// Both kinds of task that a worker runs, over sockets of both families.
class RecvStreamTest : public testing::TestWithParam<Setting> {
protected:
    RecvStreamTest() {
        auto worker = Worker::create();
        EXPECT_TRUE(worker);
        worker_ = *std::move(worker);
    }
    Io io() { return {*worker_, GetParam().kind}; }
    std::unique_ptr<Worker> worker_;
};

std::string name_of(const testing::TestParamInfo<Setting>& setting) {
    return std::string(setting.param.kind == TaskKind::coroutine ? "coroutine" : "fiber") +
           (setting.param.sockets == Sockets::tcp ? "_tcp" : "_unix");
}

INSTANTIATE_TEST_SUITE_P(
    Settings,
    RecvStreamTest,
    testing::Values(
        Setting{TaskKind::coroutine, Sockets::tcp},
        Setting{TaskKind::coroutine, Sockets::unix_domain},
        Setting{TaskKind::fiber, Sockets::tcp},
        Setting{TaskKind::fiber, Sockets::unix_domain}
    ),
    name_of
);

std::array<Fd, 2> tcp_pair() {
    const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {}, .sin_zero = {}};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener.get(), generic, length), 0);
    EXPECT_EQ(::listen(listener.get(), 1), 0);
    EXPECT_EQ(::getsockname(listener.get(), generic, &length), 0);
    Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(client.get(), generic, length), 0);
    Fd server(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const int on = 1;
    EXPECT_EQ(::setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
    return {std::move(server), std::move(client)};
}

std::array<Fd, 2> socket_pair(Sockets sockets) {
    if (sockets == Sockets::tcp) {
        return tcp_pair();
    }
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
    return {Fd(ends[0]), Fd(ends[1])};
}

std::string text_of(const Chunk& chunk) {
    const auto bytes = chunk.bytes();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Task<Result<void>> send_text(Io io, FdRef to, std::string text) {
    const auto sent = co_await io.send(to, std::span(text), MSG_WAITALL);
    EXPECT_EQ(sent.count, text.size());
    co_return {};
}

} // namespace

TEST_P(RecvStreamTest, gives_what_arrives_in_order_and_then_the_end) {
    struct Body {
        static Task<Result<void>> run(Io io, Sockets sockets) {
            auto [a, b] = socket_pair(sockets);
            ZCO_TRY(auto pool, BufferPool::create(io, 4, 16));
            RecvStream stream(io, a, pool);
            std::string got;
            for (const char* text : {"one", "two", "a longer text than fits into one buffer"}) {
                ZCO_CHECK(co_await send_text(io, b, text));
                for (std::size_t left = std::string_view(text).size(); left > 0;) {
                    ZCO_TRY(Chunk chunk, co_await stream.next());
                    EXPECT_FALSE(chunk.empty());
                    if (chunk.empty()) {
                        co_return {};
                    }
                    left -= chunk.size();
                    got += text_of(chunk);
                }
            }
            EXPECT_EQ(got, "onetwoa longer text than fits into one buffer");
            b.reset();
            ZCO_TRY(const Chunk end, co_await stream.next());
            EXPECT_TRUE(end.empty());
            ZCO_TRY(const Chunk end_again, co_await stream.next());
            EXPECT_TRUE(end_again.empty());
            EXPECT_EQ(pool->stats().held, 0U);
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io(), GetParam().sockets)));
}

TEST_P(RecvStreamTest, waits_for_buffers_when_the_pool_is_dry_and_loses_nothing) {
    struct Body {
        static Task<Result<void>> run(Io io, Sockets sockets) {
            auto [a, b] = socket_pair(sockets);
            ZCO_TRY(auto pool, BufferPool::create(io, 2, 4));
            RecvStream stream(io, a, pool);
            std::string sent;
            for (int n = 0; n < 50; ++n) {
                sent += std::format("{:03} ", n);
            }
            ZCO_CHECK(co_await send_text(io, b, sent));
            std::string got;
            while (got.size() < sent.size()) {
                ZCO_TRY(Chunk first, co_await stream.next());
                ZCO_TRY(Chunk second, co_await stream.next());
                got += text_of(first) + text_of(second);
            }
            EXPECT_EQ(got, sent);
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io(), GetParam().sockets)));
}

TEST_P(RecvStreamTest, goes_on_when_another_stream_gives_the_last_buffers_back) {
    struct Body {
        static Task<Result<std::string>> read_one(RecvStream& stream) {
            ZCO_TRY(const Chunk chunk, co_await stream.next());
            co_return text_of(chunk);
        }
        static Task<Result<void>> run(Io io, Sockets sockets) {
            auto [a, b] = socket_pair(sockets);
            auto [c, d] = socket_pair(sockets);
            ZCO_TRY(auto pool, BufferPool::create(io, 2, 4));
            RecvStream holder(io, a, pool);
            RecvStream starved(io, c, pool);
            ZCO_CHECK(co_await send_text(io, b, "12345678"));
            ZCO_TRY(Chunk first, co_await holder.next());
            ZCO_TRY(const Chunk second, co_await holder.next());
            ZCO_CHECK(co_await send_text(io, d, "late"));
            auto reading = io.async(read_one, std::ref(starved));
            while (pool->stats().ran_dry == 0) {
                ZCO_CHECK(co_await io.yield());
            }
            EXPECT_FALSE(reading.is_finished());
            first = Chunk();
            EXPECT_EQ(co_await reading, "late");
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io(), GetParam().sockets)));
}

TEST_P(RecvStreamTest, a_canceled_next_loses_no_byte) {
    struct Body {
        static Task<Result<void>> read_one(RecvStream& stream, std::string& got) {
            ZCO_TRY(const Chunk chunk, co_await stream.next());
            got += text_of(chunk);
            co_return {};
        }
        static Task<Result<void>> run(Io io, Sockets sockets) {
            auto [a, b] = socket_pair(sockets);
            ZCO_TRY(auto pool, BufferPool::create(io, 4, 64));
            RecvStream stream(io, a, pool);
            std::string got;
            auto reading = io.async(read_one, std::ref(stream), std::ref(got));
            (void)co_await io.yield();
            (void)co_await io.yield();
            EXPECT_EQ((co_await reading.cancel()).error(), Error(CoreError::canceled));
            EXPECT_EQ(
                (co_await stream.next().until(io.now() + 1ms)).error(), Error(CoreError::timed_out)
            );
            ZCO_CHECK(co_await send_text(io, b, "kept"));
            ZCO_CHECK(co_await read_one(stream, got));
            EXPECT_EQ(got, "kept");
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io(), GetParam().sockets)));
}

TEST_P(RecvStreamTest, one_that_ends_early_gives_its_buffers_back) {
    struct Body {
        static Task<Result<void>> run(Io io, Sockets sockets, std::shared_ptr<BufferPool>& pool) {
            auto [a, b] = socket_pair(sockets);
            ZCO_TRY(pool, BufferPool::create(io, 4, 8));
            {
                RecvStream stream(io, a, pool);
                ZCO_CHECK(co_await send_text(io, b, "first and more than is read"));
                ZCO_TRY(const Chunk chunk, co_await stream.next());
                EXPECT_EQ(text_of(chunk), "first an");
            }
            // A request that the kernel still has may only now end.
            while (pool.use_count() > 1) {
                ZCO_CHECK(co_await io.sleep_for(1ms));
            }
            EXPECT_EQ(pool->stats().held, 0U);
            pool.reset();
            co_return {};
        }
    };
    std::shared_ptr<BufferPool> pool;
    EXPECT_TRUE(io().run("root", Body::run(io(), GetParam().sockets, pool)));
}

TEST_P(RecvStreamTest, an_error_of_the_socket_is_given_once) {
    struct Body {
        static Task<Result<void>> run(Io io, Sockets /*sockets*/) {
            const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            ZCO_TRY(auto pool, BufferPool::create(io, 4, 8));
            RecvStream stream(io, socket, pool);
            EXPECT_EQ((co_await stream.next()).error(), os_error(ENOTCONN));
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io(), GetParam().sockets)));
}

TEST_P(RecvStreamTest, chunks_are_sent_on_in_order_and_go_back_to_their_pool) {
    struct Body {
        static Task<Result<void>> echo(Io io, Fd socket, std::shared_ptr<BufferPool> pool) {
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
        static Task<Result<void>> feed(Io io, const Fd& socket, const std::string& text) {
            ZCO_CHECK(co_await send_text(io, socket, text));
            ::shutdown(socket.get(), SHUT_WR);
            co_return {};
        }
        static Task<Result<void>> run(Io io, Sockets sockets) {
            auto [a, b] = socket_pair(sockets);
            // So small that chunks queue, and the sender has to wait for room.
            const int bytes = 4096;
            ::setsockopt(a.get(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
            ZCO_TRY(auto pool, BufferPool::create(io, 256, 64));
            std::string text;
            for (int n = 0; n < 20000; ++n) {
                text += std::format("{:06} ", n);
            }
            auto echoing = io.async(&Body::echo, io, std::move(a), pool);
            auto feeding = io.async(&Body::feed, io, std::cref(b), std::cref(text));
            std::string got;
            for (;;) {
                auto [count, buffer] = co_await io.recv(b, Bytes(4096));
                ZCO_CHECK(count);
                if (*count == 0) {
                    break;
                }
                got += buffer.text(*count);
            }
            EXPECT_EQ(got, text);
            EXPECT_TRUE(co_await echoing);
            EXPECT_TRUE(co_await feeding);
            EXPECT_EQ(pool->stats().held, 0U);
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io(), GetParam().sockets)));
}

TEST_P(RecvStreamTest, a_failed_send_is_returned_from_then_on) {
    struct Body {
        static Task<Result<void>> run(Io io, Sockets sockets) {
            auto [a, b] = socket_pair(sockets);
            ZCO_TRY(auto pool, BufferPool::create(io, 4, 64));
            ZCO_CHECK(co_await send_text(io, b, "bounces"));
            RecvStream in(io, a, pool);
            ZCO_TRY(Chunk chunk, co_await in.next());
            const linger reset{.l_onoff = 1, .l_linger = 0};
            ::setsockopt(b.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
            b.reset();
            SendStream out(io, a, pool);
            EXPECT_TRUE(co_await out.send(std::move(chunk)));
            const Result<void> flushed = co_await out.flush();
            EXPECT_TRUE(!flushed && flushed.error().os_error() != 0);
            EXPECT_EQ(co_await out.send(Chunk()), flushed);
            EXPECT_EQ(pool->stats().held, 0U);
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io(), GetParam().sockets)));
}

TEST(BufferPool, refuses_sizes_that_the_kernel_would_not_take) {
    auto worker = Worker::create();
    ASSERT_TRUE(worker);
    const Io io = (*worker)->io();
    EXPECT_EQ(BufferPool::create(io, 3, 8).error(), Error(CoreError::invalid_argument));
    EXPECT_EQ(BufferPool::create(io, 8, 0).error(), Error(CoreError::invalid_argument));
    EXPECT_EQ(BufferPool::create(io, 65536, 8).error(), Error(CoreError::invalid_argument));
    EXPECT_TRUE(BufferPool::create(io, 32768, 8));
}
