// What can be awaited of files and directories.
#pragma once

#include <zsync/core/operation.hpp>

#include <sys/stat.h>

#include <string>
#include <utility>

namespace zsync {

/// A directory that relative paths start from: a descriptor of one, or the working directory.
class Directory {
public:
    Directory() noexcept;                               ///< the working directory
    Directory(const Fd& fd) noexcept : fd_(fd.get()) {} // NOLINT(google-explicit-constructor)
    [[nodiscard]] int get() const noexcept { return fd_; }

private:
    int fd_;
};

/// An operation on a path, which lives in it. Awaits to `Result<void>`.
class PathWait final : public OperationWait {
public:
    PathWait(const OperationRequest& request, std::string path) noexcept
        : OperationWait(request), path_(std::move(path)) {
        request_for_change().address = reinterpret_cast<std::uintptr_t>(path_.c_str());
    }
    PathWait(const OperationRequest& request, std::string from, std::string to) noexcept
        : OperationWait(request), path_(std::move(from)), to_(std::move(to)) {
        request_for_change().address = reinterpret_cast<std::uintptr_t>(path_.c_str());
        request_for_change().offset = reinterpret_cast<std::uintptr_t>(to_.c_str());
    }
    [[nodiscard]] Result<void> await_resume() const noexcept {
        if (result() >= 0) [[likely]] {
            return {};
        }
        return fail(failure());
    }

private:
    std::string path_;
    std::string to_;
};

/// Awaits to `Result<Fd>`.
class OpenWait final : public OperationWait {
public:
    OpenWait(const OperationRequest& request, std::string path) noexcept
        : OperationWait(request), path_(std::move(path)) {
        request_for_change().address = reinterpret_cast<std::uintptr_t>(path_.c_str());
    }
    [[nodiscard]] Result<Fd> await_resume() const noexcept {
        if (result() >= 0) [[likely]] {
            return opened(result());
        }
        return fail(failure());
    }

private:
    std::string path_;
};

/// Awaits to `Result<struct statx>`.
class StatWait final : public OperationWait {
public:
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): the kernel fills `found_`
    StatWait(const OperationRequest& request, std::string path) noexcept
        : OperationWait(request), path_(std::move(path)) {
        request_for_change().address = reinterpret_cast<std::uintptr_t>(path_.c_str());
        request_for_change().offset = reinterpret_cast<std::uintptr_t>(&found_);
    }
    [[nodiscard]] Result<struct statx> await_resume() const noexcept {
        if (result() >= 0) [[likely]] {
            return found_;
        }
        return fail(failure());
    }

private:
    std::string path_;
    struct statx found_;
};

/// Closes a descriptor that it owns. Awaits to `Result<void>`. An interruption leaves the
/// descriptor with the kernel or with this operation, which closes it at its end: it is closed in
/// any case.
class CloseWait final : public OperationWait {
public:
    explicit CloseWait(Fd fd) noexcept
        : OperationWait(OperationRequest{.opcode = Opcode::close, .fd = fd.get()}),
          fd_(std::move(fd)) {}
    [[nodiscard]] Result<void> await_resume() noexcept {
        if (result() != -ECANCELED) {
            // close(2) frees the descriptor whatever it returns.
            (void)fd_.release();
        }
        if (result() >= 0) [[likely]] {
            return {};
        }
        return fail(failure());
    }

private:
    Fd fd_;
};

} // namespace zsync
