#include <zsync/packet/error.hpp>
#include <zsync/packet/interface_facts.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/link_header.hpp>
#include <zsync/packet/record_ring.hpp>
#include <zsync/packet/tap.hpp>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <bpf/zsync_tap.h>
#include <zsync_tap.skel.h>

#include <cerrno>
#include <format>
#include <optional>
#include <vector>

namespace zsync::packet {
namespace {

static_assert(ZSYNC_TAP_MERGED_BYTES == limits::live_packet_bytes);
static_assert(ZSYNC_TAP_WIRE_BYTES == limits::capture_bytes);

struct CloseSkeleton {
    void operator()(zsync_tap* skeleton) const { zsync_tap__destroy(skeleton); }
};
struct CloseLink {
    void operator()(bpf_link* link) const { bpf_link__destroy(link); }
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
Outcome<analysis::LinkType> link_type_of(std::uint32_t ifindex) {
    const InterfaceFacts facts = ZTRY(interface_facts(ifindex));
    switch (link_header(facts.link_type)) {
    case LinkHeader::ethernet:
        return analysis::LinkType::ethernet;
    case LinkHeader::none:
        return analysis::LinkType::raw;
    case LinkHeader::unknown:
        break;
    }
    return fail(
        PacketError::mode_unavailable,
        std::format("{} is of link type {}, whose frames are not read", facts.name, facts.link_type)
    );
}

} // namespace

struct Tap::State {
    std::unique_ptr<zsync_tap, CloseSkeleton> skeleton;
    std::unique_ptr<bpf_link, CloseLink> link_in;
    std::unique_ptr<bpf_link, CloseLink> link_out;
    std::optional<RecordRing> ring;
    analysis::LinkType link_type = analysis::LinkType::ethernet;
};

Tap::Tap(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Tap::Tap(Tap&&) noexcept = default;
Tap& Tap::operator=(Tap&&) noexcept = default;
Tap::~Tap() = default;

Outcome<Tap>
Tap::attach(std::uint32_t ifindex, const std::string& name, const TapOptions& options) {
    auto state = std::make_unique<State>();
    state->link_type = ZTRY(link_type_of(ifindex));
    state->skeleton.reset(zsync_tap__open());
    if (!state->skeleton) {
        return cannot("open the tap for", name, errno);
    }
    zsync_tap& skeleton = *state->skeleton;
    skeleton.rodata_config->config = {
        .sample_every = options.sample_every,
        .for_capture = options.for_capture ? 1U : 0U,
        .starts_at_network = state->link_type == analysis::LinkType::raw ? 1U : 0U,
    };
    bpf_map__set_max_entries(skeleton.maps.records, limits::tap_ring_bytes);
    if (const int error = zsync_tap__load(&skeleton); error != 0) {
        return cannot("load the tap for", name, -error);
    }
    auto ring = RecordRing::open(bpf_map__fd(skeleton.maps.records));
    if (!ring) {
        return cannot("map the tap's ring for", name, ring.error().os_error());
    }
    state->ring = *std::move(ring);
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

int Tap::ready_fd() const noexcept { return state_->ring.value().ready_fd(); }

Outcome<std::size_t>
Tap::take(std::size_t packets_max, const std::function<void(const analysis::Frame&)>& visit) {
    const auto taken = state_->ring.value().take<zsync_tap_record>(
        packets_max,
        [&](const zsync_tap_record& record, std::uint64_t epoch_ns) {
            visit({
                .time_ns = record.time_ns + epoch_ns,
                .link_type = state_->link_type,
                .wire_bytes = record.wire_bytes,
                .bytes = {record.data, record.captured_bytes},
                .epoch_ns = epoch_ns,
            });
        }
    );
    if (!taken) {
        return fail(taken.error(), "cannot read the tap's ring");
    }
    return *taken;
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
