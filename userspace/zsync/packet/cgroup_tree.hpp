// Cgroups of the unified hierarchy (cgroup2), as far as a packet filter cares.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace zsync::packet {

struct Cgroup {
    Fd directory;
    std::uint64_t id = 0; ///< what BPF programs call it: its directory's inode
};

/// Opens the cgroup whose path `/proc/PID/cgroup` shows as `path`, below wherever cgroup2 is
/// mounted
/// (/proc/self/mountinfo). `PacketError::no_such_cgroup`, or the system's error.
Outcome<Cgroup> find_cgroup(std::string_view path);

/// The path of the cgroup with that id, as `find_cgroup` takes it; nothing when there is none.
std::optional<std::string> cgroup_path(std::uint64_t id);

} // namespace zsync::packet
