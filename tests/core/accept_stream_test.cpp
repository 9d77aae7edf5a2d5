// Connections by one request: none is lost, whatever the consumer or the descriptor table does.
#include "models.hpp"
#include "tests/core/seeds.hpp"

#include <zsync/core/accept_stream.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/simulation.hpp>

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <memory>
#include <poll.h>
#include <unistd.h>
#include <vector>

using namespace zsync;
using namespace std::chrono_literals;

namespace {

class AnyAcceptStream : public ModelTest {};
INSTANTIATE_TEST_SUITE_P(Models, AnyAcceptStream, real_models(), model_name);

class ConcurrentAcceptStream : public AnyAcceptStream {};
INSTANTIATE_TEST_SUITE_P(Models, ConcurrentAcceptStream, concurrent_models(), model_name);

/// A listener on loopback, its address, and clients that have connected to it.
class Lobby {
public:
    explicit Lobby(int flags = 0)
        : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0)) {
        address_.sin_family = AF_INET;
        address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof address_;
        EXPECT_EQ(::bind(listener_.get(), generic(), length), 0);
        EXPECT_EQ(::listen(listener_.get(), 1024), 0);
        EXPECT_EQ(::getsockname(listener_.get(), generic(), &length), 0);
    }
    [[nodiscard]] const Fd& listener() const { return listener_; }
    /// Connects clients; returns when they are in the listener's queue.
    void connect(std::size_t count) {
        for (std::size_t n = 0; n < count; ++n) {
            Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            EXPECT_EQ(::connect(client.get(), generic(), sizeof address_), 0);
            clients_.push_back(std::move(client));
        }
    }
    /// Connections that nobody has accepted.
    [[nodiscard]] std::size_t left() const {
        std::size_t count = 0;
        while (Fd client{::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK)}) {
            ++count;
            pollfd one{.fd = listener_.get(), .events = POLLIN, .revents = 0};
            if (::poll(&one, 1, 0) == 0) {
                break;
            }
        }
        return count;
    }
    [[nodiscard]] bool has_left() const {
        pollfd one{.fd = listener_.get(), .events = POLLIN, .revents = 0};
        return ::poll(&one, 1, 0) > 0;
    }

private:
    [[nodiscard]] sockaddr* generic() { return reinterpret_cast<sockaddr*>(&address_); }
    Fd listener_;
    sockaddr_in address_{};
    std::vector<Fd> clients_;
};

/// Few descriptors for this process, for as long as it lives. A request that the kernel has goes by
/// the limit of the time when it was made.
class FewDescriptors {
public:
    FewDescriptors() {
        EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
        const Fd lowest_free(::dup(STDERR_FILENO));
        constexpr rlim_t spare = 64;
        const rlimit few{
            .rlim_cur = static_cast<rlim_t>(lowest_free.get()) + spare, .rlim_max = before_.rlim_max
        };
        EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
    }
    FewDescriptors(const FewDescriptors&) = delete;
    FewDescriptors& operator=(const FewDescriptors&) = delete;
    ~FewDescriptors() { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0); }
    void use_up() {
        while (Fd one{::dup(STDERR_FILENO)}) {
            used_.push_back(std::move(one));
        }
    }
    void give_back() { used_.clear(); }

private:
    rlimit before_{};
    std::vector<Fd> used_;
};

/// What was accepted, and what became of the rest, is what has connected.
Task<Result<void>> expect_conserved(
    Io io, const Lobby& lobby, std::shared_ptr<const AcceptStats> stats, std::size_t connected
) {
    // The kernel may still have the request of a stream that has ended.
    while (stats.use_count() > 1) {
        ZCO_CHECK(co_await io.sleep_for(1ms));
    }
    const std::size_t left = lobby.has_left() ? lobby.left() : 0;
    EXPECT_EQ(stats->accepted + stats->closed + left, connected);
    co_return {};
}

} // namespace

TEST_P(AnyAcceptStream, gives_every_connection) {
    struct Body {
        static Task<Result<void>> run(Io io, Lobby& lobby) {
            AcceptStream connections(io, lobby.listener());
            lobby.connect(3);
            for (int n = 0; n < 3; ++n) {
                ZCO_TRY(const Fd client, co_await connections.next());
                EXPECT_NE(::fcntl(client.get(), F_GETFD) & FD_CLOEXEC, 0);
            }
            EXPECT_EQ(
                (co_await connections.next().until(io.now() + 2ms)).error(),
                Error(CoreError::timed_out)
            );
            lobby.connect(1);
            ZCO_TRY(const Fd late, co_await connections.next().until(io.now() + 1h));
            EXPECT_EQ(connections.stats()->accepted, 4U);
            co_return {};
        }
    };
    for (const int flags : {0, int{SOCK_NONBLOCK}}) {
        Lobby lobby(flags);
        EXPECT_TRUE(io().run("root", Body::run(io(), lobby)));
    }
}

TEST_P(AnyAcceptStream, more_connections_than_it_takes_ahead_all_come) {
    struct Body {
        static Task<Result<void>> run(Io io, Lobby& lobby) {
            constexpr std::size_t count = limits::accept_stream_queue_max + 1;
            AcceptStream connections(io, lobby.listener());
            lobby.connect(1);
            ZCO_TRY(Fd first, co_await connections.next());
            lobby.connect(count);
            for (int n = 0; n < 4; ++n) {
                ZCO_CHECK(co_await io.sleep_for(1us)); // they arrive while nobody asks
            }
            for (std::size_t n = 0; n < count; ++n) {
                ZCO_TRY(first, co_await connections.next().until(io.now() + 1h));
            }
            co_return {};
        }
    };
    Lobby lobby;
    EXPECT_TRUE(io().run("root", Body::run(io(), lobby)));
}

#ifndef ZSYNC_SANITIZED // whose checks of types need two descriptors themselves
TEST_P(AnyAcceptStream, keeps_a_connection_until_there_is_a_descriptor) {
    struct Body {
        static Task<Result<void>> run(Io io, Lobby& lobby) {
            FewDescriptors few;
            AcceptStream connections(io, lobby.listener());
            EXPECT_EQ(
                (co_await connections.next().until(io.now() + 1ms)).error(),
                Error(CoreError::timed_out)
            );
            lobby.connect(2);
            few.use_up();
            EXPECT_EQ(
                (co_await connections.next().until(io.now() + 50ms)).error(),
                Error(CoreError::timed_out)
            );
            // Every 20 ms, not in a loop.
            EXPECT_GE(connections.stats()->starved, 1U);
            EXPECT_LE(connections.stats()->starved, 4U);
            few.give_back();
            ZCO_TRY(const Fd first, co_await connections.next());
            ZCO_TRY(const Fd second, co_await connections.next());
            EXPECT_EQ(connections.stats()->accepted, 2U);
            co_return {};
        }
    };
    Lobby lobby;
    EXPECT_TRUE(io().run("root", Body::run(io(), lobby)));
}
#endif

TEST_P(AnyAcceptStream, an_end_loses_no_connection_unseen) {
    struct Body {
        static Task<Result<void>> run(Io io, Lobby& lobby) {
            std::shared_ptr<const AcceptStats> stats;
            {
                AcceptStream connections(io, lobby.listener());
                stats = connections.stats();
                lobby.connect(3);
                ZCO_TRY(const Fd client, co_await connections.next());
                for (int n = 0; n < 4; ++n) {
                    ZCO_CHECK(co_await io.yield());
                }
            }
            EXPECT_EQ(stats->accepted, 1U);
            co_return co_await expect_conserved(io, lobby, std::move(stats), 3);
        }
    };
    Lobby lobby;
    EXPECT_TRUE(io().run("root", Body::run(io(), lobby)));
}

TEST_P(AnyAcceptStream, says_what_is_wrong_with_the_listener) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            const Fd silent(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            AcceptStream connections(io, silent);
            EXPECT_EQ((co_await connections.next()).error().os_error(), EINVAL);
            EXPECT_EQ((co_await connections.next()).error().os_error(), EINVAL);
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(ConcurrentAcceptStream, a_canceled_next_loses_no_connection) {
    struct Body {
        static Task<Result<void>> accept(AcceptStream& connections) {
            co_return (co_await connections.next()).transform([](auto&&) {});
        }
        static Task<Result<void>> run(Io io, Lobby& lobby) {
            std::shared_ptr<const AcceptStats> stats;
            constexpr std::size_t count = 50;
            {
                AcceptStream connections(io, lobby.listener());
                stats = connections.stats();
                for (std::size_t n = 0; n < count; ++n) {
                    auto accepting = io.async(accept, std::ref(connections));
                    if (n % 2 == 0) {
                        ZCO_CHECK(co_await io.yield());
                    }
                    lobby.connect(1);
                    const Result<void> accepted = co_await accepting.cancel();
                    EXPECT_TRUE(accepted || accepted.error().is_canceled());
                }
            }
            co_return co_await expect_conserved(io, lobby, std::move(stats), count);
        }
    };
    Lobby lobby;
    EXPECT_TRUE(io().run("root", Body::run(io(), lobby)));
}

TEST(AcceptStream, one_request_serves_many_connections) {
    struct Body {
        static Task<Result<void>> run(Io io, Lobby& lobby, Worker& worker) {
            AcceptStream connections(io, lobby.listener());
            lobby.connect(1);
            ZCO_TRY(Fd client, co_await connections.next());
            lobby.connect(100);
            const std::uint64_t before = worker.stats().enters;
            for (int n = 0; n < 100; ++n) {
                ZCO_TRY(client, co_await connections.next());
            }
            if (worker.stats().in_flight != 0) {
                // The request is still there; else each connection takes one.
                EXPECT_LT(worker.stats().enters - before, 20U);
            }
            co_return {};
        }
    };
    auto worker = Worker::create();
    ASSERT_TRUE(worker);
    Lobby lobby;
    const Io io = (*worker)->io();
    EXPECT_TRUE(io.run("root", Body::run(io, lobby, **worker)));
}

TEST(AcceptStream, loses_no_connection_under_any_seed) {
    struct Body {
        static Task<Result<void>> accept(Io io, AcceptStream& connections) {
            for (;;) {
                ZCO_TRY(const Fd client, co_await connections.next().until(io.now() + 5ms));
            }
        }
        static Task<Result<void>> run(Io io, Lobby& lobby) {
            std::shared_ptr<const AcceptStats> stats;
            {
                AcceptStream connections(io, lobby.listener());
                stats = connections.stats();
                auto accepting = io.async(accept, io, std::ref(connections));
                lobby.connect(2);
                ZCO_CHECK(co_await io.sleep_for(1ms));
                lobby.connect(2);
                (void)co_await accepting.cancel();
            }
            co_return co_await expect_conserved(io, lobby, std::move(stats), 4);
        }
    };
    for (const std::uint64_t seed : seeds_to(200)) {
        SCOPED_TRACE(replay_of(seed));
        Simulation simulation(seed, {.multishot = seed % 3 != 0});
        Lobby lobby; // ends first: its descriptors are the worker's
        const Io io(simulation.worker(), seed % 2 == 0 ? TaskKind::coroutine : TaskKind::fiber);
        ASSERT_TRUE(io.run("root", Body::run(io, lobby)));
    }
}
