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

std::unexpected<Fault> cannot_read(std::string_view name, int error) {
    const Error cause = os_error(error);
    return fail(cause, std::format("cannot read {}: {}", name, cause.message()));
}

/// Not by the time of the last change, which another name that takes this one's place moves too.
bool is_as_before(const struct stat& before, const struct stat& after) {
    return before.st_size == after.st_size && before.st_mtim.tv_sec == after.st_mtim.tv_sec &&
           before.st_mtim.tv_nsec == after.st_mtim.tv_nsec;
}

Outcome<std::string> read_to_the_end(const Fd& file, std::string_view name, off_t expected) {
    // The size is only a guess: files under /proc say 0, and a file may grow meanwhile.
    std::string text;
    const auto bytes = static_cast<std::size_t>(std::max<off_t>(expected, 0));
    text.resize(std::min(std::max<std::size_t>(bytes, 4095), limits::file_bytes_max) + 1);
    std::size_t size = 0;
    while (true) {
        const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return cannot_read(name, errno);
        }
        if (got == 0) {
            break;
        }
        size += static_cast<std::size_t>(got);
        if (size > limits::file_bytes_max) {
            return fail(
                CoreError::limit_reached,
                std::format("{} is over {} bytes", name, limits::file_bytes_max)
            );
        }
        if (size == text.size()) {
            text.resize(std::min(size * 2, limits::file_bytes_max + 1));
        }
    }
    text.resize(size);
    return text;
}

} // namespace

Outcome<std::string> read_regular_file(const std::string& path) {
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!file) {
        return cannot_read(path, errno);
    }
    return read_open_file(file, path);
}

Outcome<std::string> read_open_file(const Fd& file, std::string_view name) {
    struct stat before{};
    if (::fstat(file.get(), &before) != 0) {
        return cannot_read(name, errno);
    }
    if (!S_ISREG(before.st_mode)) {
        return fail(
            CoreError::invalid_argument,
            std::format("cannot read {}: it is {}, not a file", name, kind_of(before.st_mode))
        );
    }
    std::string text = ZTRY(read_to_the_end(file, name, before.st_size));
    struct stat after{};
    if (::fstat(file.get(), &after) != 0) {
        return cannot_read(name, errno);
    }
    if (!is_as_before(before, after)) {
        return fail(
            CoreError::invalid_argument,
            std::format(
                "{} was written to while it was read; try again, and replace it by renaming a "
                "whole new file over it",
                name
            )
        );
    }
    return text;
}

} // namespace zsync::packet
