#include <zsync/core/fd.hpp>
#include <zsync/packet/xsk/queues.hpp>

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <format>

namespace zsync::packet::xsk {

Outcome<std::uint32_t> receive_queues(const std::string& ifname, std::uint32_t queues_max) {
    const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    if (ifname.size() >= sizeof request.ifr_name) {
        return fail(os_error(ENODEV), std::format("no interface {} here", ifname));
    }
    std::memcpy(request.ifr_name, ifname.data(), ifname.size());
    ethtool_channels channels{};
    channels.cmd = ETHTOOL_GCHANNELS;
    request.ifr_data = reinterpret_cast<char*>(&channels);
    std::uint32_t queues = 1;
    if (socket && ::ioctl(socket.get(), SIOCETHTOOL, &request) == 0) {
        queues = std::max(channels.rx_count + channels.combined_count, 1U);
    }
    if (queues > queues_max) {
        return fail(
            CoreError::limit_reached,
            std::format(
                "{} receives by {} queues, and {} are taken at most: ethtool -L {} {} {}",
                ifname,
                queues,
                queues_max,
                ifname,
                channels.combined_count != 0 ? "combined" : "rx",
                queues_max
            )
        );
    }
    return queues;
}

} // namespace zsync::packet::xsk
