#include <zsync/packet/error.hpp>
#include <zsync/packet/pinned_generation.hpp>

#include <cerrno>
#include <format>
#include <string_view>
#include <utility>

namespace zsync::packet {
namespace {

using Used = bool LoadedProgram::*;
constexpr Used always = nullptr;

/// Calls `visit(name, map, used)` for each map that programs share; `used` tells of a program
/// whether it is among its own.
template <class Maps, class Visit> Outcome<void> for_each_map(Maps& maps, Visit visit) {
    ZTRY(visit("counters", maps.counters, always));
    ZTRY(visit("stats", maps.stats, always));
    ZTRY(visit("samples", maps.samples, &LoadedProgram::has_samples));
    ZTRY(visit("sockets", maps.sockets, &LoadedProgram::has_sockets));
    ZTRY(visit("shape", maps.shape, &LoadedProgram::has_shape));
    ZTRY(visit("limit_lines", maps.limits.lines, &LoadedProgram::has_limits));
    ZTRY(visit("limit_keys", maps.limits.keys, &LoadedProgram::has_limits));
    ZTRY(visit("flow_lines", maps.flows.lines, &LoadedProgram::has_flows));
    ZTRY(visit("flow_records", maps.flows.records, &LoadedProgram::has_flows));
    ZTRY(visit("flow_stats", maps.flows.stats, &LoadedProgram::has_flows));
    ZTRY(visit("flow_fragments", maps.flows.fragments, &LoadedProgram::has_flows));
    ZTRY(visit("flow_link", maps.flows.out, &LoadedProgram::has_flows));
    ZTRY(visit("handover_secret", maps.handover.secret, &LoadedProgram::has_handover));
    return visit("handover_link", maps.handover.link, &LoadedProgram::has_handover);
}

/// Empty when it is not pinned. What cannot be opened for another reason is there all the same: who
/// went on without it would give up what it has counted.
Outcome<Fd> open_if_pinned(const Pins& pins, std::uint32_t program_id, std::string_view name) {
    auto fd = pins.open(program_id, name);
    if (fd) {
        return *std::move(fd);
    }
    if (fd.error().os_error() == ENOENT) {
        return Fd();
    }
    return fail(
        fd.error(),
        std::format(
            "{} of the live generation in {}: {}", name, pins.directory(), fd.error().message()
        )
    );
}

Outcome<Fd> open_needed(const Pins& pins, std::uint32_t program_id, std::string_view name) {
    Fd fd = ZTRY(open_if_pinned(pins, program_id, name));
    if (!fd) {
        return fail(
            PacketError::damaged_pins,
            std::format(
                "{} of the live generation in {}: {}",
                name,
                pins.directory(),
                os_error(ENOENT).message()
            )
        );
    }
    return fd;
}

} // namespace

Outcome<void>
pin_generation(const Pins& pins, const LoadedProgram& program, const SharedMaps& maps) {
    ZTRY(pins.create_generation(program.id));
    ZTRY(pins.pin(program.id, "program", program.fd));
    return for_each_map(maps, [&](std::string_view name, const Fd& map, Used used) {
        return used == always || program.*used ? pins.pin(program.id, name, map) : Outcome<void>();
    });
}

Outcome<PinnedGeneration> open_generation(const Pins& pins, std::uint32_t program_id) {
    PinnedGeneration found;
    found.program = ZTRY(open_needed(pins, program_id, "program"));
    ZTRY(for_each_map(found.maps, [&](std::string_view name, Fd& map, Used used) -> Outcome<void> {
        map = ZTRY((used == always ? open_needed : open_if_pinned)(pins, program_id, name));
        return {};
    }));
    found.meta = ZTRY(read_meta_map(ZTRY(open_needed(pins, program_id, "meta"))));
    if (ZTRY(packet::program_id(found.program)) != program_id ||
        found.meta.program_id != program_id) {
        return fail(
            PacketError::damaged_pins,
            std::format("the generations in {} do not fit the link", pins.directory())
        );
    }
    return found;
}

} // namespace zsync::packet
