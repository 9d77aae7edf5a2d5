// Fd: a file descriptor with one owner.
#pragma once

#include <cstdint>
#include <source_location>
#include <utility>

namespace zsync {

/// Owns a file descriptor and closes it at the end of its life. Raw ints appear only where a system
/// call is made (`get()`), so a descriptor is never closed twice or forgotten. One that a task made
/// is in the ledger of its executor until it is closed or released.
class Fd {
public:
    Fd() noexcept = default;
    explicit Fd(int fd, std::source_location made = std::source_location::current()) noexcept
        : fd_(fd), slot_(fd >= 0 ? enter(fd, made) : std::uint16_t{0}) {}
    /// One that an executor needs for itself, whichever task was the first to need it.
    struct OfTheRuntime {};
    Fd(int fd, OfTheRuntime /*tag*/) noexcept : fd_(fd) {}
    Fd(Fd&& other) noexcept
        : fd_(std::exchange(other.fd_, -1)), slot_(std::exchange(other.slot_, 0)) {}
    Fd& operator=(Fd&& other) noexcept {
        if (this != &other) {
            reset();
            fd_ = std::exchange(other.fd_, -1);
            slot_ = std::exchange(other.slot_, 0);
        }
        return *this;
    }
    Fd(const Fd&) = delete;
    Fd& operator=(const Fd&) = delete;
    ~Fd() { reset(); }

    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }
    /// Gives the descriptor up without closing it.
    [[nodiscard]] int release() noexcept {
        if (slot_ != 0) {
            strike(fd_, std::exchange(slot_, 0));
        }
        return std::exchange(fd_, -1);
    }
    void reset() noexcept;

private:
    /// Writes it into the ledger, and out of it again. The slot is the executor's; 0 outside of
    /// tasks.
    static std::uint16_t enter(int fd, const std::source_location& made) noexcept;
    static void strike(int fd, std::uint16_t slot) noexcept;

    int fd_ = -1;
    std::uint16_t slot_ = 0;
};

} // namespace zsync
