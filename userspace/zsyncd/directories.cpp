#include "directories.hpp"

#include <sys/file.h>

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <format>
#include <string_view>
#include <unistd.h>

namespace zsync::zsyncd {
namespace {

namespace fs = std::filesystem;

Outcome<void> make_directory(
    const std::string& directory, fs::perms mode, std::string_view what, std::string_view option
) {
    std::error_code error;
    if (fs::create_directories(directory, error)) {
        fs::permissions(directory, mode, error);
    }
    if (error) {
        return fail(
            os_error(error.value()),
            std::format(
                "cannot make the {} directory {}: {}; name another with {}",
                what,
                directory,
                error.message(),
                option
            )
        );
    }
    return {};
}

std::string holder_of(const Fd& lock) {
    std::array<char, 16> text{};
    const ssize_t count = ::pread(lock.get(), text.data(), text.size(), 0);
    return count > 0 ? std::string(text.data(), static_cast<std::size_t>(count)) : "unknown";
}

} // namespace

Outcome<store::Store> open_state(const std::string& directory) {
    ZTRY(make_directory(directory, fs::perms::owner_all, "state", "--state-dir"));
    return store::Store::open(directory);
}

Outcome<Fd> lock_run_directory(const std::string& directory) {
    constexpr auto readable = fs::perms::owner_all | fs::perms::group_read | fs::perms::group_exec |
                              fs::perms::others_read | fs::perms::others_exec;
    ZTRY(make_directory(directory, readable, "run", "--run-dir"));
    const std::string path = directory + "/zsyncd.lock";
    Fd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!lock) {
        const Error error = os_error(errno);
        return fail(error, std::format("cannot open {}: {}", path, error.message()));
    }
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        return fail(
            os_error(EAGAIN),
            std::format(
                "another zsyncd (pid {}) holds {}: stop it, or name another directory with "
                "--run-dir",
                holder_of(lock),
                path
            )
        );
    }
    const std::string pid = std::to_string(::getpid());
    if (::ftruncate(lock.get(), 0) != 0 ||
        ::pwrite(lock.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
        const Error error = os_error(errno);
        return fail(error, std::format("cannot write {}: {}", path, error.message()));
    }
    return lock;
}

} // namespace zsync::zsyncd
