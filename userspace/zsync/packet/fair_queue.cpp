#include <zsync/packet/error.hpp>
#include <zsync/packet/fair_queue.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/rtnetlink.hpp>

#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <array>
#include <format>
#include <string>
#include <vector>

namespace zsync::packet {
namespace {

/// Whose qdisc it is shows by its handle: 7a73:, "zs".
constexpr std::uint32_t own_handle = 0x7a730000;
/// Of the shortest packets so many make up a horizon.
constexpr std::uint64_t shortest_packet_bits = std::uint64_t{64} * 8;
constexpr std::size_t request_bytes = 512;

/// A qdisc as the kernel lists it; its default ones have no handle.
struct Qdisc {
    std::string kind;
    std::uint32_t handle = 0;
    std::uint32_t parent = 0;
};

struct Device {
    int ifindex = 0;
    std::uint32_t queues = 1;
    std::vector<Qdisc> qdiscs; ///< of what it sends
};

int parse_device(const nlmsghdr* message, void* into) {
    Device& device = *static_cast<Device*>(into);
    each_attribute(message, sizeof(ifinfomsg), [&](const nlattr* attribute, std::uint16_t type) {
        if (type == IFLA_NUM_TX_QUEUES && mnl_attr_validate(attribute, MNL_TYPE_U32) >= 0) {
            device.queues = mnl_attr_get_u32(attribute);
        }
    });
    return MNL_CB_OK;
}

int parse_qdisc(const nlmsghdr* message, void* into) {
    Device& device = *static_cast<Device*>(into);
    const auto* header = static_cast<const tcmsg*>(mnl_nlmsg_get_payload(message));
    // The dump is of all devices; ingress and clsact queue nothing.
    if (header->tcm_ifindex != device.ifindex || header->tcm_parent == TC_H_INGRESS) {
        return MNL_CB_OK;
    }
    Qdisc& qdisc = device.qdiscs.emplace_back();
    qdisc.handle = header->tcm_handle;
    qdisc.parent = header->tcm_parent;
    each_attribute(message, sizeof(tcmsg), [&](const nlattr* attribute, std::uint16_t type) {
        if (type == TCA_KIND && mnl_attr_validate(attribute, MNL_TYPE_NUL_STRING) >= 0) {
            qdisc.kind = mnl_attr_get_str(attribute);
        }
    });
    return MNL_CB_OK;
}

/// One interface's qdiscs, over one socket.
class Qdiscs {
public:
    static Result<Qdiscs> open(std::uint32_t ifindex) {
        Qdiscs qdiscs;
        qdiscs.device_.ifindex = static_cast<int>(ifindex);
        qdiscs.socket_.reset(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
        if (!qdiscs.socket_ || mnl_socket_bind(qdiscs.socket_.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
            return fail(os_error(errno));
        }
        std::array<char, request_bytes> request{};
        nlmsghdr* header = mnl_nlmsg_put_header(request.data());
        header->nlmsg_type = RTM_GETLINK;
        header->nlmsg_flags = NLM_F_REQUEST;
        auto* link = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(header, sizeof(ifinfomsg)));
        link->ifi_index = qdiscs.device_.ifindex;
        ZTRY(qdiscs.ask(header, parse_device));
        header = qdiscs.request(request, RTM_GETQDISC, NLM_F_DUMP, 0, 0);
        ZTRY(qdiscs.ask(header, parse_qdisc));
        return qdiscs;
    }

    [[nodiscard]] const Qdisc* root() const {
        const auto found = std::ranges::find(device_.qdiscs, TC_H_ROOT, &Qdisc::parent);
        return found == device_.qdiscs.end() ? nullptr : &*found;
    }
    [[nodiscard]] bool is_ours() const { return root() != nullptr && root()->handle == own_handle; }
    [[nodiscard]] bool is_default() const {
        return std::ranges::all_of(device_.qdiscs, [](const Qdisc& one) {
            return one.handle == 0;
        });
    }
    /// Every packet comes by an fq.
    [[nodiscard]] bool is_fair() const {
        return root() != nullptr && std::ranges::all_of(device_.qdiscs, [&](const Qdisc& one) {
                   return one.kind == "fq" || (&one == root() && one.kind == "mq");
               });
    }
    [[nodiscard]] bool has_queues() const { return root() != nullptr && root()->kind == "mq"; }
    [[nodiscard]] std::uint32_t queues() const { return device_.queues; }

    Result<void>
    put(std::uint32_t parent, std::uint32_t handle, const char* kind, std::uint32_t packets) {
        std::array<char, request_bytes> request_room{};
        nlmsghdr* header = request(
            request_room, RTM_NEWQDISC, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, parent, handle
        );
        mnl_attr_put_strz(header, TCA_KIND, kind);
        if (packets != 0) {
            nlattr* options = mnl_attr_nest_start(header, TCA_OPTIONS);
            mnl_attr_put_u32(header, TCA_FQ_PLIMIT, packets);
            // Otherwise it drops of one flow what was given its time.
            mnl_attr_put_u32(header, TCA_FQ_FLOW_PLIMIT, packets);
            mnl_attr_nest_end(header, options);
        }
        return ask(header, nullptr);
    }

    Result<void> remove_root() {
        std::array<char, request_bytes> request_room{};
        return ask(request(request_room, RTM_DELQDISC, NLM_F_ACK, TC_H_ROOT, own_handle), nullptr);
    }

private:
    Qdiscs() = default;

    nlmsghdr* request(
        std::array<char, request_bytes>& room,
        std::uint16_t type,
        int flags,
        std::uint32_t parent,
        std::uint32_t handle
    ) const {
        nlmsghdr* header = mnl_nlmsg_put_header(room.data());
        header->nlmsg_type = type;
        header->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
        auto* qdisc = static_cast<tcmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(tcmsg)));
        qdisc->tcm_ifindex = device_.ifindex;
        qdisc->tcm_parent = parent;
        qdisc->tcm_handle = handle;
        return header;
    }
    Result<void> ask(nlmsghdr* header, mnl_cb_t parse) {
        return ask_netlink(socket_.get(), header, parse, &device_);
    }

    NetlinkSocket socket_;
    Device device_;
};

std::unexpected<Fault> refused(Error error, std::string_view ifname) {
    if (error.os_error() == ENOENT) {
        return fail(
            PacketError::shaping_unavailable,
            std::format(
                "{} cannot shape: this kernel has no qdisc fq, which sends packets at their time; "
                "install its module sch_fq (CONFIG_NET_SCH_FQ), or leave shape out",
                ifname
            )
        );
    }
    if (error.os_error() == EPERM) {
        return fail(
            PacketError::not_permitted,
            std::format("giving {} the qdisc fq needs CAP_NET_ADMIN (or root)", ifname)
        );
    }
    return fail(error, std::format("cannot give {} the qdisc fq: {}", ifname, error.message()));
}

std::uint32_t packets_for(const Shape& shape) {
    const std::uint64_t packets = shape.rate / 1000 * shape.horizon_ms / shortest_packet_bits;
    return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(
        packets, limits::fair_queue_packets_min, limits::fair_queue_packets_max
    ));
}

} // namespace

Outcome<void>
install_fair_queue(std::uint32_t ifindex, std::string_view ifname, const Shape& shape) {
    auto found = Qdiscs::open(ifindex);
    if (!found) {
        return refused(found.error(), ifname);
    }
    Qdiscs& qdiscs = *found;
    if (!qdiscs.is_ours() && !qdiscs.is_default()) {
        if (qdiscs.is_fair()) {
            return {};
        }
        const Qdisc* root = qdiscs.root();
        return fail(
            PacketError::shaping_unavailable,
            std::format(
                "{} cannot shape: somebody gave it the qdisc {} {:x}:, and shaping needs fq; take "
                "that away (tc qdisc del dev {} root), or leave shape out",
                ifname,
                root == nullptr ? "unknown" : root->kind,
                root == nullptr ? 0 : root->handle >> 16,
                ifname
            )
        );
    }
    const std::uint32_t packets = packets_for(shape);
    if (!qdiscs.has_queues()) {
        const auto put = qdiscs.put(TC_H_ROOT, own_handle, "fq", packets);
        return put ? Outcome<void>{} : refused(put.error(), ifname);
    }
    if (!qdiscs.is_ours()) {
        if (const auto put = qdiscs.put(TC_H_ROOT, own_handle, "mq", 0); !put) {
            return refused(put.error(), ifname);
        }
    }
    for (std::uint32_t queue = 1; queue <= qdiscs.queues(); ++queue) {
        if (const auto put = qdiscs.put(own_handle | queue, 0, "fq", packets); !put) {
            const Error error = put.error();
            if (const auto removed = qdiscs.remove_root(); !removed) {
                return refused(removed.error(), ifname);
            }
            return refused(error, ifname);
        }
    }
    return {};
}

Outcome<void> remove_fair_queue(std::uint32_t ifindex, std::string_view ifname) {
    auto found = Qdiscs::open(ifindex);
    if (!found && found.error().os_error() == ENODEV) {
        return {};
    }
    auto removed = found ? Result<void>{} : Result<void>(std::unexpected(found.error()));
    if (found && found->is_ours()) {
        removed = found->remove_root();
    }
    if (!removed) {
        return fail(
            removed.error(),
            std::format("cannot take the qdisc fq from {}: {}", ifname, removed.error().message())
        );
    }
    return {};
}

} // namespace zsync::packet
