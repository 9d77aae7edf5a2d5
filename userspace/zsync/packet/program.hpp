// Loading the XDP program with one generation's tables.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>
#include <zsync/packet/attach_point.hpp>
#include <zsync/packet/engine.hpp>
#include <zsync/packet/flow_maps.hpp>
#include <zsync/packet/handover.hpp>
#include <zsync/packet/limit_table.hpp>

#include <cstdint>

namespace zsync::packet {

struct LoadedProgram {
    Fd fd;
    std::uint32_t id = 0;
    bool has_samples = false;  ///< whether it uses `SharedMaps::samples`
    bool has_sockets = false;  ///< whether it uses `SharedMaps::sockets`
    bool has_limits = false;   ///< whether it uses `SharedMaps::limits`
    bool has_shape = false;    ///< whether it uses `SharedMaps::shape`
    bool has_flows = false;    ///< whether it uses `SharedMaps::flows`
    bool has_handover = false; ///< whether it needs `SharedMaps::handover`
};

/// The maps that programs of successive generations share. An action's maps are there while some
/// rule has the action.
struct SharedMaps {
    Fd counters;
    Fd stats;
    Fd samples;        ///< the ring of `sample`
    Fd sockets;        ///< AF_XDP sockets by queue, while what passes goes to them
    LimitMaps limits;  ///< of `limit`
    Fd shape;          ///< clocks of classes
    FlowMaps flows;    ///< while flows are counted
    Handover handover; ///< of `mark` and `challenge`, of what an interface receives
};

/// New maps of the current layout, all zero.
Outcome<SharedMaps> create_shared_maps();

/// Loads the hook's program over `tables`, counting into `maps`, to which the maps of actions are
/// added that it needs and that are not there. Attaches nothing. Fails with
/// `PacketError::not_permitted` without CAP_BPF and CAP_NET_ADMIN, and with
/// `PacketError::program_refused` and the end of the verifier's log when the kernel refuses it.
Outcome<LoadedProgram>
load_program(const Tables& tables, SharedMaps& maps, HookKind hook = HookKind::xdp);

/// Names the build of the hook's program that this library carries.
std::uint64_t program_code_hash(HookKind hook = HookKind::xdp);

/// The id of the program behind `fd`.
Result<std::uint32_t> program_id(const Fd& fd);

} // namespace zsync::packet
