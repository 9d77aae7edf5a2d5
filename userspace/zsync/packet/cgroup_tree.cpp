#include <zsync/core/text.hpp>
#include <zsync/packet/cgroup_tree.hpp>
#include <zsync/packet/error.hpp>

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <system_error>

#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <format>
#include <fstream>
#include <sstream>
#include <string>

namespace zsync::packet {
namespace {

/// Where cgroup2 is mounted, by proc_pid_mountinfo(5): the fifth field, and the file system's type
/// behind ` - `. Empty where it is not.
std::string cgroup2_mount() {
    std::ifstream mounts("/proc/self/mountinfo");
    std::string line;
    while (std::getline(mounts, line)) {
        const std::size_t dash = line.find(" - ");
        if (dash == std::string::npos || !line.substr(dash + 3).starts_with("cgroup2 ")) {
            continue;
        }
        std::istringstream fields(line);
        std::string field;
        for (int i = 0; i < 5; ++i) {
            fields >> field;
        }
        return field;
    }
    return {};
}

} // namespace

Outcome<Cgroup> find_cgroup(std::string_view path) {
    const std::string mount = cgroup2_mount();
    if (mount.empty()) {
        return fail(
            PacketError::no_such_cgroup,
            "no cgroup2 file system is mounted: mount -t cgroup2 none /sys/fs/cgroup"
        );
    }
    const std::string directory = mount + std::string(path);
    Cgroup cgroup;
    cgroup.directory = Fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    struct statfs facts{};
    struct stat inode{};
    if (!cgroup.directory) {
        const int error = errno;
        return fail(
            error == ENOENT || error == ENOTDIR ? Error(PacketError::no_such_cgroup, error)
                                                : os_error(error),
            std::format(
                "there is no cgroup {} ({}): {}",
                in_quotes(path),
                directory,
                os_error(error).message()
            )
        );
    }
    if (fstatfs(cgroup.directory.get(), &facts) < 0 || fstat(cgroup.directory.get(), &inode) < 0) {
        return fail(os_error(errno), "cannot look at " + directory);
    }
    if (facts.f_type != CGROUP2_SUPER_MAGIC) {
        return fail(
            PacketError::no_such_cgroup, directory + " is not in the unified cgroup hierarchy"
        );
    }
    cgroup.id = inode.st_ino;
    return cgroup;
}

std::optional<std::string> cgroup_path(std::uint64_t id) {
    const std::string mount = cgroup2_mount();
    if (mount.empty()) {
        return std::nullopt;
    }
    // By its handle it could be opened at once, but not without CAP_DAC_READ_SEARCH.
    std::error_code error;
    using Walk = std::filesystem::recursive_directory_iterator;
    for (Walk at(mount, error); !error && at != Walk(); at.increment(error)) {
        struct stat inode{};
        if (at->is_directory(error) && stat(at->path().c_str(), &inode) == 0 &&
            inode.st_ino == id) {
            return at->path().string().substr(mount.size());
        }
    }
    return std::nullopt;
}

} // namespace zsync::packet
