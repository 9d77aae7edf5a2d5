#include <zsync/core/io.hpp>

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

FdWait Io::accept(FdRef listener) const {
    return FdWait({.opcode = Opcode::accept, .fd = listener.get(), .flags = SOCK_CLOEXEC});
}

AddressWait Io::connect(FdRef fd, const SocketAddress& address) const {
    return {{.opcode = Opcode::connect, .fd = fd.get()}, address};
}

NumberWait Io::poll(FdRef fd, std::uint32_t events) const {
    return NumberWait({.opcode = Opcode::poll, .fd = fd.get(), .flags = events});
}

ProcessWait Io::wait_exit(FdRef pidfd) const {
    return ProcessWait({
        .opcode = Opcode::wait_process,
        .fd = pidfd.get(),
        .length = P_PIDFD,
        .extra = WEXITED,
    });
}

} // namespace zsync
