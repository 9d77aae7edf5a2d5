// OperationRequest: an operation as the kernel takes it.
#pragma once

#include <zsync/core/limits.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace zsync {

/// IORING_OP_* of the operations that `Io` gives; the ring's sources check the numbers.
enum class Opcode : std::uint8_t {
    nop = 0,
    fsync = 3,
    poll = 6,
    accept = 13,
    connect = 16,
    fallocate = 17,
    open = 18,
    close = 19,
    statx = 21,
    read = 22,
    write = 23,
    fadvise = 24,
    madvise = 25,
    send = 26,
    recv = 27,
    splice = 30,
    shutdown = 34,
    rename = 35,
    unlink = 36,
    mkdir = 37,
    socket = 45,
    send_zero_copy = 47,
    wait_process = 50,
    futex_wait = 51,
    truncate = 55,
    bind = 56,
    listen = 57,
    readv = 1,
    writev = 2,
    sendmsg = 9,
    recvmsg = 10,
};

/// What people read while a task waits for it.
[[nodiscard]] std::string_view name_of(Opcode opcode) noexcept;

/// IOSQE_*. A type of its own, because a compiler takes it that a std::uint8_t may be any object.
enum class RequestFlags : std::uint8_t {};

/// A submission queue entry (io_uring_enter(2)), field for field. Made by `Io`, whose methods name
/// the man page of each; carried out by the ring, or by plain system calls where there is none.
struct OperationRequest {
    Opcode opcode = Opcode::nop;
    RequestFlags sqe_flags{};
    std::uint16_t priority = 0; ///< sqe->ioprio: send and receive flags
    std::int32_t fd = -1;
    std::uint64_t offset = 0; ///< also sqe->addr2
    std::uint64_t address = 0;
    std::uint32_t length = 0;
    std::uint32_t flags = 0;  ///< the operation's own flags (msg_flags, poll events, ...)
    std::uint64_t target = 0; ///< sqe->user_data; set where it is queued
    std::uint16_t buffer = 0; ///< sqe->buf_index or sqe->buf_group
    std::uint16_t personality = 0;
    std::uint32_t extra = 0; ///< sqe->file_index or what shares its place
    std::uint64_t address3 = 0;
    std::uint64_t reserved = 0;
};
static_assert(sizeof(OperationRequest) == 64);

/// The length of a request that is to move so many bytes: one that is cut to 32 bits instead might
/// be 0, and its result the end of a file.
[[nodiscard]] constexpr std::uint32_t length_of(std::size_t bytes) noexcept {
    return static_cast<std::uint32_t>(std::min<std::size_t>(bytes, limits::bytes_per_operation_max)
    );
}

/// The wait that has to come before a request that gave EAGAIN is made again. Without flags: the
/// answer stands.
[[nodiscard]] OperationRequest readiness_for(const OperationRequest& request) noexcept;
/// The result as user space may see it. Where a signal stops a splice, or the open of a FIFO, in a
/// kernel worker thread, the ring hands out the kernel's own ERESTARTSYS and the like.
[[nodiscard]] std::int32_t without_restart_codes(std::int32_t result) noexcept;
/// Whether a request that a signal ended (EINTR) can simply be made again. A connect goes on by
/// itself and would say EALREADY; a close has freed its descriptor, whose number may be another's.
[[nodiscard]] bool may_be_repeated(const OperationRequest& request) noexcept;

} // namespace zsync
