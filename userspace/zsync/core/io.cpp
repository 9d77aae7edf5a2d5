#include <zsync/core/io.hpp>

#include <linux/futex.h>
#include <linux/io_uring.h>
#include <sys/prctl.h>

#include <fcntl.h>

namespace zsync {
namespace {

/// From Linux 6.16 on a process has a table of its own for private futexes as soon as it has a
/// second thread, be that one of the ring's. Who waits then, which only a ring does for a single
/// thread, is left in the table of all processes, where no wake looks (seen with 6.18). So the
/// process gets its table before; as large as the kernel makes it for 64 threads.
void keep_futex_waits() noexcept {
    constexpr int futex_hash = 78; // PR_FUTEX_HASH, younger than the headers
    constexpr unsigned long set_slots = 1;
    constexpr unsigned long tell_slots = 2;
    constexpr unsigned long slots = 256;
    if (::prctl(futex_hash, tell_slots, 0, 0, 0) == 0) {
        (void)::prctl(futex_hash, set_slots, slots, 0, 0);
    }
}

} // namespace

Result<void> Io::check_cancel() const noexcept {
    const RuntimeLock lock;
    TaskRecord* task = TaskRecord::current();
    if (task != nullptr && task->take_cancel()) {
        return fail(CoreError::canceled);
    }
    return {};
}

void Io::recancel() const noexcept {
    if (TaskRecord* task = TaskRecord::current()) {
        task->recancel();
    }
}

NumberWait Io::read_into(FdRef fd, std::span<const iovec> buffers, std::uint64_t offset) const {
    return NumberWait({
        .opcode = Opcode::readv,
        .fd = fd.get(),
        .offset = offset,
        .address = reinterpret_cast<std::uintptr_t>(buffers.data()),
        .length = length_of(buffers.size()),
    });
}

NumberWait Io::write_from(FdRef fd, std::span<const iovec> buffers, std::uint64_t offset) const {
    return NumberWait({
        .opcode = Opcode::writev,
        .fd = fd.get(),
        .offset = offset,
        .address = reinterpret_cast<std::uintptr_t>(buffers.data()),
        .length = length_of(buffers.size()),
    });
}

Directory::Directory() noexcept : fd_(AT_FDCWD) {}

OpenWait Io::open(std::string path, int flags, mode_t mode, Directory from) const {
    return {
        {
            .opcode = Opcode::open,
            .fd = from.get(),
            .length = mode,
            .flags = static_cast<std::uint32_t>(flags | O_CLOEXEC),
        },
        std::move(path)
    };
}

PlainWait Io::fsync(FdRef fd, bool data_only) const {
    return PlainWait({
        .opcode = Opcode::fsync,
        .fd = fd.get(),
        .flags = data_only ? std::uint32_t{IORING_FSYNC_DATASYNC} : 0,
    });
}

StatWait Io::stat(std::string path, int flags, unsigned mask, Directory from) const {
    return {
        {
            .opcode = Opcode::statx,
            .fd = from.get(),
            .length = mask,
            .flags = static_cast<std::uint32_t>(flags),
        },
        std::move(path)
    };
}

StatWait Io::stat(FdRef fd, unsigned mask) const {
    return {
        {.opcode = Opcode::statx, .fd = fd.get(), .length = mask, .flags = AT_EMPTY_PATH},
        std::string()
    };
}

PathWait Io::rename(std::string from, std::string to, unsigned flags) const {
    return {
        {
            .opcode = Opcode::rename,
            .fd = AT_FDCWD,
            .length = static_cast<std::uint32_t>(AT_FDCWD),
            .flags = flags,
        },
        std::move(from),
        std::move(to)
    };
}

PathWait Io::unlink(std::string path, int flags, Directory from) const {
    return {
        {
            .opcode = Opcode::unlink,
            .fd = from.get(),
            .flags = static_cast<std::uint32_t>(flags),
        },
        std::move(path)
    };
}

PathWait Io::mkdir(std::string path, mode_t mode, Directory from) const {
    return {{.opcode = Opcode::mkdir, .fd = from.get(), .length = mode}, std::move(path)};
}

PlainWait Io::allocate(FdRef fd, int mode, std::uint64_t offset, std::uint64_t length) const {
    return PlainWait({
        .opcode = Opcode::fallocate,
        .fd = fd.get(),
        .offset = offset,
        .address = length,
        .length = static_cast<std::uint32_t>(mode),
    });
}

PlainWait Io::advise(FdRef fd, std::uint64_t offset, std::uint32_t length, int advice) const {
    return PlainWait({
        .opcode = Opcode::fadvise,
        .fd = fd.get(),
        .offset = offset,
        .length = length,
        .flags = static_cast<std::uint32_t>(advice),
    });
}

PlainWait Io::truncate(FdRef fd, std::uint64_t length) const {
    return PlainWait({.opcode = Opcode::truncate, .fd = fd.get(), .offset = length});
}

NumberWait Io::splice(
    FdRef from,
    std::uint64_t from_offset,
    FdRef to,
    std::uint64_t to_offset,
    std::uint32_t length,
    unsigned flags
) const {
    return NumberWait({
        .opcode = Opcode::splice,
        .fd = to.get(),
        .offset = to_offset,
        .address = from_offset,
        .length = length_of(length),
        .flags = flags,
        .extra = static_cast<std::uint32_t>(from.get()),
    });
}

FdWait Io::socket(int domain, int type, int protocol) const {
    return FdWait({
        .opcode = Opcode::socket,
        .fd = domain,
        .offset = static_cast<std::uint64_t>(type | SOCK_CLOEXEC),
        .length = static_cast<std::uint32_t>(protocol),
    });
}

AddressWait Io::bind(FdRef fd, const SocketAddress& address) const {
    return {{.opcode = Opcode::bind, .fd = fd.get()}, address};
}

PlainWait Io::listen(FdRef fd, int backlog) const {
    return PlainWait({
        .opcode = Opcode::listen,
        .fd = fd.get(),
        .length = static_cast<std::uint32_t>(backlog),
    });
}

PlainWait Io::shutdown(FdRef fd, int how) const {
    return PlainWait({
        .opcode = Opcode::shutdown,
        .fd = fd.get(),
        .length = static_cast<std::uint32_t>(how),
    });
}

PlainWait Io::futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t value) const {
    keep_futex_waits();
    constexpr int futex_size_u32 = 0x02;
    constexpr int futex_private = 128;
    return PlainWait({
        .opcode = Opcode::futex_wait,
        .fd = futex_size_u32 | futex_private,
        .offset = value,
        .address = reinterpret_cast<std::uintptr_t>(&word),
        .address3 = FUTEX_BITSET_MATCH_ANY,
    });
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
