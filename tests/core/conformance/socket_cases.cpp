// Sockets: connections, bytes and datagrams.
#include "tests/core/conformance/conformance.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <unistd.h>

namespace zsync::conformance {
namespace {

Task<Result<std::string>>
receive(Io io, FdRef from, std::size_t most = 16, std::uint32_t flags = 0) {
    const auto got = co_await io.recv(from, Bytes(most), flags);
    ZCO_CHECK(got.count);
    co_return text_of(got);
}
Task<Result<void>> accept_one(Io io, FdRef listener, Fd& accepted) {
    ZCO_TRY(accepted, co_await io.accept(listener));
    co_return {};
}
Task<Result<Fd>> connected(Io io, FdRef listener) {
    ZCO_TRY(Fd client, co_await io.socket(AF_INET, SOCK_STREAM));
    ZCO_CHECK(co_await io.connect(client, name_of(listener)));
    co_return client;
}
SocketAddress unix_address(const std::string& path) {
    SocketAddress address;
    auto& local = reinterpret_cast<sockaddr_un&>(address.storage);
    local.sun_family = AF_UNIX;
    std::memcpy(local.sun_path, path.c_str(), path.size() + 1);
    address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
    return address;
}

} // namespace

ZSYNC_CASE(socket, is_made_with_close_on_exec, network) {
    ZCO_TRY(const Fd socket, co_await io.socket(AF_INET, SOCK_STREAM));
    EXPECT_EQ(::fcntl(socket.get(), F_GETFD), FD_CLOEXEC);
    co_return {};
}

ZSYNC_CASE(socket, of_every_common_kind_can_be_made, network) {
    ZCO_CHECK(co_await io.socket(AF_INET, SOCK_STREAM));
    ZCO_CHECK(co_await io.socket(AF_INET, SOCK_DGRAM));
    ZCO_CHECK(co_await io.socket(AF_INET6, SOCK_STREAM));
    ZCO_CHECK(co_await io.socket(AF_UNIX, SOCK_STREAM));
    ZCO_CHECK(co_await io.socket(AF_UNIX, SOCK_SEQPACKET));
    co_return {};
}

ZSYNC_CASE(socket, of_no_known_kind_is_an_error, network) {
    EXPECT_FAILS(co_await io.socket(12345, SOCK_STREAM), "EAFNOSUPPORT");
    co_return {};
}

ZSYNC_CASE(socket, canceled_is_not_made, network) {
    const std::size_t before = open_descriptors();
    io.recancel();
    EXPECT_IS(co_await io.socket(AF_INET, SOCK_STREAM), "Canceled");
    EXPECT_EQ(open_descriptors(), before);
    co_return (co_await io.socket(AF_INET, SOCK_STREAM)).transform([](const Fd&) {});
}

ZSYNC_CASE(bind, gives_a_socket_its_name, network) {
    ZCO_TRY(const Fd socket, co_await io.socket(AF_INET, SOCK_STREAM));
    ZCO_CHECK(co_await io.bind(socket, loopback()));
    EXPECT_NE(port_of(name_of(socket)), 0);
    co_return {};
}

ZSYNC_CASE(bind, of_a_name_in_use_is_eaddrinuse, network) {
    const Fd taken = tcp_listener();
    ZCO_TRY(const Fd socket, co_await io.socket(AF_INET, SOCK_STREAM));
    EXPECT_IS(co_await io.bind(socket, name_of(taken)), "EADDRINUSE");
    co_return {};
}

ZSYNC_CASE(bind, takes_unix_paths, network) {
    const Folder folder;
    ZCO_TRY(const Fd socket, co_await io.socket(AF_UNIX, SOCK_STREAM));
    ZCO_CHECK(co_await io.bind(socket, unix_address(folder.path("socket"))));
    EXPECT_EQ(::access(folder.path("socket").c_str(), F_OK), 0);
    co_return {};
}

ZSYNC_CASE(listen, lets_clients_in, network) {
    ZCO_TRY(const Fd listener, co_await io.socket(AF_INET, SOCK_STREAM));
    ZCO_CHECK(co_await io.bind(listener, loopback()));
    ZCO_CHECK(co_await io.listen(listener, 4));
    ZCO_CHECK(co_await connected(io, listener));
    co_return {};
}

ZSYNC_CASE(listen, on_a_datagram_socket_is_eopnotsupp, network) {
    const Fd socket = udp_socket();
    EXPECT_FAILS(co_await io.listen(socket, 4), "EOPNOTSUPP");
    co_return {};
}

ZSYNC_CASE(accept, gives_a_connection_that_is_there, network) {
    const Fd listener = tcp_listener();
    ZCO_TRY(const Fd client, co_await connected(io, listener));
    ZCO_TRY(const Fd server, co_await io.accept(listener));
    put(client, "hello");
    EXPECT_EQ(co_await receive(io, server), "hello");
    co_return {};
}

ZSYNC_CASE(accept, sets_close_on_exec, network) {
    const Fd listener = tcp_listener();
    ZCO_TRY(const Fd client, co_await connected(io, listener));
    ZCO_TRY(const Fd server, co_await io.accept(listener));
    EXPECT_EQ(::fcntl(server.get(), F_GETFD), FD_CLOEXEC);
    co_return {};
}

ZSYNC_CASE(accept, waits_for_a_connection, beside | network) {
    const Fd listener = tcp_listener();
    Fd accepted;
    ZCO_TRY(auto accepting, io.concurrent(accept_one, io, FdRef(listener), std::ref(accepted)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(accepting.is_finished());
    ZCO_TRY(const Fd client, co_await connected(io, listener));
    EXPECT_IS(co_await accepting, "ok");
    put(client, "late");
    EXPECT_EQ(co_await receive(io, accepted), "late");
    co_return {};
}

ZSYNC_CASE(accept, gives_connections_in_the_order_they_were_made, network) {
    const Fd listener = tcp_listener();
    ZCO_TRY(const Fd first, co_await connected(io, listener));
    ZCO_TRY(const Fd second, co_await connected(io, listener));
    put(first, "1");
    put(second, "2");
    ZCO_TRY(const Fd one, co_await io.accept(listener));
    ZCO_TRY(const Fd two, co_await io.accept(listener));
    EXPECT_EQ(co_await receive(io, one), "1");
    EXPECT_EQ(co_await receive(io, two), "2");
    co_return {};
}

ZSYNC_CASE(accept, times_out_and_loses_no_connection, network | timer) {
    const Fd listener = tcp_listener();
    {
        const auto accepted = co_await io.accept(listener).until(io.now() + soon);
        EXPECT_FAILS(accepted, "TimedOut");
    }
    ZCO_TRY(const Fd client, co_await connected(io, listener));
    ZCO_CHECK(co_await io.accept(listener));
    co_return {};
}

ZSYNC_CASE(accept, canceled_loses_no_connection, beside | network) {
    const Fd listener = tcp_listener();
    Fd accepted;
    ZCO_TRY(auto accepting, io.concurrent(accept_one, io, FdRef(listener), std::ref(accepted)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await accepting.cancel(), "Canceled");
    ZCO_TRY(const Fd client, co_await connected(io, listener));
    ZCO_CHECK(co_await io.accept(listener));
    co_return {};
}

ZSYNC_CASE(accept, on_a_socket_that_does_not_listen_is_einval, network) {
    const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_FAILS(co_await io.accept(socket), "EINVAL");
    co_return {};
}

ZSYNC_CASE(accept, by_two_tasks_gives_each_a_connection, beside | network) {
    const Fd listener = tcp_listener();
    Fd one;
    Fd two;
    ZCO_TRY(auto first, io.concurrent(accept_one, io, FdRef(listener), std::ref(one)));
    ZCO_TRY(auto second, io.concurrent(accept_one, io, FdRef(listener), std::ref(two)));
    ZCO_CHECK(co_await at_rest(io));
    ZCO_TRY(const Fd a, co_await connected(io, listener));
    ZCO_TRY(const Fd b, co_await connected(io, listener));
    EXPECT_IS(co_await first, "ok");
    EXPECT_IS(co_await second, "ok");
    EXPECT_TRUE(one && two);
    co_return {};
}

ZSYNC_CASE(connect, to_a_listener_succeeds, network) {
    const Fd listener = tcp_listener();
    ZCO_TRY(const Fd client, co_await connected(io, listener));
    EXPECT_NE(port_of(name_of(client)), 0);
    co_return {};
}

ZSYNC_CASE(connect, to_nobody_is_econnrefused, network) {
    const Fd bound = udp_socket(); // so that the port is nobody else's
    const Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_FAILS(co_await io.connect(client, name_of(bound)), "ECONNREFUSED");
    co_return {};
}

ZSYNC_CASE(connect, leaves_the_socket_blocking_for_others, network) {
    const Fd listener = tcp_listener();
    ZCO_TRY(const Fd client, co_await connected(io, listener));
    EXPECT_EQ(::fcntl(client.get(), F_GETFL) & O_NONBLOCK, 0);
    co_return {};
}

ZSYNC_CASE(connect, twice_is_eisconn, network) {
    const Fd listener = tcp_listener();
    ZCO_TRY(const Fd client, co_await connected(io, listener));
    EXPECT_IS(co_await io.connect(client, name_of(listener)), "EISCONN");
    co_return {};
}

ZSYNC_CASE(connect, to_a_unix_path_succeeds, network) {
    const Folder folder;
    const SocketAddress address = unix_address(folder.path("socket"));
    ZCO_TRY(const Fd listener, co_await io.socket(AF_UNIX, SOCK_STREAM));
    ZCO_CHECK(co_await io.bind(listener, address));
    ZCO_CHECK(co_await io.listen(listener, 4));
    ZCO_TRY(const Fd client, co_await io.socket(AF_UNIX, SOCK_STREAM));
    ZCO_CHECK(co_await io.connect(client, address));
    ZCO_CHECK(co_await io.accept(listener));
    co_return {};
}

ZSYNC_CASE(connect, to_a_missing_unix_path_is_enoent, network) {
    const Folder folder;
    ZCO_TRY(const Fd client, co_await io.socket(AF_UNIX, SOCK_STREAM));
    EXPECT_IS(co_await io.connect(client, unix_address(folder.path("nobody"))), "ENOENT");
    co_return {};
}

ZSYNC_CASE(connect, canceled_does_not_begin, network) {
    const Fd listener = tcp_listener();
    ZCO_TRY(const Fd client, co_await io.socket(AF_INET, SOCK_STREAM));
    io.recancel();
    EXPECT_IS(co_await io.connect(client, name_of(listener)), "Canceled");
    pollfd queue{.fd = listener.get(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(::poll(&queue, 1, 0), 0);
    co_return {};
}

ZSYNC_CASE(connect, and_accept_and_talk, beside | network) {
    struct Body {
        static Task<Result<void>> serve(Io io, FdRef listener) {
            ZCO_TRY(const Fd peer, co_await io.accept(listener));
            ZCO_TRY(const std::string text, co_await receive(io, peer));
            co_return (co_await io.send(peer, Bytes::copy_of(text))).count.transform([](auto) {});
        }
    };
    const Fd listener = tcp_listener();
    ZCO_TRY(auto server, io.concurrent(Body::serve, io, FdRef(listener)));
    ZCO_TRY(const Fd client, co_await connected(io, listener));
    EXPECT_EQ((co_await io.send(client, Bytes::copy_of("echo"))).count, 4U);
    EXPECT_EQ(co_await receive(io, client), "echo");
    EXPECT_IS(co_await server, "ok");
    co_return {};
}

ZSYNC_CASE(send, gives_the_bytes_to_the_peer, network) {
    const auto pair = socket_pair();
    ZCO_TRY(const std::size_t count, (co_await io.send(pair.b, Bytes::copy_of("bytes"))).count);
    EXPECT_EQ(count, 5U);
    EXPECT_EQ(take(pair.a), "bytes");
    co_return {};
}

ZSYNC_CASE(send, to_a_peer_that_has_gone_is_epipe_and_no_signal, network) {
    auto pair = socket_pair();
    pair.a.reset();
    EXPECT_FAILS(co_await io.send(pair.b, Bytes::copy_of("x")), "EPIPE");
    co_return {};
}

ZSYNC_CASE(send, on_what_is_no_socket_is_enotsock, network) {
    const auto pair = pipe_pair();
    EXPECT_FAILS(co_await io.send(pair.b, Bytes::copy_of("x")), "ENOTSOCK");
    co_return {};
}

ZSYNC_CASE(send, on_a_socket_without_a_peer_is_enotconn, network) {
    ZCO_TRY(const Fd socket, co_await io.socket(AF_UNIX, SOCK_STREAM));
    EXPECT_IS(co_await io.send(socket, Bytes::copy_of("x")), "ENOTCONN");
    co_return {};
}

ZSYNC_CASE(send, of_all_goes_on_until_all_is_sent, beside | network) {
    const auto pair = socket_pair();
    constexpr std::size_t size = 1 << 20;
    ZCO_TRY(auto sending, io.concurrent([&, io]() -> Task<Result<std::size_t>> {
        co_return (co_await io.send(pair.b, filled(size), MSG_WAITALL)).count;
    }));
    std::size_t got = 0;
    while (got < size) {
        const auto some = co_await io.recv(pair.a, Bytes(65536));
        ZCO_CHECK(some.count);
        got += *some.count;
    }
    EXPECT_EQ(co_await sending, size);
    EXPECT_EQ(got, size);
    co_return {};
}

ZSYNC_CASE(send, of_all_says_how_far_it_came_by_its_deadline, network | timer) {
    const auto pair = socket_pair();
    const auto sent = co_await io.send(pair.b, filled(1 << 22), MSG_WAITALL).until(io.now() + soon);
    ZCO_CHECK(sent.count);
    EXPECT_GT(*sent.count, 0U);
    EXPECT_LT(*sent.count, 1U << 22);
    EXPECT_EQ(take(pair.a).size(), *sent.count);
    co_return {};
}

ZSYNC_CASE(send, of_all_says_how_far_it_came_when_canceled, beside | network) {
    const auto pair = socket_pair();
    ZCO_TRY(auto sending, io.concurrent([&, io]() -> Task<Result<std::size_t>> {
        co_return (co_await io.send(pair.b, filled(1 << 22), MSG_WAITALL)).count;
    }));
    ZCO_CHECK(co_await at_rest(io));
    const Result<std::size_t> sent = co_await sending.cancel();
    EXPECT_EQ(take(pair.a).size(), sent.value_or(0)) << what(sent);
    co_return {};
}

ZSYNC_CASE(send, without_waiting_on_a_full_socket_is_eagain, network) {
    const auto pair = socket_pair();
    for (;;) {
        const auto sent = co_await io.send(pair.b, filled(65536), MSG_DONTWAIT);
        if (what(sent) != "ok") {
            EXPECT_FAILS(sent, "EAGAIN");
            co_return {};
        }
    }
}

ZSYNC_CASE(send, canceled_sends_nothing, network) {
    const auto pair = socket_pair();
    io.recancel();
    EXPECT_IS(co_await io.send(pair.b, Bytes::copy_of("x")), "Canceled");
    EXPECT_EQ(take(pair.a), "");
    co_return (co_await io.send(pair.b, Bytes::copy_of("y"))).count.transform([](std::size_t) {});
}

ZSYNC_CASE(send, from_two_tasks_mixes_no_message, beside | network) {
    const auto pair = socket_pair(SOCK_SEQPACKET);
    struct Body {
        static Task<Result<void>> send(Io io, FdRef to, std::string text) {
            for (int n = 0; n < 20; ++n) {
                ZCO_CHECK((co_await io.send(to, std::span(text))).count);
            }
            co_return {};
        }
    };
    ZCO_TRY(auto a, io.concurrent(Body::send, io, FdRef(pair.b), std::string("aaaa")));
    ZCO_TRY(auto b, io.concurrent(Body::send, io, FdRef(pair.b), std::string("bbbb")));
    for (int n = 0; n < 40; ++n) {
        ZCO_TRY(const std::string text, co_await receive(io, pair.a));
        EXPECT_TRUE(text == "aaaa" || text == "bbbb") << text;
    }
    EXPECT_IS(co_await a, "ok");
    EXPECT_IS(co_await b, "ok");
    co_return {};
}

ZSYNC_CASE(recv, gives_what_there_is, network) {
    const auto pair = socket_pair();
    put(pair.b, "0123456789");
    ZCO_TRY(const std::string first, co_await receive(io, pair.a, 4));
    EXPECT_EQ(first, "0123");
    EXPECT_EQ(co_await receive(io, pair.a), "456789");
    co_return {};
}

ZSYNC_CASE(recv, waits_for_bytes, beside | network) {
    const auto pair = socket_pair();
    ZCO_TRY(auto receiving, io.concurrent(receive, io, FdRef(pair.a), 16, 0));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(receiving.is_finished());
    put(pair.b, "late");
    EXPECT_EQ(co_await receiving, "late");
    co_return {};
}

ZSYNC_CASE(recv, gives_0_when_the_peer_has_gone, network) {
    auto pair = socket_pair();
    put(pair.b, "last");
    pair.b.reset();
    ZCO_TRY(const std::string last, co_await receive(io, pair.a));
    EXPECT_EQ(last, "last");
    EXPECT_EQ(co_await receive(io, pair.a), "");
    co_return {};
}

ZSYNC_CASE(recv, of_all_waits_for_all, beside | network) {
    const auto pair = socket_pair();
    ZCO_TRY(auto receiving, io.concurrent(receive, io, FdRef(pair.a), 8, MSG_WAITALL));
    put(pair.b, "0123");
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(receiving.is_finished());
    put(pair.b, "4567");
    EXPECT_EQ(co_await receiving, "01234567");
    co_return {};
}

ZSYNC_CASE(recv, of_all_gives_less_at_the_end, network) {
    auto pair = socket_pair();
    put(pair.b, "0123");
    pair.b.reset();
    ZCO_TRY(const std::string all, co_await receive(io, pair.a, 8, MSG_WAITALL));
    EXPECT_EQ(all, "0123");
    co_return {};
}

ZSYNC_CASE(recv, of_all_gives_what_came_by_its_deadline, network | timer) {
    const auto pair = socket_pair();
    put(pair.b, "0123");
    const auto got = co_await io.recv(pair.a, Bytes(8), MSG_WAITALL).until(io.now() + soon);
    ZCO_CHECK(got.count);
    EXPECT_EQ(text_of(got), "0123");
    co_return {};
}

ZSYNC_CASE(recv, may_peek, network) {
    const auto pair = socket_pair();
    put(pair.b, "seen");
    ZCO_TRY(const std::string peeked, co_await receive(io, pair.a, 16, MSG_PEEK));
    EXPECT_EQ(peeked, "seen");
    EXPECT_EQ(co_await receive(io, pair.a), "seen");
    co_return {};
}

ZSYNC_CASE(recv, without_waiting_is_eagain, network) {
    const auto pair = socket_pair();
    EXPECT_FAILS(co_await io.recv(pair.a, Bytes(4), MSG_DONTWAIT), "EAGAIN");
    co_return {};
}

ZSYNC_CASE(recv, from_what_is_no_socket_is_enotsock, network) {
    const auto pair = pipe_pair();
    EXPECT_FAILS(co_await io.recv(pair.a, Bytes(4)), "ENOTSOCK");
    co_return {};
}

ZSYNC_CASE(recv, after_a_reset_is_econnreset, network) {
    auto pair = tcp_pair();
    const linger reset{.l_onoff = 1, .l_linger = 0};
    EXPECT_EQ(::setsockopt(pair.b.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    pair.b.reset();
    EXPECT_FAILS(co_await io.recv(pair.a, Bytes(4)), "ECONNRESET");
    co_return {};
}

ZSYNC_CASE(recv, times_out_and_loses_nothing, network | timer) {
    const auto pair = socket_pair();
    {
        const auto got = co_await io.recv(pair.a, Bytes(4)).until(io.now() + soon);
        EXPECT_FAILS(got, "TimedOut");
    }
    put(pair.b, "kept");
    EXPECT_EQ(co_await receive(io, pair.a), "kept");
    co_return {};
}

ZSYNC_CASE(recv, past_its_deadline_still_gives_what_is_there, network | timer) {
    const auto pair = socket_pair();
    put(pair.b, "here");
    const auto got = co_await io.recv(pair.a, Bytes(8)).until(io.now() - 1s);
    if (what(got) != "TimedOut") {
        ZCO_CHECK(got.count);
        EXPECT_EQ(text_of(got), "here");
    } else {
        EXPECT_EQ(take(pair.a), "here") << "or leaves it where it is";
    }
    co_return {};
}

ZSYNC_CASE(recv, by_the_beginning_of_time_times_out_and_loses_nothing, network | timer) {
    const auto pair = socket_pair();
    EXPECT_FAILS(co_await io.recv(pair.a, Bytes(4)).until(TimePoint::min()), "TimedOut");
    put(pair.b, "kept");
    EXPECT_EQ(take(pair.a), "kept");
    co_return {};
}

ZSYNC_CASE(recv, canceled_loses_nothing, beside | network) {
    const auto pair = socket_pair();
    ZCO_TRY(auto receiving, io.concurrent(receive, io, FdRef(pair.a), 16, 0));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await receiving.cancel(), "Canceled");
    put(pair.b, "kept");
    EXPECT_EQ(co_await receive(io, pair.a), "kept");
    co_return {};
}

ZSYNC_CASE(recv, canceled_while_the_bytes_come_loses_none, beside | network) {
    const auto pair = socket_pair();
    std::size_t got = 0;
    for (int n = 0; n < 50; ++n) {
        ZCO_TRY(auto receiving, io.concurrent(receive, io, FdRef(pair.a), 16, 0));
        if (n % 2 == 0) {
            ZCO_CHECK(co_await io.yield());
        }
        put(pair.b, "x");
        const Result<std::string> received = co_await receiving.cancel();
        if (received) {
            got += received->size();
        } else {
            EXPECT_IS(received, "Canceled");
        }
    }
    EXPECT_EQ(got + take(pair.a).size(), 50U);
    co_return {};
}

ZSYNC_CASE(recv, by_two_tasks_serves_both, beside | network) {
    const auto pair = socket_pair();
    ZCO_TRY(auto first, io.concurrent(receive, io, FdRef(pair.a), 1, 0));
    ZCO_TRY(auto second, io.concurrent(receive, io, FdRef(pair.a), 1, 0));
    ZCO_CHECK(co_await at_rest(io));
    put(pair.b, "1");
    put(pair.b, "2");
    const std::string got = (co_await first).value_or("") + (co_await second).value_or("");
    EXPECT_EQ(got.size(), 2U);
    EXPECT_NE(got[0], got[1]);
    co_return {};
}

ZSYNC_CASE(recv, and_send_wait_on_one_socket_at_a_time, beside | network) {
    const auto pair = socket_pair();
    ZCO_TRY(auto receiving, io.concurrent(receive, io, FdRef(pair.a), 16, 0));
    ZCO_CHECK(co_await at_rest(io));
    ZCO_CHECK((co_await io.send(pair.a, Bytes::copy_of("out"))).count);
    EXPECT_EQ(take(pair.b), "out");
    put(pair.b, "in");
    EXPECT_EQ(co_await receiving, "in");
    co_return {};
}

ZSYNC_CASE(shutdown, of_writing_is_the_peers_end, network) {
    const auto pair = socket_pair();
    ZCO_CHECK(co_await io.shutdown(pair.b, SHUT_WR));
    EXPECT_EQ(co_await receive(io, pair.a), "");
    EXPECT_IS(co_await io.send(pair.b, Bytes::copy_of("x")), "EPIPE");
    co_return {};
}

ZSYNC_CASE(shutdown, of_writing_leaves_reading, network) {
    const auto pair = socket_pair();
    ZCO_CHECK(co_await io.shutdown(pair.b, SHUT_WR));
    put(pair.a, "still");
    EXPECT_EQ(co_await receive(io, pair.b), "still");
    co_return {};
}

ZSYNC_CASE(shutdown, of_reading_ends_what_waits, beside | network) {
    const auto pair = socket_pair();
    ZCO_TRY(auto receiving, io.concurrent(receive, io, FdRef(pair.a), 16, 0));
    ZCO_CHECK(co_await at_rest(io));
    ZCO_CHECK(co_await io.shutdown(pair.a, SHUT_RDWR));
    EXPECT_EQ(co_await receiving, "");
    co_return {};
}

ZSYNC_CASE(shutdown, without_a_peer_is_enotconn, network) {
    const Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_FAILS(co_await io.shutdown(socket, SHUT_WR), "ENOTCONN");
    co_return {};
}

} // namespace zsync::conformance
