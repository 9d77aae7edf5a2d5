// What is common to those who ask rtnetlink(7), over libmnl.
#pragma once

#include <zsync/core/result.hpp>

#include <libmnl/libmnl.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

namespace zsync::packet {

/// The longest answer that the kernel gives at once.
constexpr std::size_t netlink_reply_bytes_max = 65536;

struct CloseNetlinkSocket {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};
using NetlinkSocket = std::unique_ptr<mnl_socket, CloseNetlinkSocket>;

using OnAttribute = std::function<void(const nlattr*, std::uint16_t type)>;

inline int call_on_attribute(const nlattr* attribute, void* visit) {
    (*static_cast<OnAttribute*>(visit))(attribute, mnl_attr_get_type(attribute));
    return MNL_CB_OK;
}

/// Behind a header of so many bytes.
inline void each_attribute(const nlmsghdr* message, std::size_t header_bytes, OnAttribute visit) {
    mnl_attr_parse(message, static_cast<unsigned>(header_bytes), call_on_attribute, &visit);
}

inline void each_nested(const nlattr* attribute, OnAttribute visit) {
    mnl_attr_parse_nested(attribute, call_on_attribute, &visit);
}

/// Sends a request and gives each message of the answer to `parse`.
inline Result<void>
ask_netlink(mnl_socket* socket, nlmsghdr* request, mnl_cb_t parse, void* result) {
    request->nlmsg_seq = request->nlmsg_type;
    if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0) {
        return fail(os_error(errno));
    }
    const auto reply = std::make_unique<std::array<char, netlink_reply_bytes_max>>();
    const bool is_dump = (request->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
    for (;;) {
        const ssize_t bytes = mnl_socket_recvfrom(socket, reply->data(), reply->size());
        if (bytes < 0) {
            return fail(os_error(errno));
        }
        const int state = mnl_cb_run(
            reply->data(),
            static_cast<std::size_t>(bytes),
            request->nlmsg_seq,
            mnl_socket_get_portid(socket),
            parse,
            result
        );
        if (state < 0) {
            return fail(os_error(errno));
        }
        if (state == MNL_CB_STOP || !is_dump) {
            return {};
        }
    }
}

} // namespace zsync::packet
