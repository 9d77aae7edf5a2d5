#include <zsync/packet/error.hpp>
#include <zsync/packet/flow_maps.hpp>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/random.h>
#include <zsync_flows.skel.h>

#include <bit>
#include <cerrno>
#include <format>
#include <memory>
#include <string_view>
#include <unistd.h>

namespace zsync::packet {
namespace {

static_assert(sizeof(zsync_flow_line) == 64 && sizeof(zsync_flow) == 128);
static_assert(sizeof(zsync_flow_seed) == 2 * sizeof(zsync_flow_line));

struct Destroy {
    void operator()(zsync_flows* skeleton) const { zsync_flows__destroy(skeleton); }
    void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};

std::unexpected<Fault> cannot(std::string_view what, const std::string& ifname, int error) {
    const bool no_right = error == EPERM || error == EACCES;
    return fail(
        Error(no_right ? PacketError::not_permitted : PacketError::program_refused, error),
        std::format("cannot {} the flows of {}: {}", what, ifname, os_error(error).message())
    );
}

Fd create_array(const char* name, std::uint32_t value_bytes, std::uint32_t count) {
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
    return Fd(bpf_map_create(
        BPF_MAP_TYPE_ARRAY, name, sizeof(std::uint32_t), value_bytes, count, &options
    ));
}

Fd duplicate(const bpf_map* map) { return Fd(dup(bpf_map__fd(map))); }

bool write_line(const Fd& lines, std::uint32_t index, const void* line) {
    return bpf_map_update_elem(lines.get(), &index, line, BPF_ANY) == 0;
}

/// The seed is in the table, so that it lives as long.
bool write_seed(const Fd& map, std::uint32_t lines, const zsync_flow_seed& seed) {
    return write_line(map, ZSYNC_FLOW_SEED_LINE(lines), seed.words) &&
           write_line(map, ZSYNC_FLOW_SEED_LINE(lines) + 1, seed.words + ZSYNC_FLOW_WORDS);
}

bool write_limits(const Fd& map, std::uint32_t lines, const analysis::FlowOptions& options) {
    zsync_flow_line shared{};
    shared.words[ZSYNC_FLOW_MAX] = options.flows_max;
    shared.words[ZSYNC_FLOW_UNANSWERED_MAX] = options.unanswered_max;
    shared.words[ZSYNC_FLOW_PER_SECOND_MAX] = options.new_per_second_max;
    return write_line(map, ZSYNC_FLOW_SHARED_LINE(lines), &shared);
}

} // namespace

std::uint32_t flow_lines_for(std::uint32_t flows_max) noexcept {
    return std::bit_ceil(flows_max) / ZSYNC_FLOWS_OF_LINE;
}

Result<std::uint32_t> flow_lines_of(const FlowMaps& maps) {
    bpf_map_info info{};
    std::uint32_t info_bytes = sizeof info;
    if (bpf_map_get_info_by_fd(maps.lines.get(), &info, &info_bytes) != 0) {
        return fail(os_error(errno));
    }
    return info.max_entries - ZSYNC_FLOW_ALL_LINES(0);
}

Outcome<FlowMaps> count_sent(
    std::uint32_t ifindex,
    const std::string& ifname,
    bool starts_at_network,
    const analysis::FlowOptions& options
) {
    libbpf_set_print(nullptr);
    FlowMaps maps;
    const std::uint32_t lines = flow_lines_for(options.flows_max);
    maps.lines =
        create_array("zsync_flow_line", sizeof(zsync_flow_line), ZSYNC_FLOW_ALL_LINES(lines));
    maps.records = create_array("zsync_flows", sizeof(zsync_flow), lines * ZSYNC_FLOW_WORDS);
    zsync_flow_seed seed{};
    if (::getrandom(seed.words, sizeof seed.words, 0) != sizeof seed.words) {
        return fail(os_error(errno), "no random numbers for the seed of flows");
    }
    if (!maps.lines || !maps.records || !write_seed(maps.lines, lines, seed) ||
        !write_limits(maps.lines, lines, options)) {
        return cannot("make the table of", ifname, errno);
    }
    const std::unique_ptr<zsync_flows, Destroy> skeleton(zsync_flows__open());
    if (!skeleton) {
        return cannot("count", ifname, errno);
    }
    skeleton->rodata_config->config.starts_at_network = starts_at_network ? 1 : 0;
    skeleton->rodata_config->config.lines = lines;
    __builtin_memcpy(
        const_cast<__u64*>(skeleton->rodata_flow_seed->flow_seed.words),
        seed.words,
        sizeof seed.words
    );
    if (bpf_map__reuse_fd(skeleton->maps.flow_lines, maps.lines.get()) != 0 ||
        bpf_map__reuse_fd(skeleton->maps.flow_records, maps.records.get()) != 0) {
        return cannot("count", ifname, errno);
    }
    if (const int error = zsync_flows__load(skeleton.get()); error != 0) {
        return cannot("count", ifname, -error);
    }
    maps.stats = duplicate(skeleton->maps.flow_stats);
    maps.fragments = duplicate(skeleton->maps.flow_fragments);
    const std::unique_ptr<bpf_link, Destroy> link(
        bpf_program__attach_tcx(skeleton->progs.zsync_flows_out, static_cast<int>(ifindex), nullptr)
    );
    if (!maps.stats || !maps.fragments || !link) {
        return cannot("count", ifname, errno);
    }
    maps.out = Fd(dup(bpf_link__fd(link.get())));
    if (!maps.out) {
        return cannot("count", ifname, errno);
    }
    return maps;
}

Result<zsync_flow_seed> read_flow_seed(const FlowMaps& maps) {
    const std::uint32_t lines = ZTRY(flow_lines_of(maps));
    zsync_flow_seed seed{};
    for (std::uint32_t i = 0; i < 2; ++i) {
        const std::uint32_t line = ZSYNC_FLOW_SEED_LINE(lines) + i;
        __u64* const words = seed.words + std::size_t{i} * ZSYNC_FLOW_WORDS;
        if (bpf_map_lookup_elem(maps.lines.get(), &line, words) != 0) {
            return fail(os_error(errno));
        }
    }
    return seed;
}

} // namespace zsync::packet
