#include <zsync/packet/link_monitor.hpp>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>

namespace zsync::packet {
namespace {

using namespace std::chrono_literals;

/// One netlink message of the kernel is at most a page and a half; more than one comes at a time.
constexpr std::size_t receive_bytes = std::size_t{32} << 10;
/// How long a burst may go on after its first message.
constexpr auto burst_max = 20ms;

} // namespace

Outcome<LinkMonitor> LinkMonitor::open() {
    Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups = RTMGRP_LINK;
    if (!socket ||
        ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        const Error error = os_error(errno);
        return fail(error, "cannot watch network interfaces: " + error.message());
    }
    return LinkMonitor(std::move(socket));
}

Task<Result<void>> LinkMonitor::changed(Io io) {
    auto [first, buffer] = co_await io.recv(socket_, Bytes(receive_bytes));
    if (!first && first.error().os_error() != ENOBUFS) {
        co_return fail(first.error());
    }
    const TimePoint end_of_burst = Clock::now() + burst_max;
    for (;;) {
        auto next = co_await io.recv(socket_, std::move(buffer)).until(end_of_burst);
        buffer = std::move(next.buffer);
        if (!next.count && next.count.error() == Error(CoreError::timed_out)) {
            co_return {};
        }
        if (!next.count && next.count.error().os_error() != ENOBUFS) {
            co_return fail(next.count.error());
        }
    }
}

} // namespace zsync::packet
