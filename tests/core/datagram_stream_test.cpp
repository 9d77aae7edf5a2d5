// Datagrams by one request: each with where it came from, none lost by a cancel.
#include "models.hpp"
#include "tests/core/seeds.hpp"

#include <zsync/core/batch.hpp>
#include <zsync/core/datagram_stream.hpp>
#include <zsync/core/simulation.hpp>

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <format>
#include <memory>
#include <string>
#include <unistd.h>
#include <vector>

using namespace zsync;
using namespace std::chrono_literals;
using Op = BatchOperation;

namespace {

class AnyDatagramStream : public ModelTest {};
INSTANTIATE_TEST_SUITE_P(Models, AnyDatagramStream, real_models(), model_name);

class ConcurrentDatagramStream : public AnyDatagramStream {};
INSTANTIATE_TEST_SUITE_P(Models, ConcurrentDatagramStream, concurrent_models(), model_name);

constexpr std::uint32_t buffer_bytes = 256;

/// A UDP socket on loopback and its address.
struct Place {
    Place() : socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        address.length = sizeof(sockaddr_in);
        auto& in = reinterpret_cast<sockaddr_in&>(address.storage);
        in.sin_family = AF_INET;
        in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::bind(socket.get(), generic(), address.length), 0);
        EXPECT_EQ(::getsockname(socket.get(), generic(), &address.length), 0);
    }
    void send(const Place& to, std::string_view text) const {
        const auto* target = reinterpret_cast<const sockaddr*>(&to.address.storage);
        EXPECT_EQ(
            ::sendto(socket.get(), text.data(), text.size(), 0, target, to.address.length),
            static_cast<ssize_t>(text.size())
        );
    }
    [[nodiscard]] sockaddr* generic() { return reinterpret_cast<sockaddr*>(&address.storage); }
    [[nodiscard]] std::uint16_t port() const { return port_of(address); }
    static std::uint16_t port_of(const SocketAddress& of) {
        EXPECT_EQ(of.length, sizeof(sockaddr_in));
        return ntohs(reinterpret_cast<const sockaddr_in&>(of.storage).sin_port);
    }

    Fd socket;
    SocketAddress address;
};

std::string text_of(const ReceivedDatagram& datagram) {
    const auto bytes = datagram.bytes();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

} // namespace

TEST_P(AnyDatagramStream, gives_each_with_its_sender_and_empty_ones_too) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            const Place here;
            const Place one;
            const Place two;
            ZCO_TRY(auto pool, BufferPool::create(io, 8, buffer_bytes));
            DatagramStream stream(io, here.socket, pool);
            one.send(here, "from one");
            two.send(here, "");
            one.send(here, std::string(2000, 'x'));
            two.send(here, "from two");
            {
                ZCO_TRY(const ReceivedDatagram first, co_await stream.next());
                EXPECT_EQ(text_of(first), "from one");
                EXPECT_EQ(Place::port_of(first.from()), one.port());
                EXPECT_FALSE(first.truncated());
                EXPECT_EQ(first.segment_bytes(), 0U);
                ZCO_TRY(const ReceivedDatagram second, co_await stream.next());
                EXPECT_EQ(text_of(second), "");
                EXPECT_EQ(Place::port_of(second.from()), two.port());
                ZCO_TRY(const ReceivedDatagram third, co_await stream.next());
                EXPECT_TRUE(third.truncated());
                EXPECT_GE(third.bytes().size(), buffer_bytes - DatagramStream::overhead_bytes);
                EXPECT_EQ(text_of(third), std::string(third.bytes().size(), 'x'));
                ZCO_TRY(const ReceivedDatagram fourth, co_await stream.next());
                EXPECT_EQ(text_of(fourth), "from two");
            }
            EXPECT_EQ(
                (co_await stream.next().until(io.now() + 2ms)).error(), Error(CoreError::timed_out)
            );
            // Where there is no ring one is lent to the request.
            EXPECT_LE(pool->stats().held, pool->is_on_ring() ? 0U : 1U);
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(AnyDatagramStream, an_error_of_the_socket_is_given_once) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            const Place here;
            Place gone;
            ZCO_CHECK(co_await io.connect(here.socket, gone.address));
            gone.socket.reset();
            ZCO_TRY(auto pool, BufferPool::create(io, 8, buffer_bytes));
            DatagramStream stream(io, here.socket, pool);
            EXPECT_EQ((co_await io.send(here.socket, Bytes::copy_of("x"))).count, 1U);
            EXPECT_EQ((co_await stream.next()).error().os_error(), ECONNREFUSED);
            EXPECT_EQ(
                (co_await stream.next().until(io.now() + 2ms)).error(), Error(CoreError::timed_out)
            );
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(AnyDatagramStream, a_batch_sends_many_and_all_arrive) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            const Place here;
            const Place there;
            constexpr std::size_t count = 100;
            std::array<BatchSlot, count> storage;
            std::array<std::string, count> texts;
            ZCO_TRY(auto pool, BufferPool::create(io, 4, buffer_bytes));
            {
                Batch batch(io, storage);
                for (std::size_t n = 0; n < count; ++n) {
                    texts[n] = std::format("datagram {}", n);
                    ZCO_CHECK(batch.add(
                        n,
                        Op::send_to(there.socket, std::as_bytes(std::span(texts[n])), here.address)
                    ));
                }
                ZCO_CHECK(co_await batch.all());
                while (const auto done = batch.next()) {
                    EXPECT_EQ(done->value, texts[done->tag].size());
                }
            }
            // Fewer buffers than datagrams: the rest waits in the socket.
            DatagramStream stream(io, here.socket, pool);
            for (std::size_t n = 0; n < count; ++n) {
                ZCO_TRY(const ReceivedDatagram datagram, co_await stream.next());
                EXPECT_EQ(text_of(datagram), texts[n]);
                EXPECT_EQ(Place::port_of(datagram.from()), there.port());
            }
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(AnyDatagramStream, coalesced_datagrams_say_their_size) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            const Place here;
            const Place there;
            const int on = 1;
            const int segment = 100;
            if (::setsockopt(here.socket.get(), SOL_UDP, UDP_GRO, &on, sizeof on) != 0 ||
                ::setsockopt(there.socket.get(), SOL_UDP, UDP_SEGMENT, &segment, sizeof segment) !=
                    0) {
                co_return fail(CoreError::unsupported);
            }
            ZCO_TRY(auto pool, BufferPool::create(io, 4, 4096));
            DatagramStream stream(io, here.socket, pool);
            there.send(here, std::string(950, 'x'));
            std::size_t received = 0;
            while (received < 950) {
                ZCO_TRY(const ReceivedDatagram datagram, co_await stream.next());
                received += datagram.bytes().size();
                EXPECT_TRUE(datagram.bytes().size() <= 100 || datagram.segment_bytes() == 100)
                    << datagram.segment_bytes();
            }
            EXPECT_EQ(received, 950U);
            co_return {};
        }
    };
    const Result<void> ran = io().run("root", Body::run(io()));
    if (!ran && ran.error() == Error(CoreError::unsupported)) {
        GTEST_SKIP() << "this kernel has no UDP segmentation (UDP_SEGMENT, UDP_GRO)";
    }
    EXPECT_TRUE(ran);
}

TEST_P(ConcurrentDatagramStream, a_canceled_next_loses_none_and_an_end_gives_buffers_back) {
    struct Body {
        static Task<Result<std::string>> read_one(DatagramStream& stream) {
            ZCO_TRY(const ReceivedDatagram datagram, co_await stream.next());
            co_return text_of(datagram);
        }
        static Task<Result<void>> run(Io io) {
            const Place here;
            const Place there;
            ZCO_TRY(auto pool, BufferPool::create(io, 4, buffer_bytes));
            std::size_t received = 0;
            constexpr std::size_t count = 100;
            {
                DatagramStream stream(io, here.socket, pool);
                for (std::size_t n = 0; n < count; ++n) {
                    auto reading = io.async(read_one, std::ref(stream));
                    if (n % 2 == 0) {
                        ZCO_CHECK(co_await io.yield());
                    }
                    there.send(here, "x");
                    const Result<std::string> got = co_await reading.cancel();
                    EXPECT_TRUE(got || got.error().is_canceled());
                    received += got ? 1 : 0;
                }
                while (received < count) {
                    ZCO_TRY(const std::string rest, co_await read_one(stream));
                    ++received;
                }
                there.send(here, "never taken");
                ZCO_CHECK(co_await io.yield());
            }
            // A request that the kernel still has may only now end.
            while (pool.use_count() > 1) {
                ZCO_CHECK(co_await io.sleep_for(1ms));
            }
            EXPECT_EQ(pool->stats().held, 0U);
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST(DatagramStream, one_wake_up_serves_many_and_a_dry_pool_only_waits) {
    struct Body {
        static Task<Result<void>> run(Io io, Worker& worker) {
            const Place here;
            const Place there;
            ZCO_TRY(auto pool, BufferPool::create(io, 64, buffer_bytes));
            DatagramStream stream(io, here.socket, pool);
            for (int n = 0; n < 50; ++n) {
                there.send(here, "x");
            }
            const std::uint64_t before = worker.stats().enters;
            for (int n = 0; n < 50; ++n) {
                ZCO_TRY(const ReceivedDatagram datagram, co_await stream.next());
            }
            if (pool->is_on_ring() && worker.stats().in_flight != 0) {
                EXPECT_LE(worker.stats().enters - before, 4U);
            }
            std::vector<ReceivedDatagram> kept;
            for (int n = 0; n < 70; ++n) {
                there.send(here, std::format("{}", n));
            }
            for (int n = 0; n < 64; ++n) {
                ZCO_TRY(ReceivedDatagram datagram, co_await stream.next());
                kept.push_back(std::move(datagram));
            }
            EXPECT_EQ(
                (co_await stream.next().until(io.now() + 2ms)).error(), Error(CoreError::timed_out)
            );
            kept.clear();
            ZCO_TRY(const ReceivedDatagram next, co_await stream.next());
            EXPECT_EQ(text_of(next), "64");
            co_return {};
        }
    };
    auto worker = Worker::create();
    ASSERT_TRUE(worker);
    const Io io = (*worker)->io();
    EXPECT_TRUE(io.run("root", Body::run(io, **worker)));
}

TEST(DatagramStream, loses_none_under_any_seed) {
    struct Body {
        static Task<Result<void>>
        read(Io io, DatagramStream& stream, const Place& from, std::string& got) {
            for (;;) {
                ZCO_TRY(
                    const ReceivedDatagram datagram, co_await stream.next().until(io.now() + 3ms)
                );
                EXPECT_EQ(Place::port_of(datagram.from()), from.port());
                got += text_of(datagram);
            }
        }
        static Task<Result<void>> run(Io io) {
            const Place here;
            const Place there;
            std::string got;
            ZCO_TRY(auto pool, BufferPool::create(io, 2, buffer_bytes));
            {
                DatagramStream stream(io, here.socket, pool);
                auto reading =
                    io.async(read, io, std::ref(stream), std::cref(there), std::ref(got));
                there.send(here, "a");
                there.send(here, "b");
                ZCO_CHECK(co_await io.sleep_for(1ms));
                there.send(here, "c");
                (void)co_await reading.cancel();
                (void)co_await read(io, stream, there, got);
            }
            EXPECT_EQ(got, "abc");
            co_return {};
        }
    };
    for (const std::uint64_t seed : seeds_to(200)) {
        SCOPED_TRACE(replay_of(seed));
        Simulation simulation(seed, {.multishot = seed % 3 != 0});
        const Io io(simulation.worker(), seed % 2 == 0 ? TaskKind::coroutine : TaskKind::fiber);
        ASSERT_TRUE(io.run("root", Body::run(io)));
    }
}
