#include <zsync/core/io.hpp>

#include <linux/io_uring.h>

namespace zsync {

Result<void> Io::check_cancel() const noexcept {
    const RuntimeLock lock;
    TaskRecord* task = TaskRecord::current();
    if (task != nullptr && task->take_cancel()) {
        return fail(CoreError::canceled);
    }
    return {};
}

void Io::recancel() const noexcept {
    const RuntimeLock lock;
    if (TaskRecord* task = TaskRecord::current()) {
        task->recancel();
    }
}

OperationRequest Io::read_request(FdRef fd, std::uint64_t offset) noexcept {
    return {.opcode = IORING_OP_READ, .fd = fd.get(), .offset = offset};
}

OperationRequest Io::write_request(FdRef fd, std::uint64_t offset) noexcept {
    return {.opcode = IORING_OP_WRITE, .fd = fd.get(), .offset = offset};
}

OperationRequest Io::recv_request(FdRef fd, std::uint32_t flags) noexcept {
    return {.opcode = IORING_OP_RECV, .fd = fd.get(), .flags = flags};
}

OperationRequest Io::send_request(FdRef fd, std::uint32_t flags) noexcept {
    return {.opcode = IORING_OP_SEND, .fd = fd.get(), .flags = flags | MSG_NOSIGNAL};
}

FdWait Io::accept(FdRef listener) const {
    return {"accept", {.opcode = IORING_OP_ACCEPT, .fd = listener.get(), .flags = SOCK_CLOEXEC}};
}

AddressWait Io::connect(FdRef fd, const SocketAddress& address) const {
    return {"connect", {.opcode = IORING_OP_CONNECT, .fd = fd.get()}, address};
}

NumberWait Io::poll(FdRef fd, std::uint32_t events) const {
    return {"poll", {.opcode = IORING_OP_POLL_ADD, .fd = fd.get(), .flags = events}};
}

ProcessWait Io::wait_exit(FdRef pidfd) const {
    return ProcessWait({
        .opcode = IORING_OP_WAITID,
        .fd = pidfd.get(),
        .length = P_PIDFD,
        .extra = WEXITED,
    });
}

} // namespace zsync
