#include <zsync/packet/xsk/limits.hpp>
#include <zsync/packet/xsk/redirect.hpp>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <zsync_redirect.skel.h>

#include <array>
#include <cerrno>
#include <format>
#include <memory>
#include <unistd.h>

namespace zsync::packet::xsk {
namespace {

struct Destroy {
    void operator()(zsync_redirect* skeleton) const { zsync_redirect__destroy(skeleton); }
};

std::unexpected<Fault> cannot(std::string_view what, const std::string& ifname, int error) {
    std::string_view hint;
    if (error == EPERM || error == EACCES) {
        hint = " (it needs CAP_BPF and CAP_NET_ADMIN)";
    } else if (error == EBUSY || error == EEXIST) {
        hint = " (it has an XDP program already)";
    }
    return fail(
        os_error(error),
        std::format("cannot {} {}: {}{}", what, ifname, os_error(error).message(), hint)
    );
}

} // namespace

Outcome<void> enter_map(FdRef map, const Socket& socket) {
    const std::uint32_t queue = socket.queue_id();
    const int fd = socket.fd().get();
    if (bpf_map_update_elem(map.get(), &queue, &fd, BPF_ANY) != 0) {
        const int error = errno;
        return fail(
            os_error(error),
            error == E2BIG
                ? std::format(
                      "queue {} is past the {} that can have sockets", queue, limits::queues_max
                  )
                : std::format("cannot enter a socket: {}", os_error(error).message())
        );
    }
    return {};
}

Outcome<Redirect> Redirect::attach(const std::string& ifname) {
    const unsigned ifindex = ::if_nametoindex(ifname.c_str());
    if (ifindex == 0) {
        return fail(os_error(errno), std::format("no interface {} here", ifname));
    }
    const std::unique_ptr<zsync_redirect, Destroy> skeleton(zsync_redirect__open());
    if (!skeleton) {
        return cannot("open the redirect program for", ifname, errno);
    }
    bpf_map__set_max_entries(skeleton->maps.sockets, limits::queues_max);
    if (const int error = zsync_redirect__load(skeleton.get()); error != 0) {
        return cannot("load the redirect program for", ifname, -error);
    }
    Redirect redirect;
    redirect.map_ = Fd(::dup(bpf_map__fd(skeleton->maps.sockets)));
    int error = 0;
    for (const std::uint32_t mode : {XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE}) {
        LIBBPF_OPTS(bpf_link_create_opts, options, .flags = mode);
        redirect.link_ = Fd(bpf_link_create(
            bpf_program__fd(skeleton->progs.zsync_redirect),
            static_cast<int>(ifindex),
            BPF_XDP,
            &options
        ));
        error = redirect.link_ ? 0 : errno;
        if (error == 0 || error == EPERM || error == EBUSY || error == EEXIST) {
            break;
        }
    }
    if (error != 0 || !redirect.map_) {
        return cannot("attach the redirect program to", ifname, error != 0 ? error : EMFILE);
    }
    return redirect;
}

} // namespace zsync::packet::xsk
