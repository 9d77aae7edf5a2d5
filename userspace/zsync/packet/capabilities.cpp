#include <zsync/packet/capabilities.hpp>

#include <linux/capability.h>
#include <linux/magic.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <format>
#include <fstream>
#include <optional>
#include <unistd.h>

namespace zsync::packet {
namespace {

bool has_capability(unsigned capability) {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
    if (::syscall(SYS_capget, &header, data.data()) != 0) {
        return false;
    }
    return (data[capability / 32].effective >> (capability % 32) & 1U) != 0;
}

Capability program_loading() {
    std::string missing;
    for (const auto& [capability, name] :
         {std::pair{CAP_BPF, "CAP_BPF"}, std::pair{CAP_NET_ADMIN, "CAP_NET_ADMIN"}}) {
        if (!has_capability(capability)) {
            missing += missing.empty() ? "" : " and ";
            missing += name;
        }
    }
    return {
        .name = "packet.xdp",
        .available = missing.empty(),
        .detail =
            missing.empty() ? "filters on network interfaces" : "zsyncd runs without " + missing,
    };
}

Capability pinning(std::string_view bpf_dir) {
    namespace fs = std::filesystem;
    std::error_code error;
    fs::path existing(bpf_dir);
    while (!fs::exists(existing, error) && existing.has_relative_path()) {
        existing = existing.parent_path();
    }
    struct statfs info{};
    const bool is_bpffs = ::statfs(existing.c_str(), &info) == 0 && info.f_type == BPF_FS_MAGIC;
    return {
        .name = "packet.pins",
        .available = is_bpffs,
        .detail = is_bpffs
                      ? "filters outlive the daemon"
                      : std::format(
                            "{} is not on a BPF file system: mount -t bpf bpf /sys/fs/bpf", bpf_dir
                        ),
    };
}

/// The setting shows in the host's first network namespace only, hence nothing elsewhere.
std::optional<Capability> just_in_time_compiler() {
    std::ifstream file("/proc/sys/net/core/bpf_jit_enable");
    int enabled = 0;
    if (!(file >> enabled)) {
        return std::nullopt;
    }
    const bool on = enabled != 0;
    return Capability{
        .name = "packet.jit",
        .available = on,
        .detail =
            on ? "filters run as machine code"
               : "the kernel interprets filters, which is slow: sysctl net.core.bpf_jit_enable=1",
    };
}

} // namespace

std::vector<Capability> probe_capabilities(std::string_view bpf_dir) {
    std::vector<Capability> capabilities{program_loading(), pinning(bpf_dir)};
    if (auto jit = just_in_time_compiler()) {
        capabilities.push_back(*std::move(jit));
    }
    return capabilities;
}

} // namespace zsync::packet
