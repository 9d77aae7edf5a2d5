// Datagrams, and sends without a copy.
#include "tests/core/conformance/conformance.hpp"

#include <zsync/core/datagram_stream.hpp>

#include <sys/socket.h>

#include <cerrno>
#include <fcntl.h>
#include <functional>
#include <optional>
#include <poll.h>
#include <span>
#include <string>

namespace zsync::conformance {
namespace {

Task<Result<std::string>> receive(Io io, FdRef from, std::size_t most = 16) {
    const auto got = co_await io.recv(from, Bytes(most));
    ZCO_CHECK(got.count);
    co_return text_of(got);
}

std::string text_of(const ReceivedDatagram& datagram) {
    const std::span<std::byte> bytes = datagram.bytes();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Task<Result<std::string>> next_text(DatagramStream& stream) {
    ZCO_TRY(const ReceivedDatagram datagram, co_await stream.next());
    co_return text_of(datagram);
}

/// Room for a few bytes behind the description.
constexpr std::uint32_t datagram_bytes = DatagramStream::overhead_bytes + 16;

} // namespace

ZSYNC_CASE(datagrams, keep_their_bounds, network) {
    const Fd a = udp_socket();
    const Fd b = udp_socket();
    for (const char* text : {"first", "second"}) {
        ZCO_CHECK((co_await io.send_to(a, Bytes::copy_of(text), name_of(b))).count);
    }
    const auto first = co_await io.receive_from(b, Bytes(16));
    const auto second = co_await io.receive_from(b, Bytes(16));
    EXPECT_EQ(first.buffer.text(first.count.value_or(0)), "first");
    EXPECT_EQ(second.buffer.text(second.count.value_or(0)), "second");
    co_return {};
}

ZSYNC_CASE(datagrams, say_where_they_come_from, network) {
    const Fd a = udp_socket();
    const Fd b = udp_socket();
    ZCO_CHECK((co_await io.send_to(a, Bytes::copy_of("x"), name_of(b))).count);
    const auto got = co_await io.receive_from(b, Bytes(16));
    EXPECT_EQ(port_of(got.from), port_of(name_of(a)));
    co_return {};
}

ZSYNC_CASE(datagrams, may_be_empty_which_is_no_end, network) {
    const Fd a = udp_socket();
    const Fd b = udp_socket();
    ZCO_CHECK((co_await io.send_to(a, filled(0), name_of(b))).count);
    ZCO_CHECK((co_await io.send_to(a, Bytes::copy_of("next"), name_of(b))).count);
    const auto empty = co_await io.receive_from(b, Bytes(8));
    EXPECT_EQ(empty.count, 0U);
    EXPECT_EQ(port_of(empty.from), port_of(name_of(a)));
    EXPECT_EQ((co_await io.receive_from(b, Bytes(8))).count, 4U);
    co_return {};
}

ZSYNC_CASE(datagrams, that_are_longer_than_the_buffer_are_cut_and_say_so, network) {
    const Fd a = udp_socket();
    const Fd b = udp_socket();
    ZCO_CHECK((co_await io.send_to(a, Bytes::copy_of("0123456789"), name_of(b))).count);
    const auto cut = co_await io.receive_from(b, Bytes(4));
    EXPECT_EQ(cut.count, 4U);
    EXPECT_TRUE(cut.truncated);
    co_return {};
}

ZSYNC_CASE(datagrams, that_fit_are_not_called_cut, network) {
    const Fd a = udp_socket();
    const Fd b = udp_socket();
    ZCO_CHECK((co_await io.send_to(a, Bytes::copy_of("0123"), name_of(b))).count);
    const auto whole = co_await io.receive_from(b, Bytes(4));
    EXPECT_EQ(whole.count, 4U);
    EXPECT_FALSE(whole.truncated);
    co_return {};
}

ZSYNC_CASE(datagrams, are_waited_for, beside | network) {
    const Fd a = udp_socket();
    const Fd b = udp_socket();
    ZCO_TRY(auto receiving, io.concurrent([&, io]() -> Task<Result<std::size_t>> {
        co_return (co_await io.receive_from(b, Bytes(8))).count;
    }));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(receiving.is_finished());
    ZCO_CHECK((co_await io.send_to(a, Bytes::copy_of("late"), name_of(b))).count);
    EXPECT_EQ(co_await receiving, 4U);
    co_return {};
}

ZSYNC_CASE(datagrams, a_receive_times_out_and_loses_none, network | timer) {
    const Fd a = udp_socket();
    const Fd b = udp_socket();
    {
        const auto none = co_await io.receive_from(b, Bytes(8)).until(io.now() + soon);
        EXPECT_FAILS(none, "TimedOut");
    }
    ZCO_CHECK((co_await io.send_to(a, Bytes::copy_of("kept"), name_of(b))).count);
    EXPECT_EQ((co_await io.receive_from(b, Bytes(8))).count, 4U);
    co_return {};
}

ZSYNC_CASE(datagrams, a_canceled_receive_loses_none, beside | network) {
    const Fd a = udp_socket();
    const Fd b = udp_socket();
    ZCO_TRY(auto receiving, io.concurrent([&, io]() -> Task<Result<std::size_t>> {
        co_return (co_await io.receive_from(b, Bytes(8))).count;
    }));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await receiving.cancel(), "Canceled");
    ZCO_CHECK((co_await io.send_to(a, Bytes::copy_of("kept"), name_of(b))).count);
    EXPECT_EQ((co_await io.receive_from(b, Bytes(8))).count, 4U);
    co_return {};
}

ZSYNC_CASE(datagrams, a_canceled_send_sends_none, network) {
    const Fd a = udp_socket();
    const Fd b = udp_socket();
    io.recancel();
    EXPECT_IS(co_await io.send_to(a, Bytes::copy_of("x"), name_of(b)), "Canceled");
    pollfd queue{.fd = b.get(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(::poll(&queue, 1, 0), 0);
    co_return (co_await io.send_to(a, Bytes::copy_of("y"), name_of(b))).count.transform([](auto) {
    });
}

ZSYNC_CASE(datagrams, larger_than_the_medium_are_emsgsize, network) {
    const Fd a = udp_socket();
    EXPECT_FAILS(co_await io.send_to(a, filled(70000), name_of(a)), "EMSGSIZE");
    co_return {};
}

ZSYNC_CASE(datagrams, buffers_come_back, network) {
    const Fd a = udp_socket();
    const Fd b = udp_socket();
    Bytes out = Bytes::copy_of("text");
    const std::byte* const at = out.data();
    const auto sent = co_await io.send_to(a, std::move(out), name_of(b));
    ZCO_CHECK(sent.count);
    EXPECT_EQ(sent.buffer.data(), at);
    const auto got = co_await io.receive_from(b, Bytes(16));
    EXPECT_EQ(got.buffer.size(), 16U);
    co_return {};
}

ZSYNC_CASE(datagrams, of_unix_sockets_keep_their_bounds, network) {
    const auto pair = socket_pair(SOCK_DGRAM);
    ZCO_CHECK((co_await io.send(pair.b, Bytes::copy_of("one"))).count);
    ZCO_CHECK((co_await io.send(pair.b, Bytes::copy_of("three"))).count);
    EXPECT_EQ(co_await receive(io, pair.a), "one");
    EXPECT_EQ(co_await receive(io, pair.a), "three");
    co_return {};
}

ZSYNC_CASE(datagram_stream, gives_more_datagrams_than_there_are_buffers, network) {
    const auto pair = socket_pair(SOCK_DGRAM);
    ZCO_TRY(auto pool, BufferPool::create(io, 2, datagram_bytes));
    DatagramStream stream(io, pair.a, pool);
    for (const char* text : {"a", "b", "c", "d", "e"}) {
        put(pair.b, text);
    }
    std::string got;
    while (got.size() < 5) {
        ZCO_TRY(const std::string text, co_await next_text(stream));
        got += text;
    }
    EXPECT_EQ(got, "abcde");
    co_return {};
}

ZSYNC_CASE(datagram_stream, waits_for_a_buffer_that_goes_back, beside | network) {
    const auto pair = socket_pair(SOCK_DGRAM);
    ZCO_TRY(auto pool, BufferPool::create(io, 1, datagram_bytes));
    DatagramStream stream(io, pair.a, pool);
    put(pair.b, "held");
    put(pair.b, "late");
    std::optional<ReceivedDatagram> held;
    {
        ZCO_TRY(ReceivedDatagram first, co_await stream.next());
        held.emplace(std::move(first));
    }
    ZCO_TRY(auto reading, io.concurrent(next_text, std::ref(stream)));
    while (pool->stats().ran_dry == 0) {
        ZCO_CHECK(co_await io.yield());
    }
    EXPECT_FALSE(reading.is_finished());
    EXPECT_EQ(text_of(*held), "held");
    held.reset();
    EXPECT_EQ(co_await reading, "late");
    EXPECT_IS(co_await reading.cancel(), "ok");
    co_return {};
}

ZSYNC_CASE(datagram_stream, a_wait_for_a_buffer_can_be_canceled, beside | network) {
    const auto pair = socket_pair(SOCK_DGRAM);
    ZCO_TRY(auto pool, BufferPool::create(io, 1, datagram_bytes));
    DatagramStream stream(io, pair.a, pool);
    put(pair.b, "held");
    put(pair.b, "kept");
    {
        ZCO_TRY(const ReceivedDatagram held, co_await stream.next());
        ZCO_TRY(auto reading, io.concurrent(next_text, std::ref(stream)));
        while (pool->stats().ran_dry == 0) {
            ZCO_CHECK(co_await io.yield());
        }
        EXPECT_IS(co_await reading.cancel(), "Canceled");
    }
    EXPECT_EQ(co_await next_text(stream), "kept");
    co_return {};
}

ZSYNC_CASE(datagram_stream, that_gave_up_waiting_leaves_the_buffer_to_the_next, beside | network) {
    const auto one = socket_pair(SOCK_DGRAM);
    const auto two = socket_pair(SOCK_DGRAM);
    ZCO_TRY(auto pool, BufferPool::create(io, 1, datagram_bytes));
    DatagramStream gives_up(io, one.a, pool);
    DatagramStream next(io, two.a, pool);
    put(one.b, "held");
    std::optional<ReceivedDatagram> held;
    {
        ZCO_TRY(ReceivedDatagram first, co_await gives_up.next());
        held.emplace(std::move(first));
    }
    put(one.b, "one");
    ZCO_TRY(auto first, io.concurrent(next_text, std::ref(gives_up)));
    while (pool->stats().ran_dry < 1) {
        ZCO_CHECK(co_await io.yield());
    }
    put(two.b, "two");
    ZCO_TRY(auto second, io.concurrent(next_text, std::ref(next)));
    while (pool->stats().ran_dry < 2) {
        ZCO_CHECK(co_await io.yield());
    }
    EXPECT_IS(co_await first.cancel(), "Canceled");
    held.reset();
    EXPECT_EQ(co_await second, "two");
    co_return {};
}

ZSYNC_CASE(datagram_stream, a_wait_for_a_buffer_times_out, network | timer) {
    const auto pair = socket_pair(SOCK_DGRAM);
    ZCO_TRY(auto pool, BufferPool::create(io, 1, datagram_bytes));
    DatagramStream stream(io, pair.a, pool);
    put(pair.b, "held");
    put(pair.b, "kept");
    {
        ZCO_TRY(const ReceivedDatagram held, co_await stream.next());
        TIMES_OUT(co_await stream.next().until(io.now() + soon));
    }
    EXPECT_EQ(co_await next_text(stream), "kept");
    co_return {};
}

ZSYNC_CASE(send_zero_copy, ends_when_its_buffer_is_free, network) {
    const auto pair = tcp_pair();
    std::string text(4096, 'z');
    const auto sent = co_await io.send_zero_copy(pair.b, std::span(text));
    ZCO_CHECK(sent.count);
    text.assign(text.size(), 'X'); // the buffer is the caller's again
    std::string got;
    while (got.size() < *sent.count) {
        ZCO_TRY(const std::string some, co_await receive(io, pair.a, 4096));
        got += some;
    }
    EXPECT_EQ(got, std::string(*sent.count, 'z'));
    co_return {};
}

ZSYNC_CASE(send_zero_copy, says_that_it_copied, network) {
    const auto pair = tcp_pair();
    const auto sent = co_await io.send_zero_copy(pair.b, filled(1024));
    ZCO_CHECK(sent.count);
    EXPECT_TRUE(sent.copied) << "loopback copies on delivery, and so does every other model";
    co_return {};
}

ZSYNC_CASE(send_zero_copy, over_a_unix_socket_is_a_copy, network) {
    const auto pair = socket_pair();
    const auto sent = co_await io.send_zero_copy(pair.b, Bytes::copy_of("text"));
    ZCO_CHECK(sent.count);
    EXPECT_EQ(*sent.count, 4U);
    EXPECT_TRUE(sent.copied);
    EXPECT_EQ(take(pair.a), "text");
    co_return {};
}

ZSYNC_CASE(send_zero_copy, waits_for_room_though_others_made_it_non_blocking, beside | network) {
    for (const MakePair make : each_family) {
        const auto pair = make();
        EXPECT_EQ(::fcntl(pair.b.get(), F_SETFL, O_NONBLOCK), 0);
        const std::string block(65536, 'x');
        while (::send(pair.b.get(), block.data(), block.size(), 0) > 0) {
        }
        ZCO_TRY(auto sending, io.concurrent([&pair, io]() -> Task<Result<std::size_t>> {
            co_return (co_await io.send_zero_copy(pair.b, Bytes::copy_of("text"))).count;
        }));
        ZCO_CHECK(co_await at_rest(io));
        EXPECT_FALSE(sending.is_finished());
        std::string got;
        while (!sending.is_finished()) {
            got += take(pair.a);
            ZCO_CHECK(co_await io.yield());
        }
        ZCO_TRY(const std::size_t count, co_await sending);
        EXPECT_EQ(count, 4U);
        ::shutdown(pair.b.get(), SHUT_WR);
        while (!got.ends_with("text")) {
            const auto more = co_await io.recv(pair.a, Bytes(65536));
            ZCO_CHECK(more.count);
            if (*more.count == 0) {
                break;
            }
            got += text_of(more);
        }
        EXPECT_TRUE(got.ends_with("xtext"));
    }
    co_return {};
}

ZSYNC_CASE(
    send_zero_copy, to_a_full_socket_that_is_non_blocking_can_be_canceled, beside | network
) {
    const auto pair = tcp_pair();
    EXPECT_EQ(::fcntl(pair.b.get(), F_SETFL, O_NONBLOCK), 0);
    const std::string block(65536, 'x');
    while (::send(pair.b.get(), block.data(), block.size(), 0) > 0) {
    }
    ZCO_TRY(auto sending, io.concurrent([&pair, io]() -> Task<Result<std::size_t>> {
        co_return (co_await io.send_zero_copy(pair.b, Bytes::copy_of("text"))).count;
    }));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await sending.cancel(), "Canceled");
    co_return {};
}

ZSYNC_CASE(send_zero_copy, canceled_sends_nothing, network) {
    const auto pair = tcp_pair();
    io.recancel();
    const auto sent = co_await io.send_zero_copy(pair.b, filled(64));
    EXPECT_IS(sent, "Canceled");
    EXPECT_EQ(sent.buffer.size(), 64U);
    EXPECT_EQ(take(pair.a), "");
    co_return (co_await io.send_zero_copy(pair.b, filled(1))).count.transform([](auto) {});
}

ZSYNC_CASE(send_zero_copy, to_a_peer_that_has_gone_is_an_error_and_no_signal, network) {
    auto pair = socket_pair();
    pair.a.reset();
    const auto sent = co_await io.send_zero_copy(pair.b, filled(64));
    const std::string outcome = what(sent);
    if (outcome == "ENETDOWN") {
        co_return fail(os_error(ENETDOWN));
    }
    EXPECT_TRUE(outcome == "EPIPE" || outcome == "EOPNOTSUPP") << outcome;
    EXPECT_EQ(sent.buffer.size(), 64U);
    co_return {};
}

} // namespace zsync::conformance
