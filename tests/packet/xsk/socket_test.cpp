// AF_XDP sockets against the kernel, over veth pairs.
#include "tests/packet/frame_counter.hpp"
#include "tests/packet/lab.hpp"
#include "tests/packet/live_source.hpp"
#include "tests/packet/xsk_threads.hpp"

#include <zsync/core/scope.hpp>
#include <zsync/core/worker.hpp>
#include <zsync/packet/xsk/redirect.hpp>
#include <zsync/packet/xsk/socket.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <format>
#include <memory>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

using namespace zsync;
using namespace zsync::packet::xsk;
using packet::test::FrameSender;
using packet::test::Lab;
using packet::test::Veth;
using Bytes8 = std::vector<std::uint8_t>;

namespace {

template <class T> T must(Outcome<T> outcome) {
    if (!outcome) {
        throw std::runtime_error(outcome.error().message());
    }
    if constexpr (!std::is_void_v<T>) {
        return *std::move(outcome);
    }
}

/// An Ethernet frame of an ethertype for experiments that carries a number.
Bytes8 numbered(std::uint32_t number, std::size_t bytes = 64) {
    Bytes8 frame(bytes, static_cast<std::uint8_t>(number));
    std::fill_n(frame.begin(), 6, std::uint8_t{0xff});
    frame[6] = 2;
    frame[12] = 0x88;
    frame[13] = 0xb5;
    std::memcpy(frame.data() + 14, &number, sizeof number);
    return frame;
}

std::uint32_t number_of(std::span<const std::byte> frame) {
    std::uint32_t number = 0;
    std::memcpy(&number, frame.data() + 14, sizeof number);
    return number;
}

void expect_all_free(const Umem& pool, std::uint32_t receiving) {
    const UmemBalance balance = pool.balance();
    EXPECT_TRUE(balance.adds_up);
    EXPECT_EQ(balance.held, 0U);
    EXPECT_EQ(balance.sending, 0U);
    EXPECT_EQ(balance.receiving, receiving);
    EXPECT_EQ(balance.free, balance.frames - receiving);
}

constexpr std::uint32_t ring = 512;

SocketOptions options_for(const std::string& ifname) {
    return {.ifname = ifname, .receive_entries = ring, .send_entries = ring};
}

class XskTest : public testing::Test {
protected:
    XskTest() : worker_(must(Worker::create())) {}

    void run(Task<Outcome<void>> task) {
        const auto done = worker_->run("test", std::move(task));
        EXPECT_TRUE(done.has_value()) << done.error().message();
    }
    [[nodiscard]] Io io() const { return worker_->io(); }

    const Lab& lab_ = Lab::enter();
    Veth veth_;
    std::unique_ptr<Worker> worker_;
};

Task<Result<std::uint32_t>>
take_in_order(Socket& socket, std::uint32_t first, std::uint32_t count) {
    std::uint32_t next = first;
    for (FrameBatch batch; next != first + count;) {
        ZCO_TRY(batch, co_await socket.receive(std::move(batch)));
        for (const Frame& frame : batch) {
            EXPECT_EQ(number_of(frame.bytes()), next);
            ++next;
        }
    }
    co_return next;
}

Task<Outcome<void>> receives(Io io, std::string ifname, std::string peer) {
    ZCO_TRY(auto pool, Umem::create({}));
    ZCO_TRY(auto redirect, Redirect::attach(ifname));
    {
        ZCO_TRY(auto socket, co_await Socket::open(io, pool, options_for(ifname)));
        EXPECT_EQ(socket->copy_mode(), CopyMode::copy); // a veth has nothing else
        ZCO_CHECK(redirect.enter(*socket));
        const FrameSender sender(peer);
        std::uint32_t next = 0;
        for (int round = 0; round < 40; ++round) { // the rings go round several times
            for (std::uint32_t i = 0; i < 300; ++i) {
                sender.send(numbered(next + i));
            }
            ZCO_TRY(next, co_await take_in_order(*socket, next, 300));
        }
        ZCO_TRY(const SocketStats stats, socket->stats());
        EXPECT_EQ(stats.received, 12'000U);
        EXPECT_EQ(stats.lost_ring_full + stats.lost_no_frame + stats.lost_other, 0U);
        expect_all_free(*pool, ring);
    }
    expect_all_free(*pool, 0);
    co_return {};
}

} // namespace

TEST_F(XskTest, everything_sent_arrives_in_order) {
    run(receives(io(), veth_.name(), veth_.peer()));
}

namespace {

Task<Result<void>> send_numbered(Socket& socket, std::uint32_t first, std::uint32_t count) {
    FrameBatch batch;
    for (std::uint32_t i = 0; i < count; ++i) {
        Frame frame = socket.pool().take();
        const Bytes8 bytes = numbered(first + i);
        EXPECT_TRUE(frame.resize(bytes.size()));
        std::ranges::copy(std::as_bytes(std::span(bytes)), frame.bytes().begin());
        batch.push_back(std::move(frame));
    }
    co_return co_await socket.send(std::move(batch));
}

Task<Outcome<void>> sends(Io io, std::string ifname, std::string peer, SocketOptions options) {
    ZCO_TRY(auto pool, Umem::create({.frames = 4 * ring}));
    ZCO_TRY(auto redirect, Redirect::attach(peer));
    ZCO_TRY(auto sender_side, Redirect::attach(ifname));
    {
        options.ifname = ifname;
        ZCO_TRY(auto from, co_await Socket::open(io, pool, options));
        options.ifname = peer;
        ZCO_TRY(auto to, co_await Socket::open(io, pool, options));
        ZCO_CHECK(redirect.enter(*to));
        std::uint32_t next = 0;
        for (int round = 0; round < 100; ++round) {
            ZCO_CHECK(co_await send_numbered(*from, next, 200));
            ZCO_TRY(next, co_await take_in_order(*to, next, 200));
        }
        ZCO_CHECK(co_await from->flush());
        EXPECT_EQ(from->stats()->sent, 20'000U);
        EXPECT_EQ(to->stats()->received, 20'000U);
        expect_all_free(*pool, 2 * ring);
    }
    expect_all_free(*pool, 0);
    co_return {};
}

} // namespace

TEST_F(XskTest, two_sockets_of_one_pool_send_and_receive) {
    run(sends(io(), veth_.name(), veth_.peer(), options_for("")));
}

TEST_F(XskTest, works_without_need_wakeup_and_with_busy_polling) {
    SocketOptions options = options_for("");
    options.need_wakeup = false;
    run(sends(io(), veth_.name(), veth_.peer(), options));
    options.need_wakeup = true;
    options.busy_poll = std::chrono::microseconds(20);
    run(sends(io(), veth_.name(), veth_.peer(), options));
}

namespace {

Task<Outcome<void>> forwards(Io io, std::string ifname, std::string out_name, std::string far) {
    ZCO_TRY(auto pool, Umem::create({.frames = 6 * ring}));
    ZCO_TRY(auto redirect, Redirect::attach(ifname));
    ZCO_TRY(auto far_redirect, Redirect::attach(far));
    {
        ZCO_TRY(auto in, co_await Socket::open(io, pool, options_for(ifname)));
        ZCO_TRY(auto out, co_await Socket::open(io, pool, options_for(out_name)));
        ZCO_TRY(auto end, co_await Socket::open(io, pool, options_for(far)));
        ZCO_CHECK(redirect.enter(*in));
        ZCO_CHECK(far_redirect.enter(*end));
        const FrameSender sender("zt1");
        std::uint32_t seen = 0;
        for (std::uint32_t first = 0; first < 6000; first += 200) {
            for (std::uint32_t i = 0; i < 200; ++i) {
                sender.send(numbered(first + i));
            }
            for (std::size_t moved = 0; moved < 200;) {
                ZCO_CHECK(co_await in->wait_readable());
                moved += in->forward(*out, [](std::span<std::byte> frame) {
                    frame[6] = std::byte{6};
                    return number_of(frame) % 4 != 0;
                });
                ZCO_CHECK(out->push());
            }
            for (FrameBatch batch; seen != (first + 200) * 3 / 4;) {
                ZCO_TRY(batch, co_await end->receive(std::move(batch)));
                for (const Frame& frame : batch) {
                    EXPECT_EQ(frame.bytes()[6], std::byte{6});
                    EXPECT_NE(number_of(frame.bytes()) % 4, 0U);
                    ++seen;
                }
            }
        }
        ZCO_CHECK(co_await out->flush());
        EXPECT_EQ(in->stats()->received, 6000U);
        EXPECT_EQ(out->stats()->sent, 4500U);
        expect_all_free(*pool, 3 * ring);
    }
    expect_all_free(*pool, 0);
    co_return {};
}

} // namespace

TEST_F(XskTest, forwards_where_packets_lie_and_drops_back_to_the_pool) {
    const Veth second("zt2", "zt3");
    run(forwards(io(), veth_.name(), second.name(), second.peer()));
}

namespace {

Task<Outcome<void>> moves_long_packets(Io io, std::string ifname, std::string peer) {
    constexpr std::size_t bytes = 3000;
    ZCO_TRY(auto pool, Umem::create({.frames = 4 * ring}));
    ZCO_TRY(auto redirect, Redirect::attach(ifname));
    ZCO_TRY(auto peer_redirect, Redirect::attach(peer));
    {
        SocketOptions options = options_for(ifname);
        options.multi_buffer = true;
        ZCO_TRY(auto socket, co_await Socket::open(io, pool, options));
        options.ifname = peer;
        ZCO_TRY(auto other, co_await Socket::open(io, pool, options));
        ZCO_CHECK(redirect.enter(*socket));
        const FrameSender sender(peer);
        const Bytes8 sent = numbered(0x5a, bytes);
        sender.send(sent);
        ZCO_TRY(FrameBatch batch, co_await socket->receive());
        EXPECT_EQ(batch.size(), 2U);
        EXPECT_TRUE(batch.front().continues());
        EXPECT_FALSE(batch.back().continues());
        Bytes8 got;
        for (const Frame& frame : batch) {
            for (const std::byte byte : frame.bytes()) {
                got.push_back(std::to_integer<std::uint8_t>(byte));
            }
        }
        EXPECT_EQ(got, sent);
        // And back, which the other end sees whole.
        ZCO_CHECK(peer_redirect.enter(*other));
        ZCO_CHECK(co_await socket->send(std::move(batch)));
        ZCO_TRY(batch, co_await other->receive());
        std::size_t came = 0;
        for (const Frame& frame : batch) {
            came += frame.size();
        }
        EXPECT_EQ(came, bytes);
        batch.clear();
        ZCO_CHECK(co_await socket->flush());
        EXPECT_EQ(socket->stats()->received, 1U);
        EXPECT_EQ(socket->stats()->sent, 1U);
        expect_all_free(*pool, 2 * ring);
    }
    expect_all_free(*pool, 0);
    co_return {};
}

} // namespace

TEST_F(XskTest, packets_longer_than_a_frame_come_in_several) {
    packet::test::run("ip link set zt0 mtu 3400 && ip link set zt1 mtu 3400");
    run(moves_long_packets(io(), veth_.name(), veth_.peer()));
}

namespace {

Task<Outcome<void>> starves(Io io, std::string ifname, std::string peer) {
    ZCO_TRY(auto pool, Umem::create({.frames = 64}));
    ZCO_TRY(auto redirect, Redirect::attach(ifname));
    {
        ZCO_TRY(auto socket, co_await Socket::open(io, pool, options_for(ifname)));
        ZCO_CHECK(redirect.enter(*socket));
        const FrameSender sender(peer);
        std::vector<FrameBatch> kept;
        for (std::uint32_t held = 0; held < 64;) {
            sender.send(numbered(0));
            ZCO_TRY(FrameBatch batch, co_await socket->receive());
            held += static_cast<std::uint32_t>(batch.size());
            kept.push_back(std::move(batch));
        }
        EXPECT_FALSE(static_cast<bool>(pool->take()));
        sender.send(numbered(1)); // there is no place for this one
        EXPECT_EQ(
            (co_await socket->wait_readable(io.now() + std::chrono::milliseconds(20))).error(),
            Error(CoreError::timed_out)
        );
        EXPECT_EQ(pool->balance().held, 64U);
        EXPECT_TRUE(pool->balance().adds_up);
        kept.clear();
        sender.send(numbered(2));
        ZCO_CHECK(co_await take_in_order(*socket, 2, 1));
        EXPECT_EQ(socket->stats()->lost_no_frame, 1U);
        EXPECT_EQ(socket->stats()->lost_other, 0U); // each once
    }
    expect_all_free(*pool, 0);
    co_return {};
}

} // namespace

TEST_F(XskTest, a_socket_without_frames_receives_again_when_some_come_back) {
    run(starves(io(), veth_.name(), veth_.peer()));
}

namespace {

/// A frame from the other end arrives, once the kernel has brought the link up there: until then it
/// drops what is sent, and calls that sent.
Task<Result<void>> hears(Io io, Socket& socket, const FrameSender& sender, std::uint32_t number) {
    for (;;) {
        sender.send(numbered(number));
        const auto came = co_await socket.wait_readable(io.now() + std::chrono::milliseconds(50));
        if (came) {
            break;
        }
        if (came.error() != Error(CoreError::timed_out)) {
            co_return came;
        }
    }
    ZCO_TRY(const FrameBatch batch, co_await socket.receive());
    EXPECT_EQ(number_of(batch.front().bytes()), number);
    co_return {};
}

Task<Outcome<void>> survives_link_changes(Io io, std::string ifname, std::string peer) {
    ZCO_TRY(auto pool, Umem::create({}));
    ZCO_TRY(auto redirect, Redirect::attach(ifname));
    ZCO_TRY(auto socket, co_await Socket::open(io, pool, options_for(ifname)));
    ZCO_CHECK(redirect.enter(*socket));
    for (int round = 0; round < 3; ++round) {
        packet::test::run(std::format("ip link set {} down", ifname));
        EXPECT_EQ((co_await send_numbered(*socket, 0, 1)).error().os_error(), ENETDOWN);
        packet::test::run(std::format("ip link set {} up", ifname));
        // What was left on the ring goes out now.
        ZCO_CHECK(co_await socket->flush());
        const FrameSender sender(peer);
        ZCO_CHECK(co_await hears(io, *socket, sender, 7));
        expect_all_free(*pool, ring);
    }
    co_return {};
}

Task<Outcome<void>> survives_deletion(Io io, std::string ifname, std::string peer) {
    ZCO_TRY(auto pool, Umem::create({}));
    {
        ZCO_TRY(auto redirect, Redirect::attach(ifname));
        ZCO_TRY(auto socket, co_await Socket::open(io, pool, options_for(ifname)));
        ZCO_CHECK(redirect.enter(*socket));
        auto waiting = io.async([](Socket& to) { return to.receive(); }, std::ref(*socket));
        ZCO_CHECK(co_await io.yield());
        packet::test::run(std::format("ip link del {}", peer));
        auto& got = co_await waiting;
        EXPECT_FALSE(got.has_value());
        EXPECT_EQ(got.error().os_error(), ENXIO);
        EXPECT_EQ((co_await send_numbered(*socket, 0, 1)).error().os_error(), ENXIO);
        EXPECT_TRUE(pool->balance().adds_up);
        // A new interface, and the same pool, while the dead socket is still there.
        const Veth again(ifname, peer);
        ZCO_TRY(auto second_redirect, Redirect::attach(ifname));
        ZCO_TRY(auto second, co_await Socket::open(io, pool, options_for(ifname)));
        ZCO_CHECK(second_redirect.enter(*second));
        const FrameSender sender(peer);
        ZCO_CHECK(co_await hears(io, *second, sender, 9));
        EXPECT_TRUE(pool->balance().adds_up);
    }
    expect_all_free(*pool, 0);
    co_return {};
}

Task<Outcome<void>> opens_at_once_again(Io io, std::string ifname, std::string peer) {
    ZCO_TRY(auto pool, Umem::create({}));
    ZCO_TRY(auto redirect, Redirect::attach(ifname));
    const FrameSender sender(peer);
    for (std::uint32_t round = 0; round < 8; ++round) {
        ZCO_TRY(auto socket, co_await Socket::open(io, pool, options_for(ifname)));
        ZCO_CHECK(redirect.enter(*socket));
        sender.send(numbered(round));
        ZCO_CHECK(co_await take_in_order(*socket, round, 1));
        expect_all_free(*pool, ring);
    }
    expect_all_free(*pool, 0);
    co_return {};
}

Task<Outcome<void>> gives_up_on_a_busy_queue(Io io, std::string ifname) {
    ZCO_TRY(auto pool, Umem::create({}));
    ZCO_TRY(auto others, Umem::create({}));
    ZCO_TRY(auto socket, co_await Socket::open(io, pool, options_for(ifname)));
    const auto refused = co_await Socket::open(io, others, options_for(ifname));
    EXPECT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().error.os_error(), EBUSY);
    EXPECT_NE(refused.error().message().find("queue 0 of zt0"), std::string::npos);
    expect_all_free(*others, 0);
    co_return {};
}

} // namespace

TEST_F(XskTest, goes_on_when_the_link_was_down) {
    run(survives_link_changes(io(), veth_.name(), veth_.peer()));
}
TEST_F(XskTest, says_when_its_interface_is_deleted_and_leaks_no_frame) {
    run(survives_deletion(io(), veth_.name(), veth_.peer()));
}
TEST_F(XskTest, opens_again_at_once_after_it_was_closed) {
    run(opens_at_once_again(io(), veth_.name(), veth_.peer()));
}
TEST_F(XskTest, gives_up_in_words_when_a_queue_stays_busy) {
    run(gives_up_on_a_busy_queue(io(), veth_.name()));
}

namespace {

Task<Outcome<void>> cancels(Io io, std::string ifname, std::string peer) {
    ZCO_TRY(auto pool, Umem::create({}));
    ZCO_TRY(auto redirect, Redirect::attach(ifname));
    ZCO_TRY(auto socket, co_await Socket::open(io, pool, options_for(ifname)));
    ZCO_CHECK(redirect.enter(*socket));
    const FrameSender sender(peer);
    for (std::uint32_t round = 0; round < 20; ++round) {
        auto waiting = io.async([](Socket& to) { return to.receive(); }, std::ref(*socket));
        ZCO_CHECK(co_await io.yield());
        if (round % 2 == 0) {
            sender.send(numbered(round));
        }
        auto& got = co_await waiting.cancel();
        if (round % 2 == 0 && !got) { // then it is still there
            EXPECT_TRUE(got.error().is_canceled());
            ZCO_CHECK(co_await take_in_order(*socket, round, 1));
        }
    }
    expect_all_free(*pool, ring);
    co_return {};
}

Task<Outcome<void>> refuses(Io io, std::string ifname) {
    EXPECT_FALSE(Umem::create({.frame_bytes = 1024}).has_value());
    EXPECT_FALSE(Umem::create({.frame_bytes = 3000}).has_value());
    EXPECT_FALSE(Umem::create({.frame_bytes = 8192}).has_value());
    EXPECT_FALSE(Umem::create({.frames = 0}).has_value());
    EXPECT_TRUE(Umem::create({.frames = packet::xsk::limits::frames_max}).has_value());
    EXPECT_FALSE(Umem::create({.frames = packet::xsk::limits::frames_max + 1}).has_value());
    ZCO_TRY(auto pool, Umem::create({.frame_bytes = packet::xsk::limits::frame_bytes_max}));
    const auto refusal = [&](SocketOptions options) -> Task<std::string> {
        const auto opened = co_await Socket::open(io, pool, std::move(options));
        co_return opened ? "" : opened.error().message();
    };
    for (const std::uint32_t entries : {16U, 48U, 2 * packet::xsk::limits::ring_entries_max}) {
        EXPECT_NE((co_await refusal({.ifname = ifname, .receive_entries = entries})), "");
        EXPECT_NE((co_await refusal({.ifname = ifname, .send_entries = entries})), "");
    }
    for (const std::uint32_t entries : {32U, packet::xsk::limits::ring_entries_max}) {
        EXPECT_EQ(
            (co_await refusal(
                {.ifname = ifname, .receive_entries = entries, .send_entries = entries}
            )),
            ""
        );
    }
    EXPECT_NE((co_await refusal(options_for("zt9"))).find("no interface zt9"), std::string::npos);
    SocketOptions queue = options_for(ifname);
    queue.queue = 900;
    EXPECT_NE((co_await refusal(queue)).find("no such queue"), std::string::npos);
    SocketOptions zero_copy = options_for(ifname);
    zero_copy.want = SocketOptions::Want::zero_copy;
    EXPECT_NE((co_await refusal(zero_copy)).find("no zero copy"), std::string::npos);
    expect_all_free(*pool, 0);
    co_return {};
}

} // namespace

TEST_F(XskTest, a_cancelled_receive_loses_nothing) {
    run(cancels(io(), veth_.name(), veth_.peer()));
}
TEST_F(XskTest, refuses_in_words_and_keeps_its_limits) { run(refuses(io(), veth_.name())); }

namespace {

constexpr auto overload_time = std::chrono::milliseconds(150);
constexpr std::uint32_t paced_frames = 200'000;
/// A machine with other work may take a receiver's processor away for longer than its ring lasts.
constexpr int attempts_max = 5;

} // namespace

TEST_F(XskTest, loses_nothing_at_70_percent_of_the_most_that_it_receives) {
    const packet::test::LiveSource source(veth_.peer());
    std::uint64_t lost = 1;
    for (int attempt = 0; attempt < attempts_max && lost != 0; ++attempt) {
        packet::test::ReceivingThread receiver(veth_.name(), packet::xsk::limits::ring_entries_max);
        double most = 0;
        {
            source.pace(0);
            const packet::test::LiveStream stream(source);
            const auto start = std::chrono::steady_clock::now();
            std::this_thread::sleep_for(overload_time);
            const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
            most = static_cast<double>(receiver.received()) / took.count();
        }
        (void)receiver.stop();
        packet::test::ReceivingThread paced(veth_.name(), packet::xsk::limits::ring_entries_max);
        source.pace(static_cast<std::uint32_t>(0.7 * most));
        const std::uint64_t before = packet::test::frames_arrived(veth_.name());
        source.send(paced_frames);
        // What is still on the link when all was sent arrives when nothing new does.
        std::uint64_t arrived = 0;
        for (std::uint64_t now = 1; now != arrived;) {
            arrived = std::exchange(now, packet::test::frames_arrived(veth_.name()) - before);
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
        const packet::test::ReceiveReport report = paced.stop();
        lost = report.stats.lost_ring_full + report.stats.lost_no_frame + report.stats.lost_other;
        // Whatever was lost was told. The link itself has room for 256 frames.
        ASSERT_GT(arrived, paced_frames / 2);
        ASSERT_EQ(paced.received() + lost, arrived);
        ASSERT_EQ(report.stats.received, paced.received());
        EXPECT_TRUE(report.open.adds_up && report.closed.adds_up);
        EXPECT_EQ(report.closed.free, report.closed.frames);
    }
    EXPECT_EQ(lost, 0U);
}

TEST_F(XskTest, a_forwarder_whose_peer_goes_with_its_namespace_ends_and_has_all_its_frames) {
    const std::string away = std::format("zxsk{}", getpid());
    packet::test::run("ip netns add " + away);
    const Veth second("zt2", "zt3");
    packet::test::run("ip link set zt3 netns " + away);
    packet::test::run(
        std::format("ip -n {0} link set zt3 addrgenmode none arp off multicast off up", away)
    );
    packet::test::ForwardingThread forwarder(veth_.name(), second.name());
    {
        const packet::test::LiveSource source(veth_.peer());
        const packet::test::LiveStream stream(source);
        // In the midst of it, with frames in every ring.
        while (forwarder.forwarded() < 10'000) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        packet::test::run("ip netns del " + away);
        EXPECT_EQ(forwarder.ended().os_error(), ENXIO);
    }
    const ForwardStatus status = forwarder.stop();
    EXPECT_GE(status.ports[0].forwarded, 10'000U);
    EXPECT_TRUE(status.balance.adds_up);
    EXPECT_EQ(status.balance.held, 0U);
    EXPECT_EQ(
        status.balance.free + status.balance.receiving + status.balance.sending,
        status.balance.frames
    );
}

TEST_F(XskTest, leaks_no_frame_of_a_million_forwarded) {
    constexpr std::uint64_t frames = 1'000'000;
    const Veth second("zt2", "zt3");
    const packet::test::FrameCounter counter(second.peer());
    packet::test::ForwardingThread forwarder(veth_.name(), second.name());
    {
        const packet::test::LiveSource source(veth_.peer());
        const packet::test::LiveStream stream(source
        ); // more than it can take: both ways of a frame
        while (counter.frames() < frames) {
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
    }
    const ForwardStatus status = forwarder.stop();
    EXPECT_EQ(status.ports[0].forwarded, counter.frames());
    EXPECT_TRUE(status.balance.adds_up);
    EXPECT_EQ(status.balance.held + status.balance.sending, 0U);
    EXPECT_EQ(status.balance.free + status.balance.receiving, status.balance.frames);
}
