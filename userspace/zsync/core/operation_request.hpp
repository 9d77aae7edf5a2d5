// OperationRequest: an operation as the kernel takes it.
#pragma once

#include <cstdint>

namespace zsync {

/// The fields of a submission queue entry (io_uring_enter(2)) that operations use. Made by `Io`,
/// whose methods name the man page of each; carried out by the ring, or by plain system calls where
/// there is none.
struct OperationRequest {
    std::uint8_t opcode = 0;
    std::uint8_t sqe_flags = 0; ///< IOSQE_*
    std::uint16_t priority = 0; ///< sqe->ioprio: send and receive flags
    std::int32_t fd = -1;
    std::uint64_t address = 0;
    std::uint64_t offset = 0; ///< also sqe->addr2
    std::uint32_t length = 0;
    std::uint32_t flags = 0;  ///< the operation's own flags (msg_flags, poll events, ...)
    std::uint32_t extra = 0;  ///< sqe->file_index or what shares its place
    std::uint16_t buffer = 0; ///< sqe->buf_index or sqe->buf_group
    std::uint64_t address3 = 0;
};

} // namespace zsync
