#include <zsync/packet/error.hpp>
#include <zsync/packet/pins.hpp>

#include <bpf/bpf.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <format>
#include <unistd.h>

namespace zsync::packet {
namespace {

constexpr std::string_view link_name = "link";

bool is_plain(char c, bool first) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (!first && c >= '0' && c <= '9');
}

std::vector<std::string> entries_of(const std::string& directory) {
    std::vector<std::string> names;
    std::error_code error;
    for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end;
         at.increment(error)) {
        names.push_back(at->path().filename().string());
    }
    return names;
}

std::unexpected<Fault> file_fault(std::string_view what, const std::string& path, int error) {
    const bool denied = error == EPERM || error == EACCES;
    return fail(
        denied ? Error(PacketError::not_permitted, error) : os_error(error),
        std::format("{} {}: {}", what, path, os_error(error).message())
    );
}

Outcome<void> make_directory(const std::string& path) {
    if (mkdir(path.c_str(), 0700) < 0 && errno != EEXIST) {
        return file_fault("cannot make", path, errno);
    }
    return {};
}

} // namespace

std::string escape_name(std::string_view name) {
    std::string escaped;
    for (const char c : name) {
        if (is_plain(c, escaped.empty())) {
            escaped += c;
        } else {
            escaped += std::format("_{:02x}", static_cast<unsigned char>(c));
        }
    }
    return escaped.empty() ? "_" : escaped;
}

std::string unescape_name(std::string_view escaped) {
    std::string name;
    for (std::size_t i = 0; i < escaped.size(); ++i) {
        if (escaped[i] != '_') {
            name += escaped[i];
            continue;
        }
        unsigned value = 0;
        const char* digits = escaped.data() + i + 1;
        if (i + 2 >= escaped.size() ||
            std::from_chars(digits, digits + 2, value, 16).ptr != digits + 2) {
            return {};
        }
        name += static_cast<char>(value);
        i += 2;
    }
    return escape_name(name) == escaped ? name : std::string();
}

Pins::Pins(
    std::string_view bpf_dir, std::string_view ifname, OnPinStep on_step, std::string_view folder
)
    : packet_dir_(std::format("{}/{}", bpf_dir, folder)),
      directory_(std::format("{}/{}", packet_dir_, escape_name(ifname))),
      on_step_(std::move(on_step)) {}

void Pins::step(std::string_view name) const {
    if (on_step_) {
        on_step_(name);
    }
}

std::string Pins::generation(std::uint32_t program_id) const {
    return std::format("{}/g{}", directory_, program_id);
}

Outcome<void> Pins::create() const {
    std::filesystem::path existing = packet_dir_;
    while (access(existing.c_str(), F_OK) < 0 && errno == ENOENT && existing.has_relative_path()) {
        existing = existing.parent_path();
    }
    struct statfs facts{};
    if (statfs(existing.c_str(), &facts) < 0) {
        return file_fault("cannot look at", existing, errno);
    }
    if (facts.f_type != BPF_FS_MAGIC) {
        return fail(
            PacketError::no_bpffs,
            std::format(
                "{} is not on a BPF file system, where filters are pinned; mount one: mount -t bpf "
                "bpf /sys/fs/bpf",
                existing.string()
            )
        );
    }
    ZTRY(make_directory(std::filesystem::path(packet_dir_).parent_path()));
    ZTRY(make_directory(packet_dir_));
    ZTRY(make_directory(directory_));
    step("create_directory");
    return {};
}

Outcome<void> Pins::create_generation(std::uint32_t program_id) const {
    const std::string path = generation(program_id);
    remove_generation(path);
    ZTRY(make_directory(path));
    step("create_generation");
    return {};
}

Outcome<void> Pins::pin(std::uint32_t program_id, std::string_view name, const Fd& fd) const {
    const std::string path = std::format("{}/{}", generation(program_id), name);
    if (bpf_obj_pin(fd.get(), path.c_str()) < 0) {
        return file_fault("cannot pin", path, errno);
    }
    step(std::format("pin_{}", name));
    return {};
}

Outcome<void> Pins::pin_link(const Fd& link) const {
    const std::string path = std::format("{}/{}", directory_, link_name);
    if (bpf_obj_pin(link.get(), path.c_str()) < 0) {
        return file_fault("cannot pin", path, errno);
    }
    step("pin_link");
    return {};
}

Result<Fd> Pins::open_link() const {
    Fd fd(bpf_obj_get(std::format("{}/{}", directory_, link_name).c_str()));
    return fd ? Result<Fd>(std::move(fd)) : fail(os_error(errno));
}

Result<Fd> Pins::open(std::uint32_t program_id, std::string_view name) const {
    Fd fd(bpf_obj_get(std::format("{}/{}", generation(program_id), name).c_str()));
    return fd ? Result<Fd>(std::move(fd)) : fail(os_error(errno));
}

void Pins::remove_generation(const std::string& directory) {
    for (const std::string& name : entries_of(directory)) {
        unlink(std::format("{}/{}", directory, name).c_str());
    }
    rmdir(directory.c_str());
}

void Pins::remove_generations_but(std::uint32_t live) const {
    const std::string live_path = generation(live);
    for (const std::string& name : entries_of(directory_)) {
        const std::string path = std::format("{}/{}", directory_, name);
        if (name != link_name && path != live_path) {
            remove_generation(path);
            step("remove_generation");
        }
    }
}

Outcome<void> Pins::check_removable() const {
    if (access(directory_.c_str(), W_OK) < 0 && errno != ENOENT) {
        return file_fault("cannot remove", directory_, errno);
    }
    return {};
}

void Pins::remove_all() const {
    unlink(std::format("{}/{}", directory_, link_name).c_str());
    step("unpin_link");
    for (const std::string& name : entries_of(directory_)) {
        remove_generation(std::format("{}/{}", directory_, name));
        step("remove_generation");
    }
    rmdir(directory_.c_str());
    step("remove_directory");
}

Outcome<void> Pins::rename(std::string_view ifname) {
    std::string renamed = std::format("{}/{}", packet_dir_, escape_name(ifname));
    if (::rename(directory_.c_str(), renamed.c_str()) < 0) {
        return file_fault("cannot rename pins to", renamed, errno);
    }
    directory_ = std::move(renamed);
    step("rename_directory");
    return {};
}

std::vector<std::string> Pins::list(std::string_view bpf_dir, std::string_view folder) {
    const std::string packet_dir = std::format("{}/{}", bpf_dir, folder);
    std::vector<std::string> names;
    for (const std::string& entry : entries_of(packet_dir)) {
        std::string name = unescape_name(entry);
        const std::string link = std::format("{}/{}/{}", packet_dir, entry, link_name);
        if (!name.empty() && access(link.c_str(), F_OK) == 0) {
            names.push_back(std::move(name));
        }
    }
    std::ranges::sort(names);
    return names;
}

} // namespace zsync::packet
