// What is common to those who ask rtnetlink(7), over libmnl.
#pragma once

#include <libmnl/libmnl.h>

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

} // namespace zsync::packet
