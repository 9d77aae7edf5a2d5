#include <zsync/core/text.hpp>
#include <zsync/store/document.hpp>
#include <zsync/store/limits.hpp>
#include <zsync/store/store.hpp>

#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <dirent.h>
#include <fcntl.h>
#include <format>
#include <memory>
#include <unistd.h>

namespace zsync::store {
namespace {

constexpr std::string_view aside_mark = ".corrupt-";
constexpr std::size_t file_bytes_max = limits::document_bytes_max + 64;

/// Opens a file directly in `directory` and nothing that a symbolic link points to.
Fd open_beneath(const Fd& directory, const std::string& name, int flags, mode_t mode = 0) {
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags) | O_CLOEXEC;
    how.mode = mode;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
    while (true) {
        const long fd = ::syscall(SYS_openat2, directory.get(), name.c_str(), &how, sizeof(how));
        // EAGAIN: a rename raced with the walk (openat2(2)).
        if (fd >= 0 || (errno != EINTR && errno != EAGAIN)) {
            return Fd(static_cast<int>(fd));
        }
    }
}

/// Starts with a dot, which no document's name does.
std::string temporary_name(std::string_view name) { return std::format(".{}.new", name); }

bool write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(fd, bytes.data(), bytes.size());
        if (written < 0 && errno != EINTR) {
            return false;
        }
        bytes.remove_prefix(written > 0 ? static_cast<std::size_t>(written) : 0);
    }
    return true;
}

/// A file's bytes, at most one more than a document may have; false with errno set.
bool read_all_bytes(int fd, std::string& bytes) {
    struct stat status{};
    if (::fstat(fd, &status) != 0) {
        return false;
    }
    const auto expected = static_cast<std::size_t>(std::max<off_t>(status.st_size, 0));
    bytes.resize(std::min(expected, file_bytes_max) + 1);
    std::size_t size = 0;
    while (size < bytes.size()) {
        const ssize_t got = ::read(fd, bytes.data() + size, bytes.size() - size);
        if (got < 0 && errno != EINTR) {
            return false;
        }
        if (got == 0) {
            break;
        }
        size += got > 0 ? static_cast<std::size_t>(got) : 0;
    }
    bytes.resize(size);
    return true;
}

std::string time_stamp() {
    const auto now = std::chrono::system_clock::now();
    return std::format("{:%Y%m%dT%H%M%S}Z", std::chrono::floor<std::chrono::microseconds>(now));
}

Outcome<void> check_name(std::string_view name) {
    if (is_document_name(name)) {
        return {};
    }
    return fail(StoreError::invalid_name, in_quotes(name) + " is no name of a document");
}

} // namespace

bool is_document_name(std::string_view name) {
    constexpr auto alphanumeric = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    };
    return !name.empty() && name.size() <= limits::name_bytes_max && alphanumeric(name.front()) &&
           !name.contains(aside_mark) && std::ranges::all_of(name, [&](char c) {
               return alphanumeric(c) || std::string_view("._%@-").contains(c);
           });
}

std::unexpected<Fault> Store::cannot(std::string_view what, std::string_view name) const {
    const Error cause = os_error(errno);
    return fail(cause, std::format("cannot {} {}/{}: {}", what, path_, name, cause.message()));
}

bool Store::allows(Step step) const {
    const int refused = hook_ ? hook_(step) : 0;
    errno = refused != 0 ? refused : errno;
    return refused == 0;
}

Outcome<Store> Store::open(const std::string& directory, StepHook hook) {
    Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd) {
        const Error cause = os_error(errno);
        const bool missing = errno == ENOENT;
        return fail(
            cause,
            std::format(
                "cannot open the state directory {}: {}{}",
                directory,
                cause.message(),
                missing ? "; create it, or name another with --state-dir" : ""
            )
        );
    }
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) {
            return fail(
                StoreError::in_use,
                std::format("the state directory {} is in use by another process", directory)
            );
        }
        const Error cause = os_error(errno);
        return fail(cause, std::format("cannot lock {}: {}", directory, cause.message()));
    }
    Store store(directory, std::move(fd), std::move(hook));
    store.remove_temporaries();
    return store;
}

Outcome<void> Store::write_temporary(std::string_view name, std::string_view content) {
    const std::string temporary = temporary_name(name);
    (void)::unlinkat(directory_.get(), temporary.c_str(), 0); // of a put that was interrupted
    Fd file;
    if (allows(Step::create)) {
        file = open_beneath(directory_, temporary, O_WRONLY | O_CREAT | O_EXCL, 0600);
    }
    if (!file) {
        return cannot("save", name);
    }
    if (!allows(Step::write) || !write_all(file.get(), encode_document(content))) {
        return cannot("save", name);
    }
    if (!allows(Step::sync) || ::fsync(file.get()) != 0) {
        return cannot("save", name);
    }
    return {};
}

Outcome<void> Store::sync_directory(std::string_view name) {
    if (!allows(Step::sync_directory) || ::fsync(directory_.get()) != 0) {
        return cannot("make sure of", name);
    }
    return {};
}

Outcome<void> Store::put(std::string_view name, std::string_view content) {
    ZTRY(check_name(name));
    if (content.size() > limits::document_bytes_max) {
        return fail(
            StoreError::too_big,
            std::format(
                "{} has {} bytes, and {} can be saved",
                name,
                content.size(),
                limits::document_bytes_max
            )
        );
    }
    const std::string target(name);
    const std::string temporary = temporary_name(name);
    struct stat status{};
    const bool replaces =
        ::fstatat(directory_.get(), target.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0;
    if (!replaces && ZTRY(list()).size() >= limits::documents_max) {
        return fail(
            StoreError::too_big,
            std::format("{} has {} documents already", path_, limits::documents_max)
        );
    }
    auto written = write_temporary(name, content);
    if (written &&
        (!allows(Step::rename) ||
         ::renameat(directory_.get(), temporary.c_str(), directory_.get(), target.c_str()))) {
        written = cannot("save", name);
    }
    if (!written) {
        (void)::unlinkat(directory_.get(), temporary.c_str(), 0);
        return written;
    }
    return sync_directory(name);
}

Outcome<std::string> Store::get(std::string_view name) {
    ZTRY(check_name(name));
    const Fd file = open_beneath(directory_, std::string(name), O_RDONLY | O_NONBLOCK);
    if (!file && errno == ENOENT) {
        return fail(StoreError::no_such_document, std::format("there is no {}/{}", path_, name));
    }
    if (!file && errno == ELOOP) {
        return std::unexpected(set_aside(name, "it is a symbolic link"));
    }
    struct stat status{};
    if (!file || ::fstat(file.get(), &status) != 0) {
        return cannot("read", name);
    }
    if (!S_ISREG(status.st_mode)) {
        return std::unexpected(set_aside(name, "it is no regular file"));
    }
    std::string bytes;
    if (!read_all_bytes(file.get(), bytes)) {
        return cannot("read", name);
    }
    if (bytes.size() > file_bytes_max) {
        return std::unexpected(set_aside(name, "it is too big"));
    }
    const auto content = decode_document(bytes);
    if (!content) {
        return std::unexpected(set_aside(name, content.error()));
    }
    return std::string(*content);
}

Outcome<void> Store::erase(std::string_view name) {
    ZTRY(check_name(name));
    const std::string target(name);
    if (!allows(Step::remove) || ::unlinkat(directory_.get(), target.c_str(), 0) != 0) {
        if (errno == ENOENT) {
            return {};
        }
        return cannot("remove", name);
    }
    return sync_directory(name);
}

Outcome<std::vector<std::string>> Store::entries() const {
    // A descriptor of its own: reading moves the offset that dup would share.
    Fd fd = open_beneath(directory_, ".", O_RDONLY | O_DIRECTORY);
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(
        fd ? ::fdopendir(fd.get()) : nullptr, ::closedir
    );
    if (!directory) {
        return cannot("list", "");
    }
    (void)fd.release();
    std::vector<std::string> names;
    while (true) {
        errno = 0;
        const dirent* entry = ::readdir(directory.get()); // NOLINT(concurrency-mt-unsafe): own DIR
        if (entry == nullptr) {
            break;
        }
        names.emplace_back(entry->d_name);
    }
    if (errno != 0) {
        return cannot("list", "");
    }
    std::ranges::sort(names);
    return names;
}

Outcome<std::vector<std::string>> Store::list() const {
    std::vector<std::string> names = ZTRY(entries());
    std::erase_if(names, [](const std::string& name) { return !is_document_name(name); });
    return names;
}

void Store::remove_temporaries() const {
    for (const std::string& name : entries().value_or(std::vector<std::string>{})) {
        if (name.starts_with('.') && name.ends_with(".new")) {
            (void)::unlinkat(directory_.get(), name.c_str(), 0);
        }
    }
}

Outcome<Contents> Store::read_all() {
    Contents contents;
    for (std::string& name : ZTRY(list())) {
        auto content = get(name);
        if (content) {
            contents.documents.push_back({.name = std::move(name), .content = *std::move(content)});
        } else {
            contents.damaged.push_back(std::move(content).error());
        }
    }
    return contents;
}

void Store::forget_oldest_aside(std::string_view name) const {
    const std::string prefix = std::string(name) + std::string(aside_mark);
    std::vector<std::string> kept = entries().value_or(std::vector<std::string>{});
    std::erase_if(kept, [&](const std::string& entry) { return !entry.starts_with(prefix); });
    for (std::size_t i = 0; i + limits::kept_aside_max <= kept.size(); ++i) {
        (void)::unlinkat(directory_.get(), kept[i].c_str(), 0);
    }
}

Fault Store::set_aside(std::string_view name, std::string_view why) {
    const std::string from(name);
    forget_oldest_aside(name);
    const std::string to = from + std::string(aside_mark) + time_stamp();
    const int failed =
        ::renameat2(directory_.get(), from.c_str(), directory_.get(), to.c_str(), RENAME_NOREPLACE);
    if (failed != 0) {
        const Error cause = os_error(errno);
        return {
            StoreError::damaged,
            std::format(
                "{}/{} is damaged: {}; it cannot be set aside: {}",
                path_,
                name,
                why,
                cause.message()
            )
        };
    }
    (void)::fsync(directory_.get());
    return {
        StoreError::damaged,
        std::format("{}/{} is damaged: {}; it is kept as {}", path_, name, why, to)
    };
}

} // namespace zsync::store
