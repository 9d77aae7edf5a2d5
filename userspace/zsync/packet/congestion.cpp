#include <zsync/packet/congestion.hpp>
#include <zsync/packet/rtnetlink.hpp>

#include <linux/gen_stats.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <format>
#include <fstream>
#include <memory>
#include <string>

namespace zsync::packet {
namespace {

struct Asked {
    std::uint32_t ifindex = 0;
    CongestionReading reading;
};

/// The attribute's bytes; kernels that are older or newer say less or more of it.
template <class T> T value_of(const nlattr* attribute) {
    T value{};
    std::memcpy(
        &value,
        mnl_attr_get_payload(attribute),
        std::min<std::size_t>(sizeof value, mnl_attr_get_payload_len(attribute))
    );
    return value;
}

int parse_device(const nlmsghdr* message, void* into) {
    CongestionReading& reading = static_cast<Asked*>(into)->reading;
    each_attribute(message, sizeof(ifinfomsg), [&](const nlattr* attribute, std::uint16_t type) {
        if (type == IFLA_STATS64) {
            const auto stats = value_of<rtnl_link_stats64>(attribute);
            reading.drops += stats.rx_missed_errors + stats.tx_dropped;
        }
    });
    return MNL_CB_OK;
}

int parse_qdisc(const nlmsghdr* message, void* into) {
    Asked& asked = *static_cast<Asked*>(into);
    const auto* qdisc = static_cast<const tcmsg*>(mnl_nlmsg_get_payload(message));
    // The dump is of all devices.
    if (qdisc->tcm_ifindex != static_cast<int>(asked.ifindex) || qdisc->tcm_parent != TC_H_ROOT) {
        return MNL_CB_OK;
    }
    const auto on_part = [&](const nlattr* part, std::uint16_t type) {
        if (type == TCA_STATS_QUEUE) {
            const auto queue = value_of<gnet_stats_queue>(part);
            asked.reading.drops += queue.drops;
            asked.reading.queue_packets += queue.qlen;
        }
    };
    each_attribute(message, sizeof(tcmsg), [&](const nlattr* attribute, std::uint16_t type) {
        if (type == TCA_STATS2) {
            each_nested(attribute, on_part);
        }
    });
    return MNL_CB_OK;
}

Result<void> ask_kernel(Asked& asked) {
    const NetlinkSocket socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
    if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
        return fail(os_error(errno));
    }
    std::array<char, 512> request{};
    nlmsghdr* header = mnl_nlmsg_put_header(request.data());
    header->nlmsg_type = RTM_GETLINK;
    header->nlmsg_flags = NLM_F_REQUEST;
    auto* link = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(header, sizeof(ifinfomsg)));
    link->ifi_index = static_cast<int>(asked.ifindex);
    ZTRY(ask_netlink(socket.get(), header, parse_device, &asked));
    header = mnl_nlmsg_put_header(request.data());
    header->nlmsg_type = RTM_GETQDISC;
    header->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    auto* qdisc = static_cast<tcmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(tcmsg)));
    qdisc->tcm_ifindex = static_cast<int>(asked.ifindex);
    return ask_netlink(socket.get(), header, parse_qdisc, &asked);
}

/// Of each processor a line of hexadecimal numbers, the second is what its backlog dropped.
std::uint64_t backlog_drops() {
    std::ifstream file("/proc/net/softnet_stat");
    std::uint64_t sum = 0;
    std::string processed;
    std::string dropped;
    std::string rest;
    while (file >> processed >> dropped && std::getline(file, rest)) {
        sum += std::strtoull(dropped.c_str(), nullptr, 16);
    }
    return sum;
}

/// The first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal.
void read_processors(CongestionReading& reading) {
    std::ifstream file("/proc/stat");
    std::string name;
    file >> name;
    std::uint64_t ticks = 0;
    for (int field = 0; field < 8 && file >> ticks; ++field) {
        reading.cpu_all += ticks;
        reading.cpu_busy += field == 3 || field == 4 ? 0 : ticks;
    }
}

} // namespace

Outcome<CongestionReading> read_congestion(std::uint32_t ifindex) {
    Asked asked{.ifindex = ifindex, .reading = {}};
    if (const auto answered = ask_kernel(asked); !answered) {
        return fail(
            answered.error(),
            std::format("rtnetlink, interface {}: {}", ifindex, answered.error().message())
        );
    }
    asked.reading.drops += backlog_drops();
    read_processors(asked.reading);
    return asked.reading;
}

} // namespace zsync::packet
