// How many processors there are for this process.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace zsync {

/// Processors that this process may use, at least 1: those of its affinity (sched_getaffinity(2)),
/// and no more than the time that its cgroup and all above it give it (`cpu.max` of version 2,
/// rounded up).
[[nodiscard]] std::uint32_t usable_processors();

/// What `cpu.max` of a cgroup and of all above it give, in processors rounded up; `UINT32_MAX`
/// where none of them has a limit. `root` is where the hierarchy is mounted, `cgroup` a path in it
/// as /proc/PID/cgroup has it.
[[nodiscard]] std::uint32_t
processors_by_quota(const std::filesystem::path& root, std::string_view cgroup);

} // namespace zsync
