// Suspension points of streams.
#include "tests/core/conformance/suspension_point.hpp"

#include <zsync/core/accept_stream.hpp>
#include <zsync/core/datagram_stream.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/send_stream.hpp>
#include <zsync/core/stream.hpp>

#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

namespace zsync::conformance {
namespace {

template <Pair (*make)(), bool timed = false> struct StreamNext final : Point {
    Task<Result<void>> prepare(Io io) override {
        ZCO_TRY(pool_, BufferPool::create(io, 4, 16));
        stream_.emplace(io, pair_.a, pool_);
        co_return {};
    }
    Task<Result<void>> wait(Io io) override { co_return co_await take_next(io); }
    void complete() override { put(pair_.b, "bytes"); }
    Task<Result<void>> settle(Io io) override {
        settled_ = true;
        while (completed && got_ < 5) {
            ZCO_CHECK(co_await take_next(io));
        }
        co_return {};
    }
    void account(bool /*got*/) override {
        if (settled_) {
            EXPECT_EQ(got_, completed ? 5U : 0U) << "a byte was lost or doubled";
        }
        stream_.reset();
    }

private:
    Task<Result<void>> take_next([[maybe_unused]] Io io) {
        Result<Chunk> chunk;
        if constexpr (timed) {
            chunk = co_await stream_->next().until(io.now() + 24h);
        } else {
            chunk = co_await stream_->next();
        }
        if (!chunk) {
            co_return fail(chunk.error());
        }
        EXPECT_FALSE(chunk->empty());
        got_ += chunk->size();
        co_return {};
    }
    Pair pair_ = make();
    std::shared_ptr<BufferPool> pool_;
    std::optional<RecvStream> stream_;
    std::size_t got_ = 0;
    bool settled_ = false;
};

/// Waits for a buffer, because another chunk holds the only one.
struct StreamNextStarved final : Point {
    Task<Result<void>> prepare(Io io) override {
        ZCO_TRY(pool_, BufferPool::create(io, 1, 4));
        stream_.emplace(io, pair_.a, pool_);
        put(pair_.b, "heldnext");
        ZCO_TRY(held_, co_await stream_->next());
        co_return {};
    }
    Task<Result<void>> wait(Io /*io*/) override {
        ZCO_TRY(const Chunk chunk, co_await stream_->next());
        got_ += chunk.size();
        co_return {};
    }
    void complete() override { held_ = Chunk(); }
    Task<Result<void>> settle(Io io) override {
        held_ = Chunk();
        if (got_ == 0) {
            ZCO_CHECK(co_await wait(io));
        }
        EXPECT_EQ(got_, 4U) << "a byte was lost or doubled";
        EXPECT_EQ(pool_->stats().held, 0U) << "a buffer was lost";
        co_return {};
    }
    void account(bool /*got*/) override {
        held_ = Chunk();
        stream_.reset();
    }

private:
    Pair pair_ = socket_pair();
    std::shared_ptr<BufferPool> pool_;
    std::optional<RecvStream> stream_;
    Chunk held_;
    std::size_t got_ = 0;
};

/// A send stream on a socket that is full, with as many chunks in it as it takes.
class OnSendStream : public Point {
public:
    Task<Result<void>> prepare(Io io) override {
        constexpr std::uint32_t chunks = 2 * limits::send_stream_chunks_max;
        ZCO_TRY(pool_, BufferPool::create(io, chunks, 1));
        const std::string block(4096, 'x');
        while (::send(out_.a.get(), block.data(), block.size(), MSG_DONTWAIT) > 0) {
        }
        source_.emplace(io, in_.a, pool_);
        stream_.emplace(io, out_.a, pool_);
        put(in_.b, std::string(limits::send_stream_chunks_max + 1, 'y'));
        // On a thread a send is done when it returns: the first one waits already.
        const std::uint32_t queued =
            io.kind() == TaskKind::thread ? 0 : limits::send_stream_chunks_max;
        for (; given_ < queued; ++given_) {
            ZCO_TRY(Chunk chunk, co_await source_->next());
            ZCO_CHECK(co_await stream_->send(std::move(chunk)));
        }
        ZCO_TRY(last_, co_await source_->next());
        co_return {};
    }
    void complete() override { drained_ = take(out_.b); }
    Task<Result<void>> settle(Io io) override {
        source_.reset();
        ZCO_CHECK(co_await drain(io));
        if (last_) { // it was given back
            ZCO_CHECK(co_await stream_->send(std::move(last_)));
            ++given_;
            ZCO_CHECK(co_await drain(io));
        }
        ZCO_CHECK(co_await stream_->flush());
        EXPECT_EQ(sent(), given_) << "a chunk was lost or doubled";
        co_return {};
    }
    bool release() override {
        last_ = Chunk();
        source_.reset();
        stream_.reset(); // it goes on sending, to nobody who reads
        return pool_->stats().held != 0;
    }
    void account(bool /*got*/) override {
        EXPECT_EQ(pool_->stats().held, 0U) << "a buffer was lost";
    }

protected:
    /// What has been given is with the peer, and there is room for more.
    Task<Result<void>> drain(Io io) {
        while (sent() < given_) {
            const auto some = co_await io.recv(out_.b, Bytes(65536));
            ZCO_CHECK(some.count);
            drained_ += text_of(some);
        }
        drained_ += take(out_.b);
        co_return {};
    }
    [[nodiscard]] std::size_t sent() const {
        return static_cast<std::size_t>(std::ranges::count(drained_, 'y'));
    }
    Pair in_ = socket_pair();
    Pair out_ = socket_pair();
    std::shared_ptr<BufferPool> pool_;
    std::optional<RecvStream> source_;
    std::optional<SendStream> stream_;
    Chunk last_;
    std::string drained_;
    std::size_t given_ = 0;
};

struct StreamSend final : OnSendStream {
    Task<Result<void>> wait(Io /*io*/) override {
        auto sending = stream_->send(std::move(last_));
        const Result<void> sent = co_await sending;
        given_ += sent ? 1 : 0;
        if (!sent) {
            last_ = sending.take_back();
            EXPECT_TRUE(last_) << "a chunk was lost";
        }
        co_return sent;
    }
};

struct StreamFlush final : OnSendStream {
    Task<Result<void>> prepare(Io io) override {
        ZCO_CHECK(co_await OnSendStream::prepare(io));
        last_ = Chunk();
        co_return {};
    }
    Task<Result<void>> wait(Io /*io*/) override { co_return co_await stream_->flush(); }
};

/// The next connection of a listener.
struct Connections final : Point {
    Task<Result<void>> prepare(Io io) override {
        stream_.emplace(io, listener_);
        co_return {};
    }
    Task<Result<void>> wait(Io /*io*/) override {
        ZCO_TRY(const Fd client, co_await stream_->next());
        ++got_;
        co_return {};
    }
    void complete() override {
        const SocketAddress address = name_of(listener_);
        const auto* generic = reinterpret_cast<const sockaddr*>(&address.storage);
        EXPECT_EQ(::connect(client_.get(), generic, address.length), 0);
    }
    Task<Result<void>> settle(Io io) override {
        if (completed && got_ == 0) {
            ZCO_CHECK(co_await wait(io));
        }
        EXPECT_EQ(got_, completed ? 1U : 0U) << "a connection was lost or doubled";
        co_return {};
    }
    void account(bool /*got*/) override { stream_.reset(); }

private:
    Fd listener_ = tcp_listener();
    Fd client_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    std::optional<AcceptStream> stream_;
    std::size_t got_ = 0;
};

/// The next datagram of a socket.
struct Datagrams final : Point {
    Task<Result<void>> prepare(Io io) override {
        ZCO_TRY(pool_, BufferPool::create(io, 4, 512));
        stream_.emplace(io, pair_.a, pool_);
        co_return {};
    }
    Task<Result<void>> wait(Io /*io*/) override {
        ZCO_TRY(const ReceivedDatagram datagram, co_await stream_->next());
        EXPECT_EQ(datagram.bytes().size(), 5U);
        ++got_;
        co_return {};
    }
    void complete() override { put(pair_.b, "bytes"); }
    Task<Result<void>> settle(Io io) override {
        if (completed && got_ == 0) {
            ZCO_CHECK(co_await wait(io));
        }
        EXPECT_EQ(got_, completed ? 1U : 0U) << "a datagram was lost or doubled";
        co_return {};
    }
    void account(bool /*got*/) override { stream_.reset(); }

private:
    Pair pair_ = socket_pair(SOCK_DGRAM);
    std::shared_ptr<BufferPool> pool_;
    std::optional<DatagramStream> stream_;
    std::size_t got_ = 0;
};

/// Waits for a buffer, because another datagram holds the only one.
struct DatagramsStarved final : Point {
    Task<Result<void>> prepare(Io io) override {
        ZCO_TRY(pool_, BufferPool::create(io, 1, 512));
        stream_.emplace(io, pair_.a, pool_);
        put(pair_.b, "held");
        put(pair_.b, "next");
        ZCO_TRY(ReceivedDatagram held, co_await stream_->next());
        held_.emplace(std::move(held));
        co_return {};
    }
    Task<Result<void>> wait(Io /*io*/) override {
        ZCO_TRY(const ReceivedDatagram datagram, co_await stream_->next());
        EXPECT_EQ(datagram.bytes().size(), 4U);
        ++got_;
        co_return {};
    }
    void complete() override { held_.reset(); }
    Task<Result<void>> settle(Io io) override {
        held_.reset();
        if (got_ == 0) {
            ZCO_CHECK(co_await wait(io));
        }
        EXPECT_EQ(got_, 1U) << "a datagram was lost or doubled";
        EXPECT_EQ(pool_->stats().held, 0U) << "a buffer was lost";
        co_return {};
    }
    void account(bool /*got*/) override {
        held_.reset();
        stream_.reset();
    }

private:
    Pair pair_ = socket_pair(SOCK_DGRAM);
    std::shared_ptr<BufferPool> pool_;
    std::optional<DatagramStream> stream_;
    std::optional<ReceivedDatagram> held_;
    std::size_t got_ = 0;
};

} // namespace

std::vector<PointRow> stream_points() {
    using enum Ending;
    return {
        {"recv_stream.next over TCP",
         "RecvNext",
         network,
         waits,
         &make_point<StreamNext<&tcp_pair>>},
        {"recv_stream.next", "RecvNext", network, waits, &make_point<StreamNext<&unix_pair>>},
        {"recv_stream.next with a deadline",
         "RecvNextUntil",
         network | timer,
         waits,
         &make_point<StreamNext<&unix_pair, true>>},
        {"recv_stream.next of a dry pool",
         "RecvNext",
         network,
         waits,
         &make_point<StreamNextStarved>},
        {"accept_stream.next", "AcceptNext", network, waits, &make_point<Connections>},
        {"datagram_stream.next", "DatagramNext", network, waits, &make_point<Datagrams>},
        {"datagram_stream.next of a dry pool",
         "DatagramNext",
         network,
         waits,
         &make_point<DatagramsStarved>},
        {"send_stream.send", "SendWait", network, waits, &make_point<StreamSend>},
        {"send_stream.flush", "SendWait", network, ends, &make_point<StreamFlush>},
    };
}

} // namespace zsync::conformance
