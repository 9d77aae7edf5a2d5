// A stream that ends lets go of its socket, whatever arrives at that moment.
#include "models.hpp"

#include <zsync/core/accept_stream.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/stream.hpp>

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

using namespace zsync;

namespace {

constexpr int clients = 3;
constexpr int connections_each = 200;
constexpr std::size_t bytes_sent = 20'000;
constexpr std::size_t bytes_read = 16'384; // and a few: the rest is on its way when the stream ends
constexpr timeval patience{.tv_sec = 5, .tv_usec = 0};

/// Threads that connect again and again, send, and wait for the end.
class Clients {
public:
    explicit Clients(FdRef listener) {
        socklen_t length = sizeof server_;
        EXPECT_EQ(::getsockname(listener.get(), generic(), &length), 0);
        for (int n = 0; n < clients; ++n) {
            threads_.emplace_back([this] { run(); });
        }
    }
    /// Connections of which no end was seen.
    int left_open() {
        for (std::thread& thread : threads_) {
            thread.join();
        }
        return left_open_.load();
    }

private:
    sockaddr* generic() { return reinterpret_cast<sockaddr*>(&server_); }
    void run() {
        const std::vector<char> bytes(bytes_sent, 'x');
        for (int n = 0; n < connections_each; ++n) {
            const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
            EXPECT_EQ(::connect(socket.get(), generic(), sizeof server_), 0);
            (void)::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            char end = 0;
            if (::recv(socket.get(), &end, 1, 0) != 0 && errno == EAGAIN) {
                ++left_open_;
                return;
            }
        }
    }

    sockaddr_in server_{};
    std::atomic<int> left_open_ = 0;
    std::vector<std::thread> threads_;
};

Fd listen_on_loopback() {
    Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(
        ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0
    );
    EXPECT_EQ(::listen(listener.get(), SOMAXCONN), 0);
    return listener;
}

Task<void> read_part(Io io, Fd socket, std::shared_ptr<BufferPool> pool) {
    RecvStream in(io, socket, std::move(pool));
    for (std::size_t got = 0; got <= bytes_read;) {
        const Result<Chunk> chunk = co_await in.next();
        if (!chunk || chunk->empty()) {
            co_return;
        }
        got += chunk->size();
    }
}

Task<Result<void>> serve(Scope& scope, Io io, FdRef listener) {
    ZCO_TRY(const auto pool, BufferPool::create(io, 256, 4096));
    AcceptStream connections(io, listener);
    for (int n = 0; n < clients * connections_each; ++n) {
        const TimePoint deadline = io.now() + std::chrono::seconds(2 * patience.tv_sec);
        Result<Fd> socket = co_await connections.next().until(deadline);
        if (!socket) {
            break; // a client has given up
        }
        scope.spawn("reader", read_part, io, *std::move(socket), pool);
    }
    co_return co_await scope.join();
}

class RecvStreamEnd : public testing::TestWithParam<Model> {};
INSTANTIATE_TEST_SUITE_P(Models, RecvStreamEnd, concurrent_models(), model_name);

} // namespace

TEST_P(RecvStreamEnd, amid_bytes_is_seen_by_the_peer) {
    ModelHost host(GetParam());
    const Fd listener = listen_on_loopback();
    Clients all{FdRef(listener)};
    EXPECT_TRUE(host.io().run(
        "serve", in_scope(host.io(), "connections", &serve, host.io(), FdRef(listener))
    ));
    EXPECT_EQ(all.left_open(), 0);
}
