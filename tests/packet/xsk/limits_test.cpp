// The named limits of AF_XDP sockets, at the limit and past it.
#include "tests/packet/lab.hpp"

#include <zsync/core/worker.hpp>
#include <zsync/packet/xsk/forwarder.hpp>
#include <zsync/packet/xsk/redirect.hpp>
#include <zsync/packet/xsk/socket.hpp>
#include <zsync/packet/xsk/stations.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

using namespace zsync;
using namespace zsync::packet::xsk;
namespace xsk_limits = zsync::packet::xsk::limits;
using packet::test::Lab;
using packet::test::Veth;

namespace {

constexpr std::uint32_t small_ring = 32;

class XskLimits : public testing::Test {
protected:
    void run(Task<Outcome<void>> task) {
        const auto done = worker_->run("test", std::move(task));
        EXPECT_TRUE(done.has_value()) << done.error().message();
    }
    [[nodiscard]] Io io() const { return worker_->io(); }

    const Lab& lab_ = Lab::enter();
    std::unique_ptr<Worker> worker_ = *Worker::create();
};

SocketOptions queue_of(const std::string& ifname, std::uint32_t queue) {
    return {
        .ifname = ifname,
        .queue = queue,
        .receive_entries = small_ring,
        .send_entries = small_ring,
    };
}

Task<Outcome<void>> fills_a_pool(Io io, std::string ifname) {
    ZCO_TRY(auto pool, Umem::create({.frames = xsk_limits::sockets_max * 2 * small_ring}));
    {
        std::vector<std::unique_ptr<Socket>> sockets;
        for (std::uint32_t queue = 0; queue < xsk_limits::sockets_max; ++queue) {
            ZCO_TRY(auto socket, co_await Socket::open(io, pool, queue_of(ifname, queue)));
            sockets.push_back(std::move(socket));
        }
        const auto past =
            co_await Socket::open(io, pool, queue_of(ifname, xsk_limits::sockets_max));
        EXPECT_FALSE(past.has_value());
        EXPECT_EQ(past.error().error, Error(CoreError::limit_reached));
        EXPECT_TRUE(past.error().message().contains("queue 250 of " + ifname))
            << past.error().message();
        EXPECT_TRUE(past.error().message().contains("250 sockets")) << past.error().message();
        EXPECT_TRUE(pool->balance().adds_up);
        // Where one has ended there is room for another one.
        sockets[7].reset();
        ZCO_TRY(
            sockets[7], co_await Socket::open(io, pool, queue_of(ifname, xsk_limits::sockets_max))
        );
        EXPECT_EQ(pool->balance().receiving, xsk_limits::sockets_max * small_ring);
    }
    EXPECT_EQ(pool->balance().free, pool->frames());
    co_return {};
}

Task<Outcome<void>> enters_queues(Io io, std::string ifname) {
    ZCO_TRY(auto pool, Umem::create({}));
    ZCO_TRY(auto redirect, Redirect::attach(ifname));
    ZCO_TRY(
        auto last, co_await Socket::open(io, pool, queue_of(ifname, xsk_limits::queues_max - 1))
    );
    ZCO_CHECK(redirect.enter(*last));
    ZCO_TRY(auto past, co_await Socket::open(io, pool, queue_of(ifname, xsk_limits::queues_max)));
    const auto refused = redirect.enter(*past);
    EXPECT_FALSE(refused.has_value());
    EXPECT_TRUE(refused.error().message().contains("queue 256 is past the 256"))
        << refused.error().message();
    co_return {};
}

Task<Outcome<void>> forwards_by_queues(Io io, std::string most, std::string past, std::string one) {
    {
        ZCO_TRY(const auto forwarder, co_await Forwarder::open(io, {.ports = {most, one}}));
        EXPECT_EQ(forwarder->sockets(0).size(), xsk_limits::forward_queues_max);
        EXPECT_EQ(forwarder->status().queues, xsk_limits::forward_queues_max + 1);
        EXPECT_TRUE(forwarder->status().balance.adds_up);
    }
    const auto refused = co_await Forwarder::open(io, {.ports = {past, one}});
    EXPECT_FALSE(refused.has_value());
    EXPECT_TRUE(refused.error().message().contains(past + " receives by 17 queues"))
        << refused.error().message();
    EXPECT_TRUE(refused.error().message().contains("ethtool -L " + past))
        << refused.error().message();
    co_return {};
}

FrameBatch packet_of(Umem& pool, std::uint32_t frames, std::size_t bytes) {
    FrameBatch batch;
    for (std::uint32_t i = 0; i < frames; ++i) {
        Frame frame = pool.take();
        EXPECT_TRUE(frame.resize(bytes));
        std::ranges::fill(frame.bytes(), std::byte{0xff});
        frame.set_continues(i + 1 < frames);
        batch.push_back(std::move(frame));
    }
    return batch;
}

Task<Outcome<void>> sends_packets_of_frames(Io io, std::string ifname, std::string peer) {
    constexpr std::size_t bytes = 200;
    ZCO_TRY(auto pool, Umem::create({.frames = 8192}));
    // The receiving end takes frames in several buffers as well.
    ZCO_TRY(auto redirect, Redirect::attach(peer));
    ZCO_TRY(auto sender_side, Redirect::attach(ifname));
    SocketOptions options{.ifname = ifname, .multi_buffer = true};
    ZCO_TRY(auto from, co_await Socket::open(io, pool, options));
    options.ifname = peer;
    ZCO_TRY(auto to, co_await Socket::open(io, pool, options));
    ZCO_CHECK(redirect.enter(*to));
    ZCO_CHECK(co_await from->send(packet_of(*pool, xsk_limits::packet_frames_max, bytes)));
    {
        ZCO_TRY(const FrameBatch came, co_await to->receive());
        std::size_t total = 0;
        for (const Frame& frame : came) {
            total += frame.size();
        }
        EXPECT_EQ(total, xsk_limits::packet_frames_max * bytes);
    }
    const auto refused =
        co_await from->send(packet_of(*pool, xsk_limits::packet_frames_max + 1, bytes));
    EXPECT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().os_error(), EMSGSIZE);
    ZCO_CHECK(co_await from->flush());
    EXPECT_EQ(from->stats()->sent, 1U);
    EXPECT_EQ(from->stats()->refused_send, 0U);
    EXPECT_EQ(pool->balance().held, 0U);
    EXPECT_TRUE(pool->balance().adds_up);
    co_return {};
}

Task<Outcome<void>> fetches_in_batches(Io io, std::string ifname, std::string peer) {
    ZCO_TRY(auto pool, Umem::create({}));
    ZCO_TRY(auto redirect, Redirect::attach(ifname));
    ZCO_TRY(auto socket, co_await Socket::open(io, pool, {.ifname = ifname}));
    ZCO_CHECK(redirect.enter(*socket));
    const packet::test::FrameSender sender(peer);
    for (std::uint32_t i = 0; i <= xsk_limits::batch_frames_max; ++i) {
        sender.send(packet::test::Frame(64, 0xff));
    }
    ZCO_TRY(const FrameBatch first, co_await socket->receive());
    EXPECT_EQ(first.size(), xsk_limits::batch_frames_max);
    ZCO_TRY(const FrameBatch rest, co_await socket->receive());
    EXPECT_EQ(rest.size(), 1U);
    co_return {};
}

} // namespace

TEST_F(XskLimits, a_pool_has_250_sockets) {
    const Veth veth("zq0", "zq1", xsk_limits::sockets_max + 1);
    run(fills_a_pool(io(), veth.name()));
}

TEST_F(XskLimits, a_map_has_256_queues) {
    const Veth veth("zq0", "zq1", xsk_limits::queues_max + 1);
    run(enters_queues(io(), veth.name()));
}

TEST_F(XskLimits, a_forwarder_takes_16_queues_a_port_and_refuses_what_it_would_miss) {
    const Veth most("zq0", "zq1", xsk_limits::forward_queues_max);
    const Veth past("zr0", "zr1", xsk_limits::forward_queues_max + 1);
    const Veth one;
    run(forwards_by_queues(io(), most.name(), past.name(), one.name()));
}

TEST_F(XskLimits, a_packet_has_18_frames) {
    const Veth veth;
    packet::test::run("ip link set zt0 mtu 9000 && ip link set zt1 mtu 9000");
    run(sends_packets_of_frames(io(), veth.name(), veth.peer()));
}

TEST_F(XskLimits, a_batch_has_256_frames) {
    const Veth veth;
    run(fetches_in_batches(io(), veth.name(), veth.peer()));
}

TEST(XskStations, are_forgotten_past_4096_and_never_the_newest) {
    StationTable table(3); // even by a seed that is as bad as can be
    for (MacAddress station = 1; station <= 16 * xsk_limits::stations_max; ++station) {
        table.learn(station, station % 2);
        ASSERT_LE(table.size(), xsk_limits::stations_max);
        ASSERT_EQ(table.find(station), station % 2);
    }
    EXPECT_EQ(table.size(), xsk_limits::stations_max); // no place is left empty
    std::size_t known = 0;
    for (MacAddress station = 1; station <= 16 * xsk_limits::stations_max; ++station) {
        known += table.find(station).has_value() ? 1 : 0;
    }
    EXPECT_EQ(known, xsk_limits::stations_max);
}
