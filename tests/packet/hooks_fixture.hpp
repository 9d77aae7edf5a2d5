// Filters of what an interface sends and of the sockets of cgroups, and sockets to try them with.
#pragma once

#include "tests/packet/filter_fixture.hpp"

#include <zsync/packet/hook_filters.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <format>
#include <stdexcept>
#include <string>
#include <string_view>

namespace zsync::packet::test {

inline sockaddr_in address_of(std::uint32_t host, std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(host);
    return address;
}

inline constexpr std::uint32_t loopback = 0x7f000001;

inline Fd udp_socket() { return Fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)); }

inline Fd udp_at(std::uint16_t port) {
    Fd fd = udp_socket();
    const sockaddr_in address = address_of(loopback, port);
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
}

/// 0, or why it was not sent.
inline int send_to(const Fd& socket, std::uint16_t port) {
    const sockaddr_in to = address_of(loopback, port);
    const auto* address = reinterpret_cast<const sockaddr*>(&to);
    return sendto(socket.get(), "abc", 3, 0, address, sizeof to) == 3 ? 0 : errno;
}

inline bool receives(const Fd& socket) {
    char bytes[8];
    return recv(socket.get(), bytes, sizeof bytes, MSG_DONTWAIT) == 3;
}

class HooksTest : public FilterTest {
protected:
    ~HooksTest() override {
        for (const PinnedHook& pinned : Filter::list_pinned_hooks(lab_.bpf_dir())) {
            FilterOptions left = options_for(pinned.ifname);
            left.hook = pinned.hook;
            left.cgroup_id = pinned.cgroup_id;
            if (auto filter = Filter::adopt(left)) {
                (void)filter->detach();
            }
        }
    }

    [[nodiscard]] HookFilters hooks_of(const std::string& ifname) const {
        return {lab_.bpf_dir(), ifname};
    }
    [[nodiscard]] FilterOptions out() const {
        FilterOptions of_veth = options();
        of_veth.hook = HookKind::tcx_out;
        return of_veth;
    }

    static const Filter& filter_of(const HookFilters& hooks, std::string_view name) {
        const auto found =
            std::ranges::find(hooks.attached(), name, [](const HookFilters::Attached& attached) {
                return hook_name(attached.hook);
            });
        if (found == hooks.attached().end()) {
            throw std::runtime_error(std::format("no hook {}", name));
        }
        return found->filter;
    }
};

} // namespace zsync::packet::test
