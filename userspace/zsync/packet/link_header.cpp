#include <zsync/packet/link_header.hpp>

#include <linux/if_arp.h>

namespace zsync::packet {

LinkHeader link_header(std::uint32_t link_type) noexcept {
    switch (link_type) {
    case ARPHRD_ETHER:
    case ARPHRD_LOOPBACK:
        return LinkHeader::ethernet;
    case ARPHRD_NONE:
    case ARPHRD_TUNNEL:
    case ARPHRD_TUNNEL6:
    case ARPHRD_SIT:
    case ARPHRD_IPGRE:
    case ARPHRD_IP6GRE:
    case ARPHRD_PPP:
    case ARPHRD_RAWIP:
        return LinkHeader::none;
    default:
        return LinkHeader::unknown;
    }
}

} // namespace zsync::packet
