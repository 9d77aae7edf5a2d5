#include <zsync/packet/error.hpp>
#include <zsync/packet/handover.hpp>
#include <zsync/packet/interface_facts.hpp>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <zsync_handover.skel.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <format>
#include <memory>
#include <unistd.h>
#include <utility>

namespace zsync::packet {
namespace {

struct Destroy {
    void operator()(zsync_handover* skeleton) const { zsync_handover__destroy(skeleton); }
    void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};

std::unexpected<Fault> cannot(const std::string& ifname, int error) {
    const bool no_right = error == EPERM || error == EACCES;
    return fail(
        Error(no_right ? PacketError::not_permitted : PacketError::program_refused, error),
        std::format(
            "cannot attach what marks packets that {} receives and takes its connections: {}",
            ifname,
            os_error(error).message()
        )
    );
}

/// The first Linux whose tun driver keeps what XDP programs write before a packet.
constexpr std::pair tun_keeps_metadata{6, 15};

std::pair<int, int> kernel_version() {
    utsname names{};
    std::pair<int, int> version{0, 0};
    if (uname(&names) != 0 ||
        std::sscanf(names.release, "%d.%d", &version.first, &version.second) != 2) {
        return {0, 0};
    }
    return version;
}

Result<zsync_handover_secret> new_secret() {
    zsync_handover_secret secret{};
    while (secret.token == 0) {
        if (::getrandom(&secret, sizeof secret, 0) != sizeof secret) {
            return fail(os_error(errno));
        }
    }
    return secret;
}

} // namespace

bool hands_over(const RuleSet& rules) {
    return std::ranges::any_of(rules.rules, [](const Rule& rule) {
        return rule.actions.mark.has_value() || rule.actions.challenge;
    });
}

Outcome<void> check_handover(std::uint32_t ifindex, const std::string& ifname, bool driver) {
    if (!driver || ZTRY(interface_facts(ifindex)).kind != "tun" ||
        kernel_version() >= tun_keeps_metadata) {
        return {};
    }
    return fail(
        PacketError::mode_unavailable,
        std::format(
            "rules mark or challenge, but before Linux {}.{} the driver of {}, tun, keeps nothing "
            "for that with a packet in native mode: attach {} in generic mode",
            tun_keeps_metadata.first,
            tun_keeps_metadata.second,
            ifname,
            ifname
        )
    );
}

Outcome<Handover>
attach_handover(std::uint32_t ifindex, const std::string& ifname, const Handover& before) {
    libbpf_set_print(nullptr);
    zsync_handover_secret secret{};
    if (const auto kept = before ? read_secret(before) : fail(os_error(ENOENT))) {
        secret = *kept;
    } else if (const auto made = new_secret()) {
        secret = *made;
    } else {
        return fail(made.error(), "no random numbers for a secret");
    }
    const std::unique_ptr<zsync_handover, Destroy> skeleton(zsync_handover__open());
    if (!skeleton) {
        return cannot(ifname, errno);
    }
    std::memcpy(&skeleton->rodata_secret->secret, &secret, sizeof secret);
    if (const int error = zsync_handover__load(skeleton.get()); error != 0) {
        return cannot(ifname, -error);
    }
    LIBBPF_OPTS(bpf_tcx_opts, first, .flags = BPF_F_BEFORE);
    const std::unique_ptr<bpf_link, Destroy> link(bpf_program__attach_tcx(
        skeleton->progs.zsync_handover_in, static_cast<int>(ifindex), &first
    ));
    if (!link) {
        return cannot(ifname, errno);
    }
    Handover handover{
        .link = Fd(dup(bpf_link__fd(link.get()))),
        .secret = Fd(dup(bpf_map__fd(skeleton->maps.rodata_secret))),
    };
    if (!handover.link || !handover.secret) {
        return cannot(ifname, errno);
    }
    return handover;
}

Result<zsync_handover_secret> read_secret(const Handover& handover) {
    const std::uint32_t key = 0;
    zsync_handover_secret secret{};
    bpf_map_info info{};
    std::uint32_t bytes = sizeof info;
    if (bpf_map_get_info_by_fd(handover.secret.get(), &info, &bytes) != 0) {
        return fail(os_error(errno));
    }
    // Another build's may be another size.
    if (info.value_size != sizeof secret) {
        return fail(os_error(EINVAL));
    }
    if (bpf_map_lookup_elem(handover.secret.get(), &key, &secret) != 0) {
        return fail(os_error(errno));
    }
    return secret;
}

} // namespace zsync::packet
