#include <zsync/core/processors.hpp>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sched.h>
#include <string>
#include <unistd.h>

namespace zsync {
namespace {

constexpr std::uint32_t unlimited = std::numeric_limits<std::uint32_t>::max();

/// "QUOTA PERIOD" in microseconds, or "max PERIOD".
std::uint32_t processors_in(std::ifstream& cpu_max) {
    std::uint64_t quota = 0;
    std::uint64_t period = 0;
    if (!(cpu_max >> quota >> period) || period == 0) {
        return unlimited;
    }
    const std::uint64_t rounded_up = quota / period + (quota % period != 0 ? 1 : 0);
    return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(rounded_up, 1, unlimited));
}

/// The process's own cgroup of version 2: the line "0::PATH".
std::optional<std::string> own_cgroup() {
    std::ifstream cgroups("/proc/self/cgroup");
    constexpr std::string_view version_2 = "0::";
    for (std::string line; std::getline(cgroups, line);) {
        if (line.starts_with(version_2)) {
            return line.substr(version_2.size());
        }
    }
    return std::nullopt;
}

} // namespace

std::uint32_t processors_by_quota(const std::filesystem::path& root, std::string_view cgroup) {
    // One outside of what a container sees of the hierarchy begins with "/..".
    std::filesystem::path at = std::filesystem::path(cgroup).lexically_normal().relative_path();
    std::uint32_t processors = unlimited;
    for (;; at = at.parent_path()) {
        std::ifstream cpu_max(root / at / "cpu.max");
        processors = std::min(processors, processors_in(cpu_max));
        if (at.empty()) {
            return processors;
        }
    }
}

std::uint32_t usable_processors() {
    cpu_set_t usable;
    const bool known = ::sched_getaffinity(::getpid(), sizeof usable, &usable) == 0;
    const auto count = static_cast<std::uint32_t>(known ? std::max(CPU_COUNT(&usable), 1) : 1);
    const std::optional<std::string> cgroup = own_cgroup();
    return cgroup ? std::min(count, processors_by_quota("/sys/fs/cgroup", *cgroup)) : count;
}

} // namespace zsync
