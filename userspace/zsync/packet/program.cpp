#include <zsync/packet/error.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/program.hpp>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <zsync_xdp.skel.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <format>
#include <memory>
#include <span>
#include <string>

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

} // namespace

Outcome<SharedMaps> create_shared_maps() {
    SharedMaps maps;
    maps.counters = Fd(bpf_map_create(
        BPF_MAP_TYPE_PERCPU_ARRAY,
        "zsync_counters",
        sizeof(std::uint32_t),
        sizeof(zsync_counter),
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

Outcome<LoadedProgram> load_program(const Tables& tables, SharedMaps& maps) {
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
    std::size_t code_bytes = 0;
    const void* code = zsync_xdp__elf_bytes(&code_bytes);
    const Object object(bpf_object__open_mem(code, code_bytes, &options));
    if (!object || !fill(object, ".rodata.config", std::span(&tables.config, 1)) ||
        !fill(object, ".rodata.cells", std::span(tables.cells)) ||
        !fill(object, ".rodata.nodes", std::span(tables.nodes)) ||
        !fill(object, ".rodata.buckets", std::span(tables.buckets)) ||
        !fill(object, ".rodata.bitmaps", std::span(tables.bitmaps)) ||
        !share(object, "counters", maps.counters) || !share(object, "stats", maps.stats) ||
        !(has_samples ? share(object, "samples", maps.samples) : leave_out(object, "samples"))) {
        return map_fault();
    }
    if (const int error = bpf_object__load(object.get()); error < 0) {
        return refused(-error, log.get());
    }
    LoadedProgram program;
    program.has_samples = has_samples;
    program.fd = Fd(dup(bpf_program__fd(bpf_object__next_program(object.get(), nullptr))));
    if (!program.fd) {
        return map_fault();
    }
    program.id = ZTRY(program_id(program.fd));
    return program;
}

std::uint64_t program_code_hash() {
    std::size_t bytes = 0;
    const auto* code = static_cast<const unsigned char*>(zsync_xdp__elf_bytes(&bytes));
    std::uint64_t hash = 0xcbf29ce484222325U; // FNV-1a
    for (std::size_t i = 0; i < bytes; ++i) {
        hash = (hash ^ code[i]) * 0x100000001b3U;
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
