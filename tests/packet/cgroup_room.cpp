#include "tests/packet/cgroup_room.hpp"

#include <csignal>
#include <filesystem>
#include <format>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <unistd.h>

namespace zsync::packet::test {
namespace {

constexpr std::string_view prefix = "zsync-packet-test-";

/// The mount point of cgroup2, and this process's path below it.
std::string cgroup2_mount() {
    std::ifstream mounts("/proc/self/mountinfo");
    for (std::string line; std::getline(mounts, line);) {
        if (line.contains(" - cgroup2 ")) {
            std::istringstream fields(line);
            std::string field;
            for (int i = 0; i < 5; ++i) {
                fields >> field;
            }
            return field;
        }
    }
    throw std::runtime_error("cgroup2 is not mounted");
}

std::string own_cgroup() {
    std::ifstream cgroups("/proc/self/cgroup");
    for (std::string line; std::getline(cgroups, line);) {
        if (line.starts_with("0::")) {
            return line.substr(3) == "/" ? "" : line.substr(3);
        }
    }
    throw std::runtime_error("no cgroup2 in /proc/self/cgroup");
}

void enter(const std::string& directory) {
    std::ofstream processes(directory + "/cgroup.procs");
    processes << getpid() << std::flush;
    if (!processes) {
        throw std::runtime_error("cannot enter " + directory);
    }
}

void remove_tree(const std::filesystem::path& directory) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
        if (entry.is_directory(error)) {
            remove_tree(entry.path());
        }
    }
    rmdir(directory.c_str());
}

} // namespace

CgroupRoom::CgroupRoom() : mount_(cgroup2_mount()), home_(own_cgroup()) {
    for (const auto& entry : std::filesystem::directory_iterator(mount_ + home_)) {
        const std::string name = entry.path().filename();
        if (name.starts_with(prefix) && kill(std::stoi(name.substr(prefix.size())), 0) != 0) {
            remove_tree(entry.path());
        }
    }
    path_ = std::format("{}/{}{}", home_, prefix, getpid());
    std::filesystem::create_directory(mount_ + path_);
}

CgroupRoom::~CgroupRoom() { remove_tree(mount_ + path_); }

std::string CgroupRoom::make(std::string_view name) {
    const std::string path = std::format("{}/{}", path_, name);
    std::filesystem::create_directory(mount_ + path);
    return path;
}

void CgroupRoom::remove(std::string_view name) const {
    remove_tree(std::format("{}{}/{}", mount_, path_, name));
}

void CgroupRoom::inside(const std::string& path, const std::function<void()>& work) const {
    enter(mount_ + path);
    try {
        work();
    } catch (...) {
        enter(mount_ + home_);
        throw;
    }
    enter(mount_ + home_);
}

} // namespace zsync::packet::test
