// One generation of a filter in the bpffs: its program and its maps, each under a name of its own.
#pragma once

#include <zsync/core/error.hpp>
#include <zsync/packet/meta.hpp>
#include <zsync/packet/pins.hpp>
#include <zsync/packet/program.hpp>

#include <cstdint>

namespace zsync::packet {

/// What the next daemon finds of a filter that this one leaves attached.
struct PinnedGeneration {
    Fd program;
    SharedMaps maps; ///< empty where the program has none
    Meta meta;
};

/// Pins the program and those of the maps that it uses, in a folder of the program's id. What was
/// pinned stays when it fails: `Pins::remove_generations_but` clears it.
Outcome<void>
pin_generation(const Pins& pins, const LoadedProgram& program, const SharedMaps& maps);

/// Opens what `pin_generation` has left. `damaged_pins` where something that every program has is
/// missing, or belongs to another program.
Outcome<PinnedGeneration> open_generation(const Pins& pins, std::uint32_t program_id);

} // namespace zsync::packet
