#include <zsync/packet/attach_point.hpp>
#include <zsync/packet/cgroup_tree.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/link_header.hpp>

#include <bpf/bpf.h>
#include <linux/if_link.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <format>
#include <span>

namespace zsync::packet {
namespace {

constexpr std::size_t tcx_programs_max = 64; // BPF_MPROG_MAX of the kernel

/// "id 17 (its_name)", the name only for those who may ask for it.
std::string program_words(std::uint32_t id) {
    const Fd program(bpf_prog_get_fd_by_id(id));
    bpf_prog_info info{};
    std::uint32_t bytes = sizeof(info);
    if (!program || bpf_prog_get_info_by_fd(program.get(), &info, &bytes) < 0) {
        return std::format("id {}", id);
    }
    return std::format("id {} ({})", id, info.name);
}

Outcome<void> check_attachable(const InterfaceFacts& facts) {
    if (link_header(facts.link_type) == LinkHeader::unknown) {
        return fail(
            PacketError::mode_unavailable,
            std::format(
                "{} is of link type {}, whose packets are not read, so rules would never match",
                facts.name,
                facts.link_type
            )
        );
    }
    if (facts.master_kind == "bond" || facts.master_kind == "team") {
        const auto master = interface_facts(facts.master_ifindex);
        return fail(
            PacketError::interface_enslaved,
            std::format(
                "{} is a port of the {} {}, which owns its packet path; attach to that instead",
                facts.name,
                facts.master_kind,
                master ? master->name : std::format("number {}", facts.master_ifindex)
            )
        );
    }
    if (facts.xdp_mode != XdpMode::none) {
        return fail(
            PacketError::foreign_program,
            std::format(
                "{} already carries an XDP program that is not zsync's, {}; remove that first "
                "(zsync "
                "never replaces it)",
                facts.name,
                program_words(facts.xdp_program_id)
            )
        );
    }
    return {};
}

Fault link_fault(int error, const InterfaceFacts& facts, AttachMode mode) {
    switch (error) {
    case EPERM:
    case EACCES:
        return {
            Error(PacketError::not_permitted, error),
            "attaching an XDP program needs CAP_BPF and CAP_NET_ADMIN (or root)"
        };
    case EBUSY:
    case EEXIST:
        return {
            Error(PacketError::foreign_program, error),
            std::format("{} already carries another XDP program", facts.name)
        };
    case ENODEV:
        return {
            Error(PacketError::no_such_interface, error),
            std::format("interface {} went away", facts.name)
        };
    default:
        return {
            Error(PacketError::mode_unavailable, error),
            std::format(
                "{} (driver kind '{}', MTU {}) cannot take an XDP program in {} mode: {}",
                facts.name,
                facts.kind.empty() ? "hardware" : facts.kind,
                facts.mtu,
                mode == AttachMode::native ? "native" : "generic",
                os_error(error).message()
            )
        };
    }
}

Outcome<AttachedLink> attach_xdp(const FoundPoint& found, const Fd& program, AttachMode mode) {
    AttachedLink attached;
    const auto create = [&](std::uint32_t flags) {
        LIBBPF_OPTS(bpf_link_create_opts, options, .flags = flags);
        attached.link = Fd(
            bpf_link_create(program.get(), static_cast<int>(found.facts.ifindex), BPF_XDP, &options)
        );
        return attached.link ? 0 : errno;
    };
    int error = 0;
    if (mode != AttachMode::generic) {
        error = create(XDP_FLAGS_DRV_MODE);
        attached.mode = XdpMode::native;
    }
    // What a driver cannot do, the stack can; who may not do the one may not do the other.
    const bool driver_cannot =
        error != EPERM && error != EBUSY && error != EEXIST && error != ENODEV;
    if (mode == AttachMode::generic ||
        (mode == AttachMode::automatic && error != 0 && driver_cannot)) {
        mode = AttachMode::generic;
        error = create(XDP_FLAGS_SKB_MODE);
        attached.mode = XdpMode::generic;
    }
    if (error != 0) {
        return std::unexpected(link_fault(
            error,
            found.facts,
            mode == AttachMode::generic ? AttachMode::generic : AttachMode::native
        ));
    }
    return attached;
}

std::unexpected<Fault> cannot_attach(const std::string& where, int error) {
    if (error == EPERM || error == EACCES) {
        return fail(
            Error(PacketError::not_permitted, error),
            std::format("attaching to {} needs CAP_BPF and CAP_NET_ADMIN (or root)", where)
        );
    }
    return fail(
        os_error(error), std::format("cannot attach to {}: {}", where, os_error(error).message())
    );
}

Outcome<AttachedLink> attach_tcx(const FoundPoint& found, const Fd& program) {
    // Before whatever is attached: what the filter drops is seen by nothing behind it.
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = BPF_F_BEFORE);
    AttachedLink attached;
    attached.link = Fd(bpf_link_create(
        program.get(), static_cast<int>(found.facts.ifindex), BPF_TCX_EGRESS, &options
    ));
    if (!attached.link) {
        return cannot_attach("what " + found.point.ifname + " sends", errno);
    }
    return attached;
}

Outcome<AttachedLink> attach_cgroup(const FoundPoint& found, const Fd& program) {
    const bool out = found.point.kind == HookKind::cgroup_out;
    AttachedLink attached;
    attached.link = Fd(bpf_link_create(
        program.get(),
        found.cgroup.get(),
        out ? BPF_CGROUP_INET_EGRESS : BPF_CGROUP_INET_INGRESS,
        nullptr
    ));
    if (!attached.link) {
        return cannot_attach("the cgroup " + found.point.cgroup, errno);
    }
    return attached;
}

/// Whether a program of TCX is among those that see what a device sends.
Outcome<bool> sends_by(const InterfaceFacts& facts, std::uint32_t program_id) {
    std::array<std::uint32_t, tcx_programs_max> ids{};
    LIBBPF_OPTS(bpf_prog_query_opts, query, .prog_ids = ids.data());
    query.count = ids.size();
    const int error = bpf_prog_query_opts(static_cast<int>(facts.ifindex), BPF_TCX_EGRESS, &query);
    if (error != 0) {
        return fail(
            os_error(-error),
            std::format(
                "cannot ask what {} sends through: {}", facts.name, os_error(-error).message()
            )
        );
    }
    return std::ranges::contains(std::span(ids).first(query.count), program_id);
}

} // namespace

bool FoundPoint::starts_at_network() const {
    return is_of_cgroup(point.kind) || link_header(facts.link_type) != LinkHeader::ethernet;
}

Outcome<FoundPoint> find_point(const AttachPoint& point) {
    FoundPoint found{.point = point, .facts = {}, .cgroup = {}};
    if (is_of_cgroup(point.kind)) {
        found.cgroup = ZTRY(find_cgroup(point.cgroup)).directory;
        return found;
    }
    found.facts = ZTRY(interface_facts(point.ifname));
    if (point.kind == HookKind::xdp) {
        ZTRY(check_attachable(found.facts));
    }
    return found;
}

Outcome<AttachedLink> attach_link(const FoundPoint& found, const Fd& program, AttachMode mode) {
    switch (found.point.kind) {
    case HookKind::xdp:
        return attach_xdp(found, program, mode);
    case HookKind::tcx_out:
        return attach_tcx(found, program);
    case HookKind::cgroup_in:
    case HookKind::cgroup_out:
        return attach_cgroup(found, program);
    }
    std::unreachable();
}

Result<std::optional<LinkFacts>> link_facts(const Fd& link, HookKind kind) {
    bpf_link_info info{};
    std::uint32_t bytes = sizeof(info);
    if (bpf_link_get_info_by_fd(link.get(), &info, &bytes) < 0) {
        return fail(os_error(errno));
    }
    LinkFacts facts{.program_id = info.prog_id};
    if (kind == HookKind::xdp && info.type == BPF_LINK_TYPE_XDP) {
        facts.ifindex = info.xdp.ifindex;
        return facts;
    }
    if (kind == HookKind::tcx_out && info.type == BPF_LINK_TYPE_TCX) {
        facts.ifindex = info.tcx.ifindex;
        return facts;
    }
    if (is_of_cgroup(kind) && info.type == BPF_LINK_TYPE_CGROUP) {
        facts.cgroup_id = info.cgroup.cgroup_id;
        return facts;
    }
    return std::nullopt;
}

Outcome<std::optional<InterfaceFacts>> device_of(const LinkFacts& link, HookKind kind) {
    auto facts = interface_facts(link.ifindex);
    if (!facts) {
        if (facts.error().error == Error(PacketError::no_such_interface)) {
            return std::nullopt;
        }
        return std::unexpected(std::move(facts).error());
    }
    const bool is_it = kind == HookKind::xdp ? facts->xdp_program_id == link.program_id
                                             : ZTRY(sends_by(*facts, link.program_id));
    return is_it ? std::optional(*std::move(facts)) : std::nullopt;
}

} // namespace zsync::packet
