// Loading the XDP program with one generation's tables.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>
#include <zsync/packet/engine.hpp>

#include <cstdint>

namespace zsync::packet {

struct LoadedProgram {
    Fd fd;
    std::uint32_t id = 0;
};

/// The maps that programs of successive generations share.
struct SharedMaps {
    Fd counters;
    Fd stats;
};

/// New maps of the current layout, all zero.
Outcome<SharedMaps> create_shared_maps();

/// Loads the program over `tables`, counting into `maps`. Attaches nothing. Fails with
/// `PacketError::not_permitted` without CAP_BPF and CAP_NET_ADMIN, and with
/// `PacketError::program_refused` and the end of the verifier's log when the kernel refuses it.
Outcome<LoadedProgram> load_program(const Tables& tables, const SharedMaps& maps);

/// Names the build of the program that this library carries.
std::uint64_t program_code_hash();

/// The id of the program behind `fd`.
Result<std::uint32_t> program_id(const Fd& fd);

} // namespace zsync::packet
