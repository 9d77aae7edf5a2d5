// Suspension points of sockets.
#include "tests/core/conformance/suspension_point.hpp"

#include <zsync/core/batch.hpp>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <string>

namespace zsync::conformance {
namespace {

const sockaddr* generic(const SocketAddress& address) {
    return reinterpret_cast<const sockaddr*>(&address.storage);
}
bool is_readable(FdRef fd) {
    pollfd one{.fd = fd.get(), .events = POLLIN, .revents = 0};
    return ::poll(&one, 1, 0) > 0;
}
Fd tcp_socket() { return Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); }
bool is_connected(FdRef socket) {
    SocketAddress peer;
    peer.length = sizeof peer.storage;
    return ::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&peer.storage), &peer.length) ==
           0;
}

struct Recv final : Point {
    Task<Result<void>> wait(Io io) override {
        const auto received = co_await io.recv(pair_.a, Bytes(16));
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

/// A socket that is full.
struct Send final : Point {
    Send() {
        const std::string block(4096, 'x');
        for (;;) {
            const ssize_t sent = ::send(pair_.b.get(), block.data(), block.size(), MSG_DONTWAIT);
            if (sent <= 0) {
                break;
            }
            given_ += static_cast<std::size_t>(sent);
        }
    }
    Task<Result<void>> wait(Io io) override {
        const auto sent = co_await io.send(pair_.b, filled(8192));
        ZCO_CHECK(sent.count);
        got_ += *sent.count;
        co_return {};
    }
    void complete() override { drained_ = take(pair_.a).size(); }
    void account(bool got) override {
        EXPECT_EQ(got, got_ != 0);
        EXPECT_EQ(drained_ + take(pair_.a).size(), given_ + got_) << "a byte was lost or doubled";
    }

private:
    Pair pair_ = socket_pair();
    std::size_t got_ = 0;
    std::size_t given_ = 0;
    std::size_t drained_ = 0;
};

struct Socket final : Point {
    Task<Result<void>> wait(Io io) override {
        ZCO_TRY(socket_, co_await io.socket(AF_INET, SOCK_STREAM));
        co_return {};
    }
    void account(bool got) override { EXPECT_EQ(got, static_cast<bool>(socket_)); }

private:
    Fd socket_;
};

struct Bind final : Point {
    Task<Result<void>> wait(Io io) override { co_return co_await io.bind(socket_, loopback()); }
    void account(bool got) override { EXPECT_EQ(port_of(name_of(socket_)) != 0, got); }

private:
    Fd socket_ = tcp_socket();
};

struct Listen final : Point {
    Task<Result<void>> wait(Io io) override { co_return co_await io.listen(socket_, 4); }
    void account(bool got) override {
        int listens = 0;
        socklen_t length = sizeof listens;
        EXPECT_EQ(::getsockopt(socket_.get(), SOL_SOCKET, SO_ACCEPTCONN, &listens, &length), 0);
        EXPECT_EQ(listens == 1, got);
    }

private:
    Fd socket_ = tcp_socket();
};

struct Accept final : Point {
    Task<Result<void>> wait(Io io) override {
        ZCO_TRY(accepted_, co_await io.accept(listener_));
        co_return {};
    }
    void complete() override {
        const SocketAddress address = name_of(listener_);
        EXPECT_EQ(::connect(client_.get(), generic(address), address.length), 0);
    }
    void account(bool got) override {
        EXPECT_EQ(got, static_cast<bool>(accepted_));
        const int left = static_cast<int>(is_readable(listener_));
        EXPECT_EQ(static_cast<int>(got) + left, static_cast<int>(completed))
            << "a connection was lost";
    }

private:
    Fd listener_ = tcp_listener();
    Fd client_ = tcp_socket();
    Fd accepted_;
};

struct Connect final : Point {
    Task<Result<void>> wait(Io io) override {
        co_return co_await io.connect(client_, name_of(listener_));
    }
    void account(bool got) override { EXPECT_TRUE(!got || is_connected(client_)); }

private:
    Fd listener_ = tcp_listener();
    Fd client_ = tcp_socket();
};

/// A unix listener whose queue is full: nothing tells when there is room.
struct ConnectLater : Point {
    ConnectLater() {
        auto& local = reinterpret_cast<sockaddr_un&>(address_.storage);
        local.sun_family = AF_UNIX;
        const std::string path = folder_.path("socket");
        std::memcpy(local.sun_path, path.c_str(), path.size() + 1);
        address_.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
        EXPECT_EQ(::bind(listener_.get(), generic(address_), address_.length), 0);
        EXPECT_EQ(::listen(listener_.get(), 0), 0);
        EXPECT_EQ(::connect(first_.get(), generic(address_), address_.length), 0);
    }
    Task<Result<void>> wait(Io io) override { co_return co_await io.connect(client_, address_); }
    void complete() override { accepted_ = Fd(::accept(listener_.get(), nullptr, nullptr)); }
    void account(bool got) override { EXPECT_EQ(is_connected(client_), got); }

protected:
    static Fd unix_socket() { return Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)); }
    SocketAddress address_;
    Fd client_ = unix_socket();

private:
    Folder folder_;
    Fd listener_ = unix_socket();
    Fd first_ = unix_socket();
    Fd accepted_;
};

struct BatchConnectsLater final : ConnectLater {
    Task<Result<void>> wait(Io io) override {
        Batch batch(io, storage_);
        ZCO_CHECK(batch.add(1, BatchOperation::connect(FdRef(client_), address_)));
        ZCO_CHECK(co_await batch.all());
        co_return batch.next()->value.transform([](std::uint32_t) {});
    }

private:
    std::array<BatchSlot, 1> storage_;
};

struct BatchOfConnectsCanceled final : ConnectLater {
    Task<Result<void>> wait(Io io) override {
        Batch batch(io, storage_);
        ZCO_CHECK(batch.add(1, BatchOperation::connect(FdRef(client_), address_)));
        const Result<void> slept = co_await io.sleep_for(soon);
        co_await batch.cancel();
        connected_ = batch.next()->value.has_value();
        co_return slept;
    }
    void account(bool /*got*/) override { EXPECT_EQ(is_connected(client_), connected_); }

private:
    std::array<BatchSlot, 1> storage_;
    bool connected_ = false;
};

struct Shutdown final : Point {
    Task<Result<void>> wait(Io io) override { co_return co_await io.shutdown(pair_.b, SHUT_WR); }
    void account(bool got) override { EXPECT_EQ(is_readable(pair_.a), got); }

private:
    Pair pair_ = socket_pair();
};

struct ReceiveFrom final : Point {
    Task<Result<void>> wait(Io io) override {
        const auto received = co_await io.receive_from(to_, Bytes(16));
        ZCO_CHECK(received.count);
        EXPECT_EQ(port_of(received.from), port_of(name_of(from_)));
        co_return {};
    }
    void complete() override {
        const SocketAddress address = name_of(to_);
        EXPECT_EQ(::sendto(from_.get(), "x", 1, 0, generic(address), address.length), 1);
    }
    void account(bool got) override {
        const int left = static_cast<int>(is_readable(to_));
        EXPECT_EQ(static_cast<int>(got) + left, static_cast<int>(completed))
            << "a datagram was lost";
    }

private:
    Fd from_ = udp_socket();
    Fd to_ = udp_socket();
};

struct SendTo final : Point {
    Task<Result<void>> wait(Io io) override {
        const auto sent = co_await io.send_to(from_, Bytes::copy_of("text"), name_of(to_));
        EXPECT_EQ(sent.buffer.size(), 4U);
        co_return sent.count.transform([](std::size_t) {});
    }
    void account(bool got) override { EXPECT_EQ(is_readable(to_), got); }

private:
    Fd from_ = udp_socket();
    Fd to_ = udp_socket();
};

struct SendZeroCopy final : Point {
    Task<Result<void>> wait(Io io) override {
        const auto sent = co_await io.send_zero_copy(pair_.b, Bytes::copy_of("zero"));
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

} // namespace

std::vector<PointRow> socket_points() {
    using enum Ending;
    return {
        {"io.recv", "TransferWait", network, waits, &make_point<Recv>},
        {"io.send", "TransferWait", network, waits, &make_point<Send>},
        {"io.socket", "FdWait", network, ends, &make_point<Socket>},
        {"io.bind", "AddressWait", network, ends, &make_point<Bind>},
        {"io.listen", "PlainWait", network, ends, &make_point<Listen>},
        {"io.accept", "FdWait", network, waits, &make_point<Accept>},
        {"io.connect", "AddressWait", network, ends, &make_point<Connect>},
        {"io.connect to a full queue", "AddressWait", network, waits, &make_point<ConnectLater>},
        {"batch.all of a connect to a full queue",
         "BatchWait",
         network,
         waits,
         &make_point<BatchConnectsLater>},
        {"batch.cancel of a connect to a full queue",
         "BatchCancel",
         network | timer,
         ends,
         &make_point<BatchOfConnectsCanceled>},
        {"io.shutdown", "PlainWait", network, ends, &make_point<Shutdown>},
        {"io.receive_from", "ReceiveFromWait", network, waits, &make_point<ReceiveFrom>},
        {"io.send_to", "SendToWait", network, ends, &make_point<SendTo>},
        {"io.send_zero_copy", "ZeroCopySendWait", network, ends, &make_point<SendZeroCopy>},
    };
}

} // namespace zsync::conformance
