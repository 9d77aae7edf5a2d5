#include <zsync/packet/error.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/program.hpp>
#include <zsync/packet/shape_table.hpp>
#include <zsync/packet/xsk/limits.hpp>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <zsync_cgroup.skel.h>
#include <zsync_tcx.skel.h>
#include <zsync_xdp.skel.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <format>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace zsync::packet {
namespace {

/// Lines of the verifier's log that a refusal carries.
constexpr std::size_t log_tail_lines = 12;

struct CloseObject {
    void operator()(bpf_object* object) const { bpf_object__close(object); }
};
using Object = std::unique_ptr<bpf_object, CloseObject>;

/// The last lines of a verifier log.
std::string log_tail(std::string_view log) {
    while (log.ends_with('\n')) {
        log.remove_suffix(1);
    }
    std::size_t start = log.size();
    for (std::size_t line = 0; line < log_tail_lines && start > 0; ++line) {
        const std::size_t newline = log.rfind('\n', start - 1);
        if (newline == std::string_view::npos) {
            return std::string(log);
        }
        start = newline;
    }
    return std::string(log.substr(std::min(start + 1, log.size())));
}

/// Makes `values` what the section's map holds from the start.
template <class T> bool fill(const Object& object, const char* section, std::span<const T> values) {
    bpf_map* map = bpf_object__find_map_by_name(object.get(), section);
    if (map == nullptr ||
        bpf_map__set_value_size(map, static_cast<std::uint32_t>(values.size_bytes())) < 0) {
        return false;
    }
    std::size_t bytes = 0;
    void* memory = bpf_map__initial_value(map, &bytes);
    if (memory == nullptr || bytes < values.size_bytes()) {
        return false;
    }
    std::memcpy(memory, values.data(), values.size_bytes());
    return true;
}

bool share(const Object& object, const char* name, const Fd& fd) {
    bpf_map* map = bpf_object__find_map_by_name(object.get(), name);
    return map != nullptr && bpf_map__reuse_fd(map, fd.get()) == 0;
}

/// No map is made of this one, which the verifier allows where no code is left that uses it.
bool leave_out(const Object& object, const char* name) {
    bpf_map* map = bpf_object__find_map_by_name(object.get(), name);
    return map != nullptr && bpf_map__set_autocreate(map, false) == 0;
}

/// Makes room for the classes of names, if the program has names and the rules ask for some.
bool size_names(const Object& object, const Tables& tables) {
    bpf_map* map = bpf_object__find_map_by_name(object.get(), "names");
    if (map == nullptr) {
        return tables.names.empty();
    }
    return tables.names.empty()
               ? bpf_map__set_autocreate(map, false) == 0
               : bpf_map__set_max_entries(map, static_cast<std::uint32_t>(tables.names.size())) ==
                     0;
}

bool fill_names(const Object& object, const Tables& tables) {
    return std::ranges::all_of(tables.names, [&](const NameClass& name) {
        const int map = bpf_object__find_map_fd_by_name(object.get(), "names");
        return bpf_map_update_elem(map, &name.key, &name.class_id, BPF_ANY) == 0;
    });
}

/// Makes room for the devices that rules redirect to, if any does.
bool size_targets(const Object& object, const Tables& tables) {
    bpf_map* map = bpf_object__find_map_by_name(object.get(), "targets");
    if (map == nullptr) {
        return tables.targets.empty();
    }
    return tables.targets.empty()
               ? bpf_map__set_autocreate(map, false) == 0
               : bpf_map__set_max_entries(map, static_cast<std::uint32_t>(tables.targets.size())) ==
                     0;
}

bool fill_targets(const Object& object, const Tables& tables) {
    for (std::uint32_t i = 0; i < tables.targets.size(); ++i) {
        const int map = bpf_object__find_map_fd_by_name(object.get(), "targets");
        if (bpf_map_update_elem(map, &i, &tables.targets[i], BPF_ANY) != 0) {
            return false;
        }
    }
    return true;
}

bool only_program(const Object& object, const char* name) {
    bool found = false;
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object.get()) {
        const bool wanted = std::string_view(bpf_program__name(program)) == name;
        bpf_program__set_autoload(program, wanted);
        found |= wanted;
    }
    return found;
}

/// The object file of a hook's program, and the program's name in it.
struct Code {
    std::span<const std::uint8_t> elf;
    const char* program;
};

Code code_of(HookKind hook) {
    const auto of = [](const void* (*elf)(std::size_t*), const char* program) {
        std::size_t bytes = 0;
        const void* data = elf(&bytes);
        return Code{.elf = {static_cast<const std::uint8_t*>(data), bytes}, .program = program};
    };
    switch (hook) {
    case HookKind::xdp:
        return of(&zsync_xdp__elf_bytes, "zsync_xdp");
    case HookKind::tcx_out:
        return of(&zsync_tcx__elf_bytes, "zsync_tcx");
    case HookKind::cgroup_in:
        return of(&zsync_cgroup__elf_bytes, "zsync_cgroup_in");
    case HookKind::cgroup_out:
        return of(&zsync_cgroup__elf_bytes, "zsync_cgroup_out");
    }
    std::unreachable();
}

std::unexpected<Fault> refused(int error, std::string_view log) {
    if (error == EPERM || error == EACCES) {
        const std::string tail = log_tail(log);
        if (tail.empty()) {
            return fail(
                Error(PacketError::not_permitted, error),
                "loading a BPF program needs CAP_BPF and CAP_NET_ADMIN (or root): " +
                    os_error(error).message()
            );
        }
    }
    return fail(
        Error(PacketError::program_refused, error),
        std::format(
            "the kernel refused the filter program ({}); its verifier said:\n{}",
            os_error(error).message(),
            log_tail(log)
        )
    );
}

std::unexpected<Fault> map_fault() {
    const int error = errno;
    if (error == EPERM) {
        return refused(error, {});
    }
    return fail(
        os_error(error), std::format("cannot make a BPF map: {}", os_error(error).message())
    );
}

Outcome<Fd> create_sample_ring() {
    Fd ring(bpf_map_create(
        BPF_MAP_TYPE_RINGBUF, "zsync_samples", 0, 0, limits::sample_ring_bytes, nullptr
    ));
    if (!ring) {
        return map_fault();
    }
    return ring;
}

Outcome<Fd> create_socket_map() {
    Fd map(bpf_map_create(
        BPF_MAP_TYPE_XSKMAP,
        "zsync_sockets",
        sizeof(std::uint32_t),
        sizeof(std::uint32_t),
        xsk::limits::queues_max,
        nullptr
    ));
    if (!map) {
        return map_fault();
    }
    return map;
}

/// Only the XDP program hands packets to sockets.
bool share_sockets(const Object& object, const SharedMaps& maps, HookKind hook, bool has_sockets) {
    if (hook != HookKind::xdp) {
        return true;
    }
    return has_sockets ? share(object, "sockets", maps.sockets) : leave_out(object, "sockets");
}

/// Only what an interface sends is shaped.
bool share_shape(
    const Object& object, const Tables& tables, const SharedMaps& maps, HookKind hook
) {
    if (hook != HookKind::tcx_out) {
        return true;
    }
    return fill(object, ".rodata.classes", std::span(tables.classes)) &&
           (tables.config.shapes != 0 ? share(object, "shape_clocks", maps.shape)
                                      : leave_out(object, "shape_clocks"));
}

/// Only the XDP program counts flows; what the device sends is counted by another one.
bool share_flows(const Object& object, const FlowMaps& flows, HookKind hook, bool has_flows) {
    if (hook != HookKind::xdp) {
        return true;
    }
    if (!has_flows) {
        return leave_out(object, "flow_lines") && leave_out(object, "flow_records") &&
               leave_out(object, "flow_stats") && leave_out(object, "flow_fragments");
    }
    const auto seed = read_flow_seed(flows);
    return seed && fill(object, ".rodata.flow_seed", std::span(&*seed, 1)) &&
           share(object, "flow_lines", flows.lines) &&
           share(object, "flow_records", flows.records) &&
           share(object, "flow_stats", flows.stats) &&
           share(object, "flow_fragments", flows.fragments);
}

} // namespace

Outcome<SharedMaps> create_shared_maps() {
    SharedMaps maps;
    maps.counters = Fd(bpf_map_create(
        BPF_MAP_TYPE_PERCPU_ARRAY,
        "zsync_counters",
        sizeof(std::uint32_t),
        sizeof(zsync_rule_counter),
        limits::counter_slots,
        nullptr
    ));
    if (!maps.counters) {
        return map_fault();
    }
    maps.stats = Fd(bpf_map_create(
        BPF_MAP_TYPE_PERCPU_ARRAY,
        "zsync_stats",
        sizeof(std::uint32_t),
        sizeof(zsync_stats),
        1,
        nullptr
    ));
    if (!maps.stats) {
        return map_fault();
    }
    return maps;
}

Outcome<LoadedProgram> load_program(const Tables& tables, SharedMaps& maps, HookKind hook) {
    // Failures are told through the return value, with the log; libbpf would print them too.
    libbpf_set_print(nullptr);
    const auto log = std::make_unique<char[]>(limits::verifier_log_bytes_max);
    LIBBPF_OPTS(
        bpf_object_open_opts,
        options,
        .kernel_log_buf = log.get(),
        .kernel_log_size = limits::verifier_log_bytes_max
    );
    const bool has_samples = (tables.config.actions >> ZSYNC_SAMPLE & 1) != 0;
    if (has_samples && !maps.samples) {
        maps.samples = ZTRY(create_sample_ring());
    }
    const bool has_sockets = hook == HookKind::xdp && tables.config.to_sockets != 0;
    if (has_sockets && !maps.sockets) {
        maps.sockets = ZTRY(create_socket_map());
    }
    const bool has_flows = hook == HookKind::xdp && tables.config.flow_lines != 0;
    const bool has_limits = (tables.config.actions >> ZSYNC_LIMIT & 1) != 0;
    std::vector<zsync_limit> limits_of_seed = tables.limits;
    if (has_limits) {
        if (!maps.limits) {
            maps.limits = ZTRY(create_limit_maps());
        }
        const std::uint64_t seed = ZTRY(limit_seed(maps.limits));
        for (zsync_limit& limit : limits_of_seed) {
            limit.start = zsync_limit_mix(seed, limit.start);
        }
    }
    const bool has_shape = hook == HookKind::tcx_out && tables.config.shapes != 0;
    if (has_shape && !maps.shape) {
        maps.shape = ZTRY(create_shape_clocks());
    }
    const auto use = [&](const Object& object, bool used, const char* name, const Fd& map) {
        return used ? share(object, name, map) : leave_out(object, name);
    };
    const Code code = code_of(hook);
    const Object object(bpf_object__open_mem(code.elf.data(), code.elf.size(), &options));
    if (!object || !fill(object, ".rodata.config", std::span(&tables.config, 1)) ||
        !fill(object, ".rodata.cells", std::span(tables.cells)) ||
        !fill(object, ".rodata.buckets", std::span(tables.buckets)) ||
        !fill(object, ".rodata.bitmaps", std::span(tables.bitmaps)) ||
        !fill(object, ".rodata.limits", std::span(std::as_const(limits_of_seed))) ||
        !share(object, "counters", maps.counters) || !share(object, "stats", maps.stats) ||
        !use(object, has_samples, "samples", maps.samples) ||
        !use(object, has_limits, "limit_lines", maps.limits.lines) ||
        !use(object, has_limits, "limit_keys", maps.limits.keys) ||
        !share_sockets(object, maps, hook, has_sockets) ||
        !share_shape(object, tables, maps, hook) ||
        !share_flows(object, maps.flows, hook, has_flows) || !size_names(object, tables) ||
        !size_targets(object, tables) || !only_program(object, code.program)) {
        return map_fault();
    }
    if (const int error = bpf_object__load(object.get()); error < 0) {
        return refused(-error, log.get());
    }
    LoadedProgram program;
    program.has_samples = has_samples;
    program.has_sockets = has_sockets;
    program.has_limits = has_limits;
    program.has_shape = has_shape;
    program.has_flows = has_flows;
    program.has_handover =
        hook == HookKind::xdp &&
        (tables.config.actions & (1U << ZSYNC_MARK | 1U << ZSYNC_CHALLENGE)) != 0;
    const bpf_program* loaded = bpf_object__find_program_by_name(object.get(), code.program);
    program.fd = Fd(dup(bpf_program__fd(loaded)));
    if (!program.fd || !fill_names(object, tables) || !fill_targets(object, tables)) {
        return map_fault();
    }
    program.id = ZTRY(program_id(program.fd));
    return program;
}

std::uint64_t program_code_hash(HookKind hook) {
    std::uint64_t hash = 0xcbf29ce484222325U; // FNV-1a
    for (const std::uint8_t byte : code_of(hook).elf) {
        hash = (hash ^ byte) * 0x100000001b3U;
    }
    return hash;
}

Result<std::uint32_t> program_id(const Fd& fd) {
    bpf_prog_info info{};
    std::uint32_t bytes = sizeof(info);
    if (bpf_prog_get_info_by_fd(fd.get(), &info, &bytes) < 0) {
        return fail(os_error(errno));
    }
    return info.id;
}

} // namespace zsync::packet
