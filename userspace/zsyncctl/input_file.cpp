#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <format>
#include <tuple>
#include <unistd.h>
#include <zsyncctl/input_file.hpp>
#include <zsyncctl/limits.hpp>
#include <zsyncctl/table.hpp>

namespace zsyncctl {
namespace {

std::unexpected<Refusal> cannot(std::string_view action, std::string_view name, int error) {
    return refuse(
        std::format("cannot {} {}: {}", action, name, std::generic_category().message(error))
    );
}

Answer<void> write_all(int fd, const char* data, std::size_t bytes, std::string_view name) {
    while (bytes > 0) {
        const ssize_t written = write(fd, data, bytes);
        if (written < 0 && errno == EINTR) {
            continue;
        }
        if (written < 0) {
            return cannot("keep a copy of", name, errno);
        }
        data += written;
        bytes -= static_cast<std::size_t>(written);
    }
    return {};
}

/// What a write to a file moves; nothing of what is no file.
Answer<std::tuple<off_t, time_t, long>> written(int fd, std::string_view name) {
    struct stat facts{};
    if (fstat(fd, &facts) != 0) {
        return cannot("look at", name, errno);
    }
    if (!S_ISREG(facts.st_mode)) {
        return {};
    }
    return std::tuple(facts.st_size, facts.st_mtim.tv_sec, facts.st_mtim.tv_nsec);
}

Answer<zsync::Fd> spool(int from, std::string_view name, std::size_t bytes_max) {
    const auto before = ZTRY(written(from, name));
    zsync::Fd copy(memfd_create("zsync-input", MFD_CLOEXEC));
    if (!copy) {
        return cannot("keep a copy of", name, errno);
    }
    std::array<char, 65536> chunk{};
    std::size_t total = 0;
    while (true) {
        const ssize_t got = read(from, chunk.data(), chunk.size());
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return cannot("read", name, errno);
        }
        if (got == 0) {
            break;
        }
        total += static_cast<std::size_t>(got);
        if (total > bytes_max) {
            return refuse(std::format("{} is longer than {} bytes", name, bytes_max));
        }
        ZTRY(write_all(copy.get(), chunk.data(), static_cast<std::size_t>(got), name));
    }
    if (ZTRY(written(from, name)) != before) {
        return refuse(std::format("{} was written to while it was read; try again", name));
    }
    if (lseek(copy.get(), 0, SEEK_SET) < 0) {
        return cannot("rewind", name, errno);
    }
    return copy;
}

} // namespace

Answer<InputFile> open_input_file(const std::string& path, const InputKind& kind) {
    const bool from_stdin = path == "-";
    // A display name travels in a D-Bus string, which must be UTF-8.
    InputFile file{.fd = {}, .source_name = from_stdin ? "<stdin>" : printable(path)};
    file.fd = zsync::Fd(
        from_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                   : open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY)
    );
    if (!file.fd) {
        return cannot(from_stdin ? "read" : "open", file.source_name, errno);
    }
    struct stat facts{};
    if (fstat(file.fd.get(), &facts) != 0) {
        return cannot("look at", file.source_name, errno);
    }
    if (S_ISDIR(facts.st_mode)) {
        return refuse(std::format("{} is a directory, not a {}", file.source_name, kind.name));
    }
    // Standard input may be a file that was read in part already: what is left is what is meant.
    if (from_stdin || !S_ISREG(facts.st_mode)) {
        file.fd = ZTRY(spool(file.fd.get(), file.source_name, kind.spooled_bytes_max));
    }
    return file;
}

} // namespace zsyncctl
