#include <zsync/core/limits.hpp>
#include <zsync/core/syscalls.hpp>
#include <zsync/core/time_left.hpp>

#include <linux/futex.h>
#include <linux/io_uring.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <ctime>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

namespace zsync {
namespace {

template <class T> T* pointer(std::uint64_t address) noexcept {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): a request holds addresses as the kernel's does
    return reinterpret_cast<T*>(static_cast<std::uintptr_t>(address));
}

std::int32_t result_of(long returned) noexcept {
    return returned < 0 ? -errno : static_cast<std::int32_t>(returned);
}

Attempt done(std::int32_t result) noexcept { return {.result = result}; }
Attempt done_by(long returned) noexcept { return done(result_of(returned)); }
Attempt poll_for(int fd, std::uint32_t events) noexcept {
    return {.kind = Attempt::Kind::poll, .fd = fd, .events = events};
}

bool is_ready(int fd, std::uint32_t events) noexcept {
    pollfd one{.fd = fd, .events = static_cast<short>(events), .revents = 0};
    return ::poll(&one, 1, 0) > 0;
}

bool is_write(Opcode opcode) noexcept {
    return opcode == Opcode::write || opcode == Opcode::writev;
}

/// The buffers of a read or write.
struct Vector {
    explicit Vector(const OperationRequest& request) noexcept {
        if (request.opcode == Opcode::readv || request.opcode == Opcode::writev) {
            buffers = pointer<const iovec>(request.address);
            count = static_cast<int>(request.length);
        } else {
            one = {.iov_base = pointer<void>(request.address), .iov_len = request.length};
        }
    }
    /// At most this many bytes of the first buffer.
    void limit(std::size_t bytes) noexcept {
        if (count == 0) {
            return;
        }
        one = *buffers;
        one.iov_len = std::min(one.iov_len, bytes);
        buffers = &one;
        count = 1;
    }
    iovec one{};
    const iovec* buffers = &one;
    int count = 1;
};

long read_or_write(const OperationRequest& request, const Vector& vector, int flags) noexcept {
    const auto call = is_write(request.opcode) ? &::pwritev2 : &::preadv2;
    const auto offset = static_cast<off_t>(request.offset);
    const long count = call(request.fd, vector.buffers, vector.count, offset, flags);
    // The ring ignores the offset where there is no position.
    return count < 0 && errno == ESPIPE && offset != -1
               ? call(request.fd, vector.buffers, vector.count, -1, flags)
               : count;
}

Attempt try_file(const OperationRequest& request, const Progress& progress) noexcept {
    Vector vector(request);
    const auto flags = static_cast<int>(request.flags);
    if (progress.may_nowait) {
        const long count = read_or_write(request, vector, flags | RWF_NOWAIT);
        if (count >= 0 || (errno != EAGAIN && errno != EOPNOTSUPP)) {
            return done_by(count);
        }
    } else {
        errno = EOPNOTSUPP;
    }
    const bool would_block = errno == EAGAIN;
    struct stat status{};
    if (::fstat(request.fd, &status) != 0) {
        return done(-errno);
    }
    if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode) || S_ISDIR(status.st_mode)) {
        return {.kind = Attempt::Kind::blocks};
    }
    const std::uint32_t events = is_write(request.opcode) ? POLLOUT : POLLIN;
    if (would_block || !is_ready(request.fd, events)) {
        return poll_for(request.fd, events);
    }
    if (is_write(request.opcode)) {
        // Ready means room for this much; a longer write would block for the rest.
        vector.limit(PIPE_BUF);
    }
    const long count = read_or_write(request, vector, flags);
    return count < 0 && errno == EAGAIN ? poll_for(request.fd, events) : done_by(count);
}

bool is_stream(int fd) noexcept {
    int type = 0;
    socklen_t length = sizeof type;
    return ::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 &&
           (type == SOCK_STREAM || type == SOCK_SEQPACKET);
}

long send_or_receive(const OperationRequest& request, const Progress& progress) noexcept {
    const auto flags = static_cast<int>(request.flags) | MSG_DONTWAIT;
    auto* const data = pointer<std::byte>(request.address) + progress.moved;
    const std::size_t length = request.length - progress.moved;
    switch (request.opcode) {
    case Opcode::recv:
        return ::recv(request.fd, data, length, flags);
    case Opcode::sendmsg:
        return ::sendmsg(request.fd, pointer<const msghdr>(request.address), flags);
    case Opcode::recvmsg:
        return ::recvmsg(request.fd, pointer<msghdr>(request.address), flags);
    default: // send, with or without copying: sqe->addr2 and addr_len are sendto's
        return ::sendto(
            request.fd,
            data,
            length,
            flags,
            pointer<const sockaddr>(request.offset),
            static_cast<socklen_t>(request.extra & 0xffff)
        );
    }
}

Attempt try_socket(const OperationRequest& request, Progress& progress) noexcept {
    if ((static_cast<unsigned>(request.sqe_flags) & IOSQE_BUFFER_SELECT) != 0) {
        return done(-EINVAL); // buffers are provided to rings
    }
    const bool receives = request.opcode == Opcode::recv || request.opcode == Opcode::recvmsg;
    const bool has_message = request.opcode == Opcode::sendmsg || request.opcode == Opcode::recvmsg;
    const bool all = (request.flags & MSG_WAITALL) != 0 && (request.flags & MSG_PEEK) == 0;
    for (;;) {
        const long count = send_or_receive(request, progress);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0 && errno == EAGAIN && (request.flags & MSG_DONTWAIT) == 0) {
            return poll_for(request.fd, receives ? POLLIN : POLLOUT);
        }
        if (count <= 0) {
            return done(progress.moved != 0 ? progress.stopped(0) : result_of(count));
        }
        if (has_message) {
            return done_by(count);
        }
        progress.moved += static_cast<std::uint32_t>(count);
        if (!all || progress.moved == request.length || !is_stream(request.fd)) {
            return done(static_cast<std::int32_t>(progress.moved));
        }
    }
}

Attempt try_accept(const OperationRequest& request, Progress& progress) noexcept {
    if (!progress.begun) {
        const int flags = ::fcntl(request.fd, F_GETFL);
        if (flags < 0) {
            return done(-errno);
        }
        if ((flags & O_NONBLOCK) == 0) {
            (void)::fcntl(request.fd, F_SETFL, flags | O_NONBLOCK);
        }
        progress.begun = true;
    }
    for (;;) {
        const int fd = ::accept4(
            request.fd,
            pointer<sockaddr>(request.address),
            pointer<socklen_t>(request.offset),
            static_cast<int>(request.flags)
        );
        if (fd < 0 && errno == EINTR) {
            continue;
        }
        return fd < 0 && errno == EAGAIN ? poll_for(request.fd, POLLIN) : done_by(fd);
    }
}

Attempt begin_connect(const OperationRequest& request, Progress& progress) noexcept {
    // connect(2) has no flag for a call that does not block. The flag goes back at once: it would
    // change what a read on this descriptor means.
    const int flags = ::fcntl(request.fd, F_GETFL);
    if (flags < 0) {
        return done(-errno);
    }
    if ((flags & O_NONBLOCK) == 0) {
        (void)::fcntl(request.fd, F_SETFL, flags | O_NONBLOCK);
    }
    const std::int32_t result = result_of(::connect(
        request.fd, pointer<const sockaddr>(request.address), static_cast<socklen_t>(request.offset)
    ));
    if ((flags & O_NONBLOCK) == 0) {
        (void)::fcntl(request.fd, F_SETFL, flags);
    }
    if (result == -EINPROGRESS) {
        progress.begun = true;
        return poll_for(request.fd, POLLOUT);
    }
    // A unix listener whose queue is full: no event tells when there is room.
    return result == -EAGAIN ? Attempt{.kind = Attempt::Kind::later} : done(result);
}

Attempt try_connect(const OperationRequest& request, Progress& progress) noexcept {
    if (!progress.begun) {
        return begin_connect(request, progress);
    }
    if (!is_ready(request.fd, POLLOUT)) {
        return poll_for(request.fd, POLLOUT);
    }
    int error = 0;
    socklen_t length = sizeof error;
    const int got = ::getsockopt(request.fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (got < 0 || error != 0) {
        return done(got < 0 ? -errno : -error);
    }
    // Once more, or the socket would take itself for one that still connects.
    const std::int32_t again = result_of(::connect(
        request.fd, pointer<const sockaddr>(request.address), static_cast<socklen_t>(request.offset)
    ));
    return done(again == -EISCONN ? 0 : again);
}

Attempt try_poll(const OperationRequest& request) noexcept {
    if (request.fd < 0) {
        return done(-EBADF); // poll(2) passes it over
    }
    pollfd one{.fd = request.fd, .events = static_cast<short>(request.flags), .revents = 0};
    const int ready = ::poll(&one, 1, 0);
    if (ready < 0) {
        return done(-errno);
    }
    if ((one.revents & POLLNVAL) != 0) {
        return done(-EBADF);
    }
    return ready > 0 ? done(one.revents) : poll_for(request.fd, request.flags & 0xffff);
}

Attempt try_wait_process(const OperationRequest& request) noexcept {
    if (request.length != P_PIDFD) {
        return done(-EINVAL); // a process that has no descriptor cannot be polled
    }
    siginfo_t unused{};
    auto* info = pointer<siginfo_t>(request.offset);
    if (info == nullptr) {
        info = &unused;
    }
    info->si_pid = 0;
    const auto options = static_cast<int>(request.extra) | WNOHANG;
    const int got = ::waitid(P_PIDFD, static_cast<id_t>(request.fd), info, options);
    if (got < 0) {
        return done(-errno);
    }
    const bool ended = info->si_pid != 0 || (request.extra & WNOHANG) != 0;
    return ended ? done(0) : poll_for(request.fd, POLLIN);
}

Attempt try_splice(const OperationRequest& request) noexcept {
    const auto in = static_cast<int>(request.extra);
    auto in_offset = static_cast<off64_t>(request.address);
    auto out_offset = static_cast<off64_t>(request.offset);
    const long count = ::splice(
        in,
        in_offset == -1 ? nullptr : &in_offset,
        request.fd,
        out_offset == -1 ? nullptr : &out_offset,
        request.length,
        request.flags | SPLICE_F_NONBLOCK
    );
    if (count >= 0 || errno != EAGAIN || (request.flags & SPLICE_F_NONBLOCK) != 0) {
        return done_by(count);
    }
    if (!is_ready(in, POLLIN)) {
        return poll_for(in, POLLIN);
    }
    return is_ready(request.fd, POLLOUT) ? Attempt{.kind = Attempt::Kind::later}
                                         : poll_for(request.fd, POLLOUT);
}

/// A regular file has no readiness, and a blocking socket heeds no flag: a thread does those, but
/// only when the other end is ready, so that it does not wait there for anything but the storage.
Attempt begin_splice(const OperationRequest& request) noexcept {
    struct Side {
        int fd = -1;
        std::uint32_t events = 0;
        mode_t type = 0;
    };
    std::array<Side, 2> sides{
        Side{.fd = static_cast<int>(request.extra), .events = POLLIN},
        Side{.fd = request.fd, .events = POLLOUT},
    };
    for (Side& side : sides) {
        struct stat status{};
        if (::fstat(side.fd, &status) != 0) {
            return done(-errno);
        }
        side.type = status.st_mode & S_IFMT;
    }
    if (sides[0].type == S_IFIFO && sides[1].type == S_IFIFO) {
        return try_splice(request);
    }
    for (const Side& side : sides) {
        if (side.type != S_IFREG && !is_ready(side.fd, side.events)) {
            return poll_for(side.fd, side.events);
        }
    }
    return {.kind = Attempt::Kind::blocks};
}

/// The calls on files and names, which block as long as the storage takes. sqe fields as in
/// io_uring_prep_*(3).
long call_storage(const OperationRequest& request) noexcept {
    const char* const path = pointer<const char>(request.address);
    switch (request.opcode) {
    case Opcode::fsync: {
        const bool data_only = (request.flags & IORING_FSYNC_DATASYNC) != 0;
        return data_only ? ::fdatasync(request.fd) : ::fsync(request.fd);
    }
    case Opcode::fallocate:
        return ::fallocate(
            request.fd,
            static_cast<int>(request.length),
            static_cast<off_t>(request.offset),
            static_cast<off_t>(request.address)
        );
    case Opcode::open:
        return ::openat(request.fd, path, static_cast<int>(request.flags), request.length);
    case Opcode::statx:
        return ::statx(
            request.fd,
            path,
            static_cast<int>(request.flags),
            request.length,
            pointer<struct statx>(request.offset)
        );
    case Opcode::fadvise: {
        const std::uint64_t length = request.address != 0 ? request.address : request.length;
        // posix_fadvise(3) returns its error.
        const int error = ::posix_fadvise(
            request.fd,
            static_cast<off_t>(request.offset),
            static_cast<off_t>(length),
            static_cast<int>(request.flags)
        );
        errno = error;
        return error == 0 ? 0 : -1;
    }
    case Opcode::rename:
        return ::renameat2(
            request.fd,
            path,
            static_cast<int>(request.length),
            pointer<const char>(request.offset),
            request.flags
        );
    case Opcode::unlink:
        return ::unlinkat(request.fd, path, static_cast<int>(request.flags));
    case Opcode::mkdir:
        return ::mkdirat(request.fd, path, request.length);
    case Opcode::truncate:
        return ::ftruncate(request.fd, static_cast<off_t>(request.offset));
    default: // reads and writes
        return read_or_write(request, Vector(request), static_cast<int>(request.flags));
    }
}

bool is_fifo(const OperationRequest& request) noexcept {
    const auto flags = static_cast<int>(request.flags);
    const int mode = flags & O_ACCMODE;
    if ((mode != O_RDONLY && mode != O_WRONLY) || (flags & (O_NONBLOCK | O_PATH)) != 0) {
        return false;
    }
    struct stat found{};
    const int follow = (flags & O_NOFOLLOW) != 0 ? AT_SYMLINK_NOFOLLOW : 0;
    return ::fstatat(request.fd, pointer<const char>(request.address), &found, follow) == 0 &&
           S_ISFIFO(found.st_mode);
}

/// Whether the reading end of a FIFO has or had a writer; a negated errno. Of one that has not
/// written yet nothing tells but tee(2), which would wait for it, and else gives 0.
int has_writer(int reader) noexcept {
    if (is_ready(reader, POLLIN)) { // bytes, or a writer that has gone
        return 1;
    }
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return -errno;
    }
    const Fd out(ends[0], Fd::OfTheRuntime());
    const Fd in(ends[1], Fd::OfTheRuntime());
    return ::tee(reader, in.get(), 1, SPLICE_F_NONBLOCK) != 0 ? 1 : 0;
}

/// A FIFO whose other end nobody has opened keeps openat(2), and the thread in it, for as long as
/// that stays so: it is tried again instead. `half_open` is its reading end meanwhile.
Attempt try_open(const OperationRequest& request, Fd& half_open) noexcept {
    if (!half_open && !is_fifo(request)) {
        return {.kind = Attempt::Kind::blocks};
    }
    const auto flags = static_cast<int>(request.flags);
    if (!half_open) {
        const auto* path = pointer<const char>(request.address);
        const int opened = ::openat(request.fd, path, flags | O_NONBLOCK, request.length);
        if (opened < 0) {
            return errno == ENXIO ? Attempt{.kind = Attempt::Kind::later} : done(-errno);
        }
        half_open = Fd(opened, Fd::OfTheRuntime());
    }
    if ((flags & O_ACCMODE) == O_RDONLY) {
        if (const int found = has_writer(half_open.get()); found <= 0) {
            return found == 0 ? Attempt{.kind = Attempt::Kind::later} : done(found);
        }
    }
    (void)::fcntl(half_open.get(), F_SETFL, flags);
    return done(half_open.release());
}

/// Whether it works on files and names.
bool is_on_storage(const OperationRequest& request) noexcept {
    switch (request.opcode) {
    case Opcode::fsync:
    case Opcode::fallocate:
    case Opcode::open:
    case Opcode::statx:
    case Opcode::fadvise:
    case Opcode::rename:
    case Opcode::unlink:
    case Opcode::mkdir:
    case Opcode::truncate:
        return true;
    default:
        return false;
    }
}

Attempt call_at_once(const OperationRequest& request) noexcept {
    switch (request.opcode) {
    case Opcode::close:
        return done_by(::close(request.fd));
    case Opcode::madvise:
        return done_by(::madvise(
            pointer<void>(request.address),
            request.offset != 0 ? request.offset : request.length,
            static_cast<int>(request.flags)
        ));
    case Opcode::shutdown:
        return done_by(::shutdown(request.fd, static_cast<int>(request.length)));
    case Opcode::socket:
        return done_by(
            ::socket(request.fd, static_cast<int>(request.offset), static_cast<int>(request.length))
        );
    case Opcode::bind:
        return done_by(::bind(
            request.fd,
            pointer<const sockaddr>(request.address),
            static_cast<socklen_t>(request.offset)
        ));
    case Opcode::listen:
        return done_by(::listen(request.fd, static_cast<int>(request.length)));
    default:
        return done(-EINVAL);
    }
}

timespec to_timespec(Duration duration) noexcept {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
    return {
        .tv_sec = seconds.count(), .tv_nsec = std::chrono::nanoseconds(duration - seconds).count()
    };
}

} // namespace

Interrupt::Interrupt() noexcept
    : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), Fd::OfTheRuntime()) {}

void Interrupt::trigger() noexcept {
    word_.store(1);
    (void)::syscall(SYS_futex, &word_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    if (event_) {
        (void)::eventfd_write(event_.get(), 1);
    }
}

void Interrupt::clear() noexcept {
    word_.store(0);
    eventfd_t count = 0;
    if (event_) {
        (void)::eventfd_read(event_.get(), &count);
    }
}

/// One thread's wait for an operation that would block.
class Waiting {
public:
    Waiting(std::optional<TimePoint> deadline, Interrupt* interrupt) noexcept
        : deadline_(deadline), interrupt_(interrupt) {}

    /// Until it may be tried again; else why not, as an errno.
    [[nodiscard]] int wait_for(const Attempt& attempt) noexcept {
        const bool later = attempt.kind == Attempt::Kind::later;
        const int event = interrupt_ != nullptr ? interrupt_->event_.get() : -1;
        std::array<pollfd, 2> fds{
            pollfd{
                .fd = later ? -1 : attempt.fd,
                .events = static_cast<short>(attempt.events),
                .revents = 0
            },
            pollfd{.fd = event, .events = POLLIN, .revents = 0},
        };
        std::optional<TimePoint> until = deadline_;
        if (later) {
            const TimePoint again =
                Clock::now() + std::chrono::milliseconds(limits::attempt_again_ms);
            until = until ? std::min(*until, again) : again;
        }
        timespec timeout{};
        if (until) {
            timeout = to_timespec(time_left(*until, Clock::now()));
        }
        const int ready = ::ppoll(fds.data(), fds.size(), until ? &timeout : nullptr, nullptr);
        if (ready < 0) {
            return errno == EINTR ? 0 : errno;
        }
        if (fds[1].revents != 0) {
            return ECANCELED;
        }
        return ready == 0 && deadline_ && Clock::now() >= *deadline_ ? ETIME : 0;
    }

    /// futex_wait(2) that the interrupt ends too: both words at once, futex_waitv(2).
    [[nodiscard]] std::int32_t wait_on_futex(const OperationRequest& request) const noexcept {
        if (request.address3 != FUTEX_BITSET_MATCH_ANY) {
            return -EINVAL; // futex_waitv has no masks
        }
        std::array<futex_waitv, 2> words{};
        words[0] = {
            .val = request.offset,
            .uaddr = request.address,
            .flags = static_cast<std::uint32_t>(request.fd),
            .__reserved = 0,
        };
        unsigned count = 1;
        if (interrupt_ != nullptr) {
            words[1] = {
                .val = 0,
                .uaddr = reinterpret_cast<std::uintptr_t>(&interrupt_->word_),
                .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG,
                .__reserved = 0,
            };
            count = 2;
        }
        timespec until{};
        if (deadline_) {
            until = to_timespec(time_left(*deadline_, TimePoint())); // none is before the clock's 0
        }
        for (;;) {
            const long woken = ::syscall(
                SYS_futex_waitv,
                words.data(),
                count,
                0,
                deadline_ ? &until : nullptr,
                CLOCK_MONOTONIC
            );
            const int error = errno;
            if (woken == 0) {
                return 0;
            }
            if (woken == 1 || (interrupt_ != nullptr && interrupt_->word_.load() != 0)) {
                return -ECANCELED;
            }
            if (error != EINTR) {
                return error == ETIMEDOUT ? -ETIME : -error;
            }
        }
    }

private:
    std::optional<TimePoint> deadline_;
    Interrupt* interrupt_;
};

Attempt attempt(const OperationRequest& request, Progress& progress) noexcept {
    switch (request.opcode) {
    case Opcode::read:
    case Opcode::readv:
    case Opcode::write:
    case Opcode::writev:
        return try_file(request, progress);
    case Opcode::recv:
    case Opcode::recvmsg:
    case Opcode::send:
    case Opcode::sendmsg:
    case Opcode::send_zero_copy:
        return try_socket(request, progress);
    case Opcode::accept:
        return try_accept(request, progress);
    case Opcode::connect:
        return try_connect(request, progress);
    case Opcode::poll:
        return try_poll(request);
    case Opcode::wait_process:
        return try_wait_process(request);
    case Opcode::futex_wait:
        return {.kind = Attempt::Kind::blocks};
    case Opcode::splice:
        return begin_splice(request);
    default:
        return is_on_storage(request) ? Attempt{.kind = Attempt::Kind::blocks}
                                      : call_at_once(request);
    }
}

std::int32_t carry_out(
    const OperationRequest& request, std::optional<TimePoint> deadline, Interrupt* interrupt
) noexcept {
    Waiting waiting(deadline, interrupt);
    if (request.opcode == Opcode::futex_wait) {
        return waiting.wait_on_futex(request);
    }
    Progress progress;
    Fd half_open;
    for (;;) {
        const Attempt tried = request.opcode == Opcode::splice ? try_splice(request)
                              : request.opcode == Opcode::open ? try_open(request, half_open)
                                                               : attempt(request, progress);
        if (tried.kind == Attempt::Kind::done) {
            return tried.result;
        }
        if (tried.kind == Attempt::Kind::blocks) {
            std::int32_t result = 0;
            do {
                result = result_of(call_storage(request));
            } while (result == -EINTR);
            return result;
        }
        if (const int error = waiting.wait_for(tried); error != 0) {
            return progress.stopped(error);
        }
    }
}

Attempt attempt_without_thread(const OperationRequest& request) noexcept {
    switch (request.opcode) {
    case Opcode::read:
    case Opcode::readv:
    case Opcode::write:
    case Opcode::writev:
    case Opcode::splice: {
        Progress progress;
        const Attempt tried = attempt(request, progress);
        if (tried.kind == Attempt::Kind::later) {
            return poll_for(request.fd, POLLOUT);
        }
        return tried.kind == Attempt::Kind::blocks ? done(carry_out(request, std::nullopt, nullptr))
                                                   : tried;
    }
    default:
        if (is_on_storage(request)) {
            return done(carry_out(request, std::nullopt, nullptr));
        }
        const std::uint32_t events = readiness_for(request).flags;
        return events != 0 ? poll_for(request.fd, events) : done(-ECANCELED);
    }
}

} // namespace zsync
