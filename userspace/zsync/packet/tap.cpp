#include <zsync/packet/error.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/tap.hpp>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <bpf/zsync_tap.h>
#include <linux/if_arp.h>
#include <zsync_tap.skel.h>

#include <cerrno>
#include <ctime>
#include <format>
#include <fstream>
#include <vector>

namespace zsync::packet {
namespace {

struct CloseSkeleton {
    void operator()(zsync_tap* skeleton) const { zsync_tap__destroy(skeleton); }
};
struct CloseLink {
    void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};
struct FreeRing {
    void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
};

std::unexpected<Fault> cannot(std::string_view what, const std::string& name, int error) {
    const bool no_right = error == EPERM || error == EACCES;
    return fail(
        Error(no_right ? PacketError::not_permitted : PacketError::program_refused, error),
        std::format(
            "cannot {} {}: {}{}",
            what,
            name,
            os_error(error).message(),
            no_right ? " (it needs CAP_BPF and CAP_NET_ADMIN)" : ""
        )
    );
}

/// What frames of the device start with at the traffic control hooks.
Outcome<analysis::LinkType> link_type_of(const std::string& name) {
    std::ifstream file(std::format("/sys/class/net/{}/type", name));
    unsigned type = ARPHRD_ETHER;
    // A device of another namespace than that of /sys is not found there, and is a veth or the
    // like.
    if (!(file >> type) || type == ARPHRD_ETHER || type == ARPHRD_LOOPBACK) {
        return analysis::LinkType::ethernet;
    }
    if (type == ARPHRD_NONE || type == ARPHRD_TUNNEL || type == ARPHRD_PPP) {
        return analysis::LinkType::raw;
    }
    return fail(
        PacketError::mode_unavailable,
        std::format("{} is of link type {}, whose frames are not read", name, type)
    );
}

std::uint64_t clock_ns(clockid_t clock) {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
           static_cast<std::uint64_t>(now.tv_nsec);
}

} // namespace

struct Tap::State {
    std::unique_ptr<zsync_tap, CloseSkeleton> skeleton;
    std::unique_ptr<bpf_link, CloseLink> link_in;
    std::unique_ptr<bpf_link, CloseLink> link_out;
    std::unique_ptr<ring_buffer, FreeRing> ring;
    analysis::LinkType link_type = analysis::LinkType::ethernet;
    std::uint64_t realtime_offset_ns = 0; ///< of the clock that stamps records
    const std::function<void(const analysis::Frame&)>* visit = nullptr;

    static int record(void* context, void* data, std::size_t bytes) {
        const State& state = *static_cast<State*>(context);
        const auto& record = *static_cast<zsync_tap_record*>(data);
        if (bytes < sizeof record || record.captured_bytes > bytes - sizeof record) {
            return -EBADMSG;
        }
        (*state.visit)({
            .time_ns = record.time_ns + state.realtime_offset_ns,
            .link_type = state.link_type,
            .wire_bytes = record.wire_bytes,
            .bytes = {record.data, record.captured_bytes},
        });
        return 0;
    }
};

Tap::Tap(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Tap::Tap(Tap&&) noexcept = default;
Tap& Tap::operator=(Tap&&) noexcept = default;
Tap::~Tap() = default;

Outcome<Tap>
Tap::attach(std::uint32_t ifindex, const std::string& name, const TapOptions& options) {
    auto state = std::make_unique<State>();
    state->link_type = ZTRY(link_type_of(name));
    state->skeleton.reset(zsync_tap__open());
    if (!state->skeleton) {
        return cannot("open the tap for", name, errno);
    }
    zsync_tap& skeleton = *state->skeleton;
    skeleton.rodata_config->config = {
        .sample_every = options.sample_every,
        .whole_always = options.whole_packets ? 1U : 0U,
    };
    bpf_map__set_max_entries(skeleton.maps.records, limits::tap_ring_bytes);
    if (const int error = zsync_tap__load(&skeleton); error != 0) {
        return cannot("load the tap for", name, -error);
    }
    state->ring.reset(
        ring_buffer__new(bpf_map__fd(skeleton.maps.records), &State::record, state.get(), nullptr)
    );
    if (!state->ring) {
        return cannot("map the tap's ring for", name, errno);
    }
    const auto device = static_cast<int>(ifindex);
    state->link_in.reset(bpf_program__attach_tcx(skeleton.progs.tap_in, device, nullptr));
    if (!state->link_in) {
        return cannot("attach the tap to", name, errno);
    }
    state->link_out.reset(bpf_program__attach_tcx(skeleton.progs.tap_out, device, nullptr));
    if (!state->link_out) {
        return cannot("attach the tap to", name, errno);
    }
    return Tap(std::move(state));
}

int Tap::ready_fd() const noexcept { return ring_buffer__epoll_fd(state_->ring.get()); }

Outcome<std::size_t>
Tap::take(std::size_t packets_max, const std::function<void(const analysis::Frame&)>& visit) {
    // Each time anew: the clock may have been set.
    state_->realtime_offset_ns = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
    state_->visit = &visit;
    const int taken = ring_buffer__consume_n(state_->ring.get(), packets_max);
    if (taken < 0) {
        return fail(os_error(-taken), "cannot read the tap's ring");
    }
    return static_cast<std::size_t>(taken);
}

Outcome<TapCounts> Tap::counts() const {
    std::vector<zsync_tap_stats> by_cpu(static_cast<std::size_t>(libbpf_num_possible_cpus()));
    const std::uint32_t key = 0;
    if (bpf_map_lookup_elem(bpf_map__fd(state_->skeleton->maps.tap_stats), &key, by_cpu.data()) !=
        0) {
        return fail(os_error(errno), "cannot read the tap's counters");
    }
    TapCounts counts;
    for (const zsync_tap_stats& stats : by_cpu) {
        counts.packets += stats.packets;
        counts.sampled += stats.sampled;
        counts.lost += stats.lost;
    }
    return counts;
}

} // namespace zsync::packet
