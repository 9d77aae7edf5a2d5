// Suspension points with a deadline, which a cancel comes before: its timer goes with the wait.
#include "tests/core/conformance/suspension_point.hpp"

#include <zsync/core/accept_stream.hpp>
#include <zsync/core/batch.hpp>
#include <zsync/core/channel.hpp>
#include <zsync/core/datagram_stream.hpp>
#include <zsync/core/interval.hpp>

#include <sys/socket.h>

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace zsync::conformance {
namespace {

constexpr Duration far = 24h;

struct RecvUntil final : Point {
    Task<Result<void>> wait(Io io) override {
        const auto received = co_await io.recv(pair_.a, Bytes(16)).until(io.now() + far);
        ZCO_CHECK(received.count);
        got_ += *received.count;
        co_return {};
    }
    void complete() override { put(pair_.b, "bytes"); }
    void account(bool got) override {
        EXPECT_EQ(got, got_ != 0);
        EXPECT_EQ(got_ + take(pair_.a).size(), completed ? 5U : 0U) << "a byte was lost or doubled";
    }

private:
    Pair pair_ = socket_pair();
    std::size_t got_ = 0;
};

struct SendZeroCopyUntil final : Point {
    Task<Result<void>> wait(Io io) override {
        const auto sent =
            co_await io.send_zero_copy(pair_.b, Bytes::copy_of("zero")).until(io.now() + far);
        EXPECT_EQ(sent.buffer.size(), 4U);
        ZCO_CHECK(sent.count);
        got_ = *sent.count;
        co_return {};
    }
    void account(bool got) override {
        EXPECT_EQ(got, got_ != 0);
        EXPECT_EQ(take(pair_.a).size(), got_);
    }

private:
    Pair pair_ = tcp_pair();
    std::size_t got_ = 0;
};

struct ReceiveUntil final : Point {
    Task<Result<void>> wait(Io io) override {
        ZCO_TRY(const int value, co_await channel_.receive().until(io.now() + far));
        got_ += value;
        co_return {};
    }
    void complete() override {
        int value = 1;
        EXPECT_TRUE(channel_.try_send(value));
    }
    void account(bool /*got*/) override {
        EXPECT_EQ(got_ + static_cast<int>(channel_.size()), completed ? 1 : 0)
            << "a value was lost or doubled";
    }

private:
    Channel<int> channel_{1};
    int got_ = 0;
};

struct TickUntil final : Point {
    explicit TickUntil(Io io) : ticks_(io, 2 * far) {}
    Task<Result<void>> wait(Io io) override {
        co_return (co_await ticks_.tick().until(io.now() + far)).transform([](TimePoint) {});
    }
    void account(bool got) override { EXPECT_FALSE(got); }

private:
    Interval ticks_;
};

struct BatchAllUntil final : Point {
    Task<Result<void>> wait(Io io) override {
        Batch batch(io, storage_);
        ZCO_CHECK(batch.add(
            1, BatchOperation::recv(FdRef(pair_.a), std::as_writable_bytes(std::span(bytes_)))
        ));
        const Result<void> all = co_await batch.all().until(io.now() + far);
        got_ += batch.next()->value.value_or(0);
        co_return all;
    }
    void complete() override { put(pair_.b, "bytes"); }
    void account(bool /*got*/) override {
        EXPECT_EQ(got_ + take(pair_.a).size(), completed ? 5U : 0U) << "a byte was lost or doubled";
    }

private:
    Pair pair_ = socket_pair();
    std::array<char, 16> bytes_{};
    std::array<BatchSlot, 1> storage_;
    std::size_t got_ = 0;
};

/// A stream of whatever comes one by one.
template <class Stream> class NextUntil : public Point {
public:
    Task<Result<void>> wait(Io io) override {
        const auto next = co_await stream_->next().until(io.now() + far);
        if (!next) {
            co_return fail(next.error());
        }
        ++got_;
        co_return {};
    }
    Task<Result<void>> settle(Io io) override {
        if (completed && got_ == 0) {
            ZCO_CHECK(co_await wait(io));
        }
        EXPECT_EQ(got_, completed ? 1 : 0) << "one was lost or doubled";
        co_return {};
    }
    void account(bool /*got*/) override { stream_.reset(); }

protected:
    std::optional<Stream> stream_;

private:
    int got_ = 0;
};

struct ConnectionUntil final : NextUntil<AcceptStream> {
    Task<Result<void>> prepare(Io io) override {
        stream_.emplace(io, listener_);
        co_return {};
    }
    void complete() override {
        const SocketAddress address = name_of(listener_);
        const auto* generic = reinterpret_cast<const sockaddr*>(&address.storage);
        EXPECT_EQ(::connect(client_.get(), generic, address.length), 0);
    }

private:
    Fd listener_ = tcp_listener();
    Fd client_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
};

struct DatagramUntil final : NextUntil<DatagramStream> {
    Task<Result<void>> prepare(Io io) override {
        ZCO_TRY(pool_, BufferPool::create(io, 4, 512));
        stream_.emplace(io, pair_.a, pool_);
        co_return {};
    }
    void complete() override { put(pair_.b, "bytes"); }

private:
    Pair pair_ = socket_pair(SOCK_DGRAM);
    std::shared_ptr<BufferPool> pool_;
};

} // namespace

std::vector<PointRow> deadline_points() {
    using enum Ending;
    constexpr Needs by_network = network | timer;
    return {
        {"io.recv with a deadline", "TransferWait", by_network, waits, &make_point<RecvUntil>},
        {"io.send_zero_copy with a deadline",
         "ZeroCopySendWait",
         by_network,
         ends,
         &make_point<SendZeroCopyUntil>},
        {"channel.receive with a deadline",
         "Channel::Receive",
         timer,
         waits,
         &make_point<ReceiveUntil>},
        {"interval.tick with a deadline", "Interval::Tick", timer, never, &make_point<TickUntil>},
        {"batch.all with a deadline", "BatchWait", by_network, waits, &make_point<BatchAllUntil>},
        {"accept_stream.next with a deadline",
         "AcceptNext",
         by_network,
         waits,
         &make_point<ConnectionUntil>},
        {"datagram_stream.next with a deadline",
         "DatagramNext",
         by_network,
         waits,
         &make_point<DatagramUntil>},
    };
}

} // namespace zsync::conformance
