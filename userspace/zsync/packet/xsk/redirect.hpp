// Redirect: an XDP program that gives the packets of an interface to AF_XDP sockets.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>
#include <zsync/packet/xsk/socket.hpp>

#include <string>

namespace zsync::packet::xsk {

/// Puts a socket into an XSKMAP at its queue's place. The kernel takes it out when it is closed.
/// `map` is the map of an XDP program. Fails in words.
Outcome<void> enter_map(FdRef map, const Socket& socket);

/// An XDP program that does nothing but redirect (`bpf/zsync_redirect.bpf.c`), attached to an
/// interface for as long as this object lives: for programs of their own. zsyncd's program has such
/// a map behind its rules.
///
///     ZCO_TRY(auto redirect, Redirect::attach("eth0"));
///     ZCO_CHECK(redirect.enter(*socket));
///
/// Needs CAP_BPF and CAP_NET_ADMIN. Never replaces another program.
class Redirect {
public:
    /// In the driver where it can, else in the stack, with places for `limits::queues_max` queues.
    static Outcome<Redirect> attach(const std::string& ifname);
    /// From here on the packets of the socket's queue go to it.
    [[nodiscard]] Outcome<void> enter(const Socket& socket) const {
        return enter_map(map_, socket);
    }

private:
    Redirect() = default;

    Fd map_;
    Fd link_;
};

} // namespace zsync::packet::xsk
