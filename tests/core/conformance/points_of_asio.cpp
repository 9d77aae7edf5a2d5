// Suspension points of Boost.Asio's operations on a worker's ring.
#include "tests/core/conformance/suspension_point.hpp"

#include <zsync/asio/use_task.hpp>
#include <zsync/core/worker.hpp>

#include <sys/socket.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <memory>
#include <poll.h>
#include <string>
#include <unistd.h>

namespace net = boost::asio;

namespace zsync::conformance {
namespace {

using asio::Context;
using asio::use_task;
using Local = net::local::stream_protocol;

/// The wait has a context of its own, which ends with it.
class OnAsio : public Point {
public:
    Task<Result<void>> wait(Io io) override {
        co_return co_await asio::in_context(io, &body, this);
    }

protected:
    virtual Task<Result<void>> operate(Context& context) = 0;

    /// Asio's socket of a descriptor, which stays as it is.
    static Local::socket socket_of(Context& context, FdRef fd) {
        return {context, Local(), ::dup(fd.get())};
    }

private:
    static Task<Result<void>> body(Context& context, OnAsio* self) {
        co_return co_await self->operate(context);
    }
};

/// Reads what is there, or with `whole` so many bytes.
template <bool whole, bool with_deadline> struct AsioRead final : OnAsio {
    void complete() override { put(pair_.b, "bytes"); }
    void account(bool got) override {
        EXPECT_EQ(got_ + take(pair_.a).size(), completed ? 5U : 0U) << "a byte was lost or doubled";
        EXPECT_TRUE(!got || got_ == 5);
    }

protected:
    Task<Result<void>> operate(Context& context) override {
        Local::socket socket = socket_of(context, pair_.a);
        if constexpr (whole) {
            auto [status, count] =
                co_await net::async_read(socket, net::buffer(bytes_, 5), net::as_tuple(use_task));
            got_ += count;
            co_return status;
        } else if constexpr (with_deadline) {
            ZCO_TRY(
                const std::size_t count,
                co_await socket.async_read_some(net::buffer(bytes_), use_task)
                    .until(context.worker().now() + std::chrono::hours(1))
            );
            got_ += count;
        } else {
            ZCO_TRY(
                const std::size_t count,
                co_await socket.async_read_some(net::buffer(bytes_), use_task)
            );
            got_ += count;
        }
        co_return {};
    }

private:
    Pair pair_ = socket_pair();
    std::array<char, 16> bytes_{};
    std::size_t got_ = 0;
};

/// To a socket that is full.
struct AsioWrite final : OnAsio {
    AsioWrite() {
        const std::string block(4096, 'x');
        while (::send(pair_.a.get(), block.data(), block.size(), MSG_DONTWAIT) > 0) {
        }
    }
    void complete() override { drained_ = take(pair_.b); }
    void account(bool /*got*/) override {
        drained_ += take(pair_.b);
        const auto arrived = static_cast<std::size_t>(std::ranges::count(drained_, 'y'));
        EXPECT_EQ(arrived, sent_) << "a byte was lost or doubled";
    }

protected:
    Task<Result<void>> operate(Context& context) override {
        Local::socket socket = socket_of(context, pair_.a);
        ZCO_TRY(
            const std::size_t count,
            co_await socket.async_write_some(net::buffer("yyyyy", 5), use_task)
        );
        sent_ += count;
        co_return {};
    }

private:
    Pair pair_ = socket_pair();
    std::string drained_;
    std::size_t sent_ = 0;
};

struct AsioAccept final : OnAsio {
    void complete() override {
        const SocketAddress address = name_of(listener_);
        const auto* generic = reinterpret_cast<const sockaddr*>(&address.storage);
        EXPECT_EQ(::connect(client_.get(), generic, address.length), 0);
    }
    void account(bool /*got*/) override {
        pollfd queue{.fd = listener_.get(), .events = POLLIN, .revents = 0};
        const int left = ::poll(&queue, 1, 0);
        EXPECT_EQ(accepted_ + left, completed ? 1 : 0) << "a connection was lost or doubled";
    }

protected:
    Task<Result<void>> operate(Context& context) override {
        net::ip::tcp::acceptor acceptor(context, net::ip::tcp::v4(), ::dup(listener_.get()));
        ZCO_TRY(auto client, co_await acceptor.async_accept(use_task));
        accepted_ += client.is_open() ? 1 : 0;
        co_return {};
    }

private:
    int accepted_ = 0;
    Fd listener_ = tcp_listener();
    Fd client_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
};

struct AsioTimer final : OnAsio {
    void account(bool /*got*/) override {}

protected:
    Task<Result<void>> operate(Context& context) override {
        net::steady_timer timer(context, std::chrono::hours(1));
        co_return co_await timer.async_wait(use_task);
    }
};

/// A trip through Asio's queue.
struct AsioPost final : OnAsio {
    void account(bool /*got*/) override {}

protected:
    Task<Result<void>> operate(Context& context) override {
        co_return co_await net::post(context, use_task);
    }
};

/// An operation of another context, which ends on a thread of that.
struct AsioForeign final : OnAsio {
    void account(bool /*got*/) override { pool_.join(); }

protected:
    Task<Result<void>> operate(Context& /*context*/) override {
        co_return co_await net::post(pool_, use_task);
    }

private:
    net::thread_pool pool_{1};
};

/// The end of a context in which somebody else's operation is under way.
struct AsioJoin final : Point {
    Task<Result<void>> wait(Io io) override {
        auto context = Context::create(io);
        if (!context) {
            co_return fail(context.error().error);
        }
        Local::socket socket(**context, Local(), ::dup(pair_.a.get()));
        socket.async_read_some(
            net::buffer(bytes_),
            [this](const boost::system::error_code& /*code*/, std::size_t count) { got_ += count; }
        );
        co_return co_await (*context)->join();
    }
    void complete() override { put(pair_.b, "bytes"); }
    void account(bool /*got*/) override {
        EXPECT_EQ(got_ + take(pair_.a).size(), completed ? 5U : 0U) << "a byte was lost or doubled";
    }

private:
    Pair pair_ = socket_pair();
    std::array<char, 16> bytes_{};
    std::size_t got_ = 0;
};

} // namespace

std::vector<PointRow> asio_points() {
    using enum Ending;
    constexpr Needs asio_needs = network | outside | on_worker;
    return {
        {"asio socket.async_read_some",
         "Operation",
         asio_needs,
         waits,
         &make_point<AsioRead<false, false>>},
        {"asio socket.async_read_some with a deadline",
         "Operation",
         asio_needs,
         waits,
         &make_point<AsioRead<false, true>>},
        {"asio async_read of all",
         "Operation",
         asio_needs,
         waits,
         &make_point<AsioRead<true, false>>},
        {"asio socket.async_write_some", "Operation", asio_needs, waits, &make_point<AsioWrite>},
        {"asio acceptor.async_accept", "Operation", asio_needs, waits, &make_point<AsioAccept>},
        {"asio timer.async_wait", "Operation", asio_needs, never, &make_point<AsioTimer>},
        {"asio post", "Operation", asio_needs, ends, &make_point<AsioPost>},
        {"asio post to another context", "Operation", asio_needs, ends, &make_point<AsioForeign>},
        {"asio context.join", "join", asio_needs, waits, &make_point<AsioJoin>},
    };
}

} // namespace zsync::conformance
