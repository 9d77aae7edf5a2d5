#include <zsync/core/text.hpp>
#include <zsync/packet/attach_mode.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/interface_facts.hpp>
#include <zsync/packet/rtnetlink.hpp>

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <format>
#include <memory>

namespace zsync::packet {
namespace {

std::string text_of(const nlattr* attribute) {
    const std::string_view bytes(
        static_cast<const char*>(mnl_attr_get_payload(attribute)),
        mnl_attr_get_payload_len(attribute)
    );
    return std::string(bytes.substr(0, bytes.find('\0')));
}

std::uint32_t number_of(const nlattr* attribute) {
    return mnl_attr_validate(attribute, MNL_TYPE_U32) < 0 ? 0 : mnl_attr_get_u32(attribute);
}

XdpMode mode_of(std::uint8_t attached) {
    switch (attached) {
    case XDP_ATTACHED_DRV:
    case XDP_ATTACHED_MULTI:
        return XdpMode::native;
    case XDP_ATTACHED_SKB:
        return XdpMode::generic;
    case XDP_ATTACHED_HW:
        return XdpMode::offload;
    default:
        return XdpMode::none;
    }
}

int parse_link(const nlmsghdr* message, void* result) {
    InterfaceFacts& facts = *static_cast<InterfaceFacts*>(result);
    const auto* link = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(message));
    facts.ifindex = static_cast<std::uint32_t>(link->ifi_index);
    facts.link_type = link->ifi_type;
    each_attribute(message, sizeof(ifinfomsg), [&](const nlattr* attribute, std::uint16_t type) {
        switch (type) {
        case IFLA_IFNAME:
            facts.name = text_of(attribute);
            break;
        case IFLA_MTU:
            facts.mtu = number_of(attribute);
            break;
        case IFLA_MASTER:
            facts.master_ifindex = number_of(attribute);
            break;
        case IFLA_LINKINFO:
            each_nested(attribute, [&](const nlattr* info, std::uint16_t info_type) {
                if (info_type == IFLA_INFO_KIND) {
                    facts.kind = text_of(info);
                } else if (info_type == IFLA_INFO_SLAVE_KIND) {
                    facts.master_kind = text_of(info);
                }
            });
            break;
        case IFLA_XDP:
            each_nested(attribute, [&](const nlattr* xdp, std::uint16_t xdp_type) {
                if (xdp_type == IFLA_XDP_ATTACHED && mnl_attr_validate(xdp, MNL_TYPE_U8) >= 0) {
                    facts.xdp_mode = mode_of(mnl_attr_get_u8(xdp));
                } else if (xdp_type == IFLA_XDP_PROG_ID) {
                    facts.xdp_program_id = number_of(xdp);
                }
            });
            break;
        default:
            break;
        }
    });
    return MNL_CB_OK;
}

Outcome<InterfaceFacts> query(std::uint32_t ifindex, std::string_view name, std::string said) {
    const auto failed = [&](int error) -> std::unexpected<Fault> {
        if (error == ENODEV) {
            return fail(
                PacketError::no_such_interface, std::format("there is no interface {}", said)
            );
        }
        return fail(os_error(error), std::format("rtnetlink: {}", os_error(error).message()));
    };
    const NetlinkSocket socket(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
    if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0) {
        return failed(errno);
    }
    std::array<char, 512> request{};
    nlmsghdr* header = mnl_nlmsg_put_header(request.data());
    header->nlmsg_type = RTM_GETLINK;
    header->nlmsg_flags = NLM_F_REQUEST;
    header->nlmsg_seq = 1;
    auto* link = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(header, sizeof(ifinfomsg)));
    link->ifi_index = static_cast<int>(ifindex);
    if (ifindex == 0) {
        mnl_attr_put_strz(header, IFLA_IFNAME, std::string(name).c_str());
    }
    if (mnl_socket_sendto(socket.get(), header, header->nlmsg_len) < 0) {
        return failed(errno);
    }
    const auto reply = std::make_unique<std::array<char, netlink_reply_bytes_max>>();
    const ssize_t bytes = mnl_socket_recvfrom(socket.get(), reply->data(), reply->size());
    if (bytes < 0) {
        return failed(errno);
    }
    InterfaceFacts facts;
    const auto port = mnl_socket_get_portid(socket.get());
    if (mnl_cb_run(reply->data(), static_cast<std::size_t>(bytes), 1, port, parse_link, &facts) <
        0) {
        return failed(errno);
    }
    return facts;
}

} // namespace

Outcome<InterfaceFacts> interface_facts(std::string_view name) {
    if (!is_interface_name(name)) {
        return fail(
            PacketError::no_such_interface,
            std::format(
                "{} is no name of an interface (1 to {} bytes)", in_quotes(name), IFNAMSIZ - 1
            )
        );
    }
    return query(0, name, std::string(name));
}

Outcome<InterfaceFacts> interface_facts(std::uint32_t ifindex) {
    if (ifindex == 0) {
        return fail(PacketError::no_such_interface, "there is no interface number 0");
    }
    return query(ifindex, {}, std::format("number {}", ifindex));
}

} // namespace zsync::packet
