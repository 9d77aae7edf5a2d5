// Fd: a file descriptor with one owner.
#pragma once

#include <utility>

namespace zsync {

/// Owns a file descriptor and closes it at the end of its life. Raw ints appear only where a system
/// call is made (`get()`), so a descriptor is never closed twice or forgotten.
class Fd {
public:
    Fd() noexcept = default;
    explicit Fd(int fd) noexcept : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&& other) noexcept {
        Fd old(std::exchange(fd_, std::exchange(other.fd_, -1)));
        return *this;
    }
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    ~Fd() { reset(); }

    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }
    /// Gives the descriptor up without closing it.
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
    void reset() noexcept;

private:
    int fd_ = -1;
};

} // namespace zsync
