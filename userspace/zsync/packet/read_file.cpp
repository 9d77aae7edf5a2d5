#include <zsync/core/fd.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/rules.hpp>

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <format>
#include <unistd.h>

namespace zsync::packet {
namespace {

std::string_view kind_of(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "a directory";
    case S_IFIFO:
        return "a FIFO";
    case S_IFSOCK:
        return "a socket";
    default:
        return "a device";
    }
}

std::unexpected<Fault> cannot_read(const std::string& path, int error) {
    const Error cause = os_error(error);
    return fail(cause, std::format("cannot read {}: {}", path, cause.message()));
}

} // namespace

Outcome<std::string> read_regular_file(const std::string& path) {
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat status{};
    if (!file || ::fstat(file.get(), &status) != 0) {
        return cannot_read(path, errno);
    }
    if (!S_ISREG(status.st_mode)) {
        return fail(
            CoreError::invalid_argument,
            std::format("cannot read {}: it is {}, not a file", path, kind_of(status.st_mode))
        );
    }
    // The size is only a guess: files under /proc say 0, and a file may grow meanwhile.
    std::string text;
    const auto expected = static_cast<std::size_t>(std::max<off_t>(status.st_size, 0));
    text.resize(std::min(std::max<std::size_t>(expected, 4095), limits::file_bytes_max) + 1);
    std::size_t size = 0;
    while (true) {
        const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return cannot_read(path, errno);
        }
        if (got == 0) {
            break;
        }
        size += static_cast<std::size_t>(got);
        if (size > limits::file_bytes_max) {
            return fail(
                CoreError::limit_reached,
                std::format("{} is over {} bytes", path, limits::file_bytes_max)
            );
        }
        if (size == text.size()) {
            text.resize(std::min(size * 2, limits::file_bytes_max + 1));
        }
    }
    text.resize(size);
    return text;
}

} // namespace zsync::packet
