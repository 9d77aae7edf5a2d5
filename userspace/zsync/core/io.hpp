// Io: how a task starts others and waits for the world.
#pragma once

#include <zsync/core/callable.hpp>
#include <zsync/core/file_operations.hpp>
#include <zsync/core/future.hpp>
#include <zsync/core/offload.hpp>
#include <zsync/core/operation.hpp>
#include <zsync/core/socket_operations.hpp>

#include <atomic>
#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace zsync {

/// A handle to what runs tasks, passed explicitly to whatever starts or waits. It names an executor
/// and the kind of task it starts; the same program runs on coroutines, fibers, threads, or one
/// step after the other, by the `Io` it is given (docs/runtime.md).
///
/// Each operation is a value that starts when it is awaited:
///
///     auto [count, buffer] = co_await io.read(file, Bytes(4096));
///     auto client = co_await io.accept(listener).until(io.now() + 5s);
///     auto got = io.recv(socket, Bytes(4096)).wait(); // in a fiber or thread
///
/// Buffers move into the operation and come back with its result. Every operation is a cancellation
/// point: a pending cancel makes it return `canceled` without starting it.
class Io {
public:
    /// The file position, for `read` and `write`.
    static constexpr std::uint64_t current_position = ~0ULL;

    Io(Executor& executor, TaskKind kind) noexcept
        : bits_(reinterpret_cast<std::uintptr_t>(&executor) | static_cast<std::uintptr_t>(kind)) {}

    [[nodiscard]] Executor& executor() const noexcept {
        return *std::bit_cast<Executor*>(bits_ & ~kind_mask);
    }
    [[nodiscard]] TaskKind kind() const noexcept {
        return static_cast<TaskKind>(bits_ & kind_mask);
    }
    /// The time by this executor's clock.
    [[nodiscard]] TimePoint now() const noexcept { return executor().now(); }

    /// \name Starting tasks
    /// \{

    /// Runs `root` as the first task of its executor, on this thread, and everything started in it,
    /// to its end.
    template <class T> T run(TaskName name, Task<T> root) const;

    /// Starts a call of any callable: function, lambda, member, coroutine. Arguments are moved in;
    /// a `Task<T>` it returns is run. Never fails: where nothing can run beside the caller, it has
    /// ended when `async` returns. Awaiting the future gives the result.
    ///
    ///     auto page = io.async(fetch, io, address);
    ///     auto sum = io.async([](int a, int b) { return a + b; }, 1, 2);
    template <class F, class... Args>
        requires Callable<F, Args...>
    [[nodiscard]] auto async(F&& function, Args&&... args) const {
        return async(TaskName("async"), std::forward<F>(function), std::forward<Args>(args)...);
    }
    /// The same, with a name for the task registry.
    template <class F, class... Args>
        requires Callable<F, Args...>
    [[nodiscard]] auto async(TaskName name, F&& function, Args&&... args) const
        -> Future<CallValue<F, Args...>>;

    /// As `async`, but the task runs while the caller goes on, which a producer and a consumer that
    /// wait for each other need. `concurrency_unavailable` where that cannot be had.
    template <class F, class... Args>
        requires Callable<F, Args...>
    [[nodiscard]] auto concurrent(F&& function, Args&&... args) const {
        return concurrent(
            TaskName("concurrent"), std::forward<F>(function), std::forward<Args>(args)...
        );
    }
    template <class F, class... Args>
        requires Callable<F, Args...>
    [[nodiscard]] auto concurrent(TaskName name, F&& function, Args&&... args) const
        -> Result<Future<CallValue<F, Args...>>>;

    /// A cancellation point and nothing else, for loops that only compute.
    [[nodiscard]] Result<void> check_cancel() const noexcept;
    /// Makes a cancel that was delivered to this task pending again: its next cancellation point
    /// returns it once more.
    void recancel() const noexcept;
    /// \}

    /// \name Operations
    /// \{

    /// read(2), pread(2).
    template <Buffer B>
    [[nodiscard]] TransferWait<B>
    read(FdRef fd, B buffer, std::uint64_t offset = current_position) const {
        return {{.opcode = Opcode::read, .fd = fd.get(), .offset = offset}, std::move(buffer)};
    }
    /// write(2), pwrite(2). May write less than the whole buffer. EPIPE where nobody reads a pipe
    /// any more; the kernel raises SIGPIPE as well, so a program that writes to pipes ignores that.
    template <Buffer B>
    [[nodiscard]] TransferWait<B>
    write(FdRef fd, B buffer, std::uint64_t offset = current_position) const {
        return {{.opcode = Opcode::write, .fd = fd.get(), .offset = offset}, std::move(buffer)};
    }
    /// recv(2); `flags` are MSG_*.
    template <Buffer B>
    [[nodiscard]] TransferWait<B> recv(FdRef fd, B buffer, std::uint32_t flags = 0) const {
        return {{.opcode = Opcode::recv, .fd = fd.get(), .flags = flags}, std::move(buffer)};
    }
    /// send(2); `flags` are MSG_*, MSG_NOSIGNAL is always set. May send less than the whole buffer;
    /// with MSG_WAITALL the kernel goes on until all is sent. ENOBUFS, from every send: the kernel
    /// has no memory for it at the moment, and nothing was sent.
    template <Buffer B>
    [[nodiscard]] TransferWait<B> send(FdRef fd, B buffer, std::uint32_t flags = 0) const {
        return {
            {.opcode = Opcode::send, .fd = fd.get(), .flags = flags | MSG_NOSIGNAL},
            std::move(buffer)
        };
    }
    /// readv(2), preadv(2): the buffers, which the caller owns, are filled in order.
    [[nodiscard]] NumberWait read_into(
        FdRef fd, std::span<const iovec> buffers, std::uint64_t offset = current_position
    ) const;
    /// writev(2), pwritev(2).
    [[nodiscard]] NumberWait write_from(
        FdRef fd, std::span<const iovec> buffers, std::uint64_t offset = current_position
    ) const;
    /// \}

    /// \name Files and directories
    /// \{

    /// openat(2); O_CLOEXEC is always set.
    [[nodiscard]] OpenWait
    open(std::string path, int flags, mode_t mode = 0644, Directory from = {}) const;
    /// close(2).
    [[nodiscard]] CloseWait close(Fd fd) const { return CloseWait(std::move(fd)); }
    /// fsync(2); with `data_only` fdatasync(2).
    [[nodiscard]] PlainWait fsync(FdRef fd, bool data_only = false) const;
    /// statx(2) of a path; `flags` are AT_*.
    [[nodiscard]] StatWait stat(
        std::string path, int flags = 0, unsigned mask = STATX_BASIC_STATS, Directory from = {}
    ) const;
    /// statx(2) of an open file.
    [[nodiscard]] StatWait stat(FdRef fd, unsigned mask = STATX_BASIC_STATS) const;
    /// renameat2(2).
    [[nodiscard]] PathWait rename(std::string from, std::string to, unsigned flags = 0) const;
    /// unlinkat(2); with AT_REMOVEDIR in `flags` rmdir(2).
    [[nodiscard]] PathWait unlink(std::string path, int flags = 0, Directory from = {}) const;
    /// mkdirat(2).
    [[nodiscard]] PathWait mkdir(std::string path, mode_t mode = 0755, Directory from = {}) const;
    /// fallocate(2).
    [[nodiscard]] PlainWait
    allocate(FdRef fd, int mode, std::uint64_t offset, std::uint64_t length) const;
    /// posix_fadvise(3).
    [[nodiscard]] PlainWait
    advise(FdRef fd, std::uint64_t offset, std::uint32_t length, int advice) const;
    /// ftruncate(2).
    [[nodiscard]] PlainWait truncate(FdRef fd, std::uint64_t length) const;
    /// splice(2): moves bytes between a pipe and another descriptor without copying them here.
    /// Offsets are `current_position` for pipes.
    [[nodiscard]] NumberWait splice(
        FdRef from,
        std::uint64_t from_offset,
        FdRef to,
        std::uint64_t to_offset,
        std::uint32_t length,
        unsigned flags = 0
    ) const;
    /// \}

    /// \name Sockets
    /// \{

    /// socket(2) with SOCK_CLOEXEC.
    [[nodiscard]] FdWait socket(int domain, int type, int protocol = 0) const;
    /// bind(2).
    [[nodiscard]] AddressWait bind(FdRef fd, const SocketAddress& address) const;
    /// listen(2).
    [[nodiscard]] PlainWait listen(FdRef fd, int backlog) const;
    /// accept4(2) with SOCK_CLOEXEC.
    [[nodiscard]] FdWait accept(FdRef listener) const;
    /// connect(2).
    [[nodiscard]] AddressWait connect(FdRef fd, const SocketAddress& address) const;
    /// shutdown(2).
    [[nodiscard]] PlainWait shutdown(FdRef fd, int how) const;
    /// recvmsg(2) of one datagram, with the address that it came from.
    template <Buffer B>
    [[nodiscard]] ReceiveFromWait<B>
    receive_from(FdRef fd, B buffer, std::uint32_t flags = 0) const {
        return {{.opcode = Opcode::recvmsg, .fd = fd.get(), .flags = flags}, std::move(buffer)};
    }
    /// sendmsg(2) of one datagram to an address.
    template <Buffer B>
    [[nodiscard]] SendToWait<B>
    send_to(FdRef fd, B buffer, const SocketAddress& to, std::uint32_t flags = 0) const {
        return {
            {.opcode = Opcode::sendmsg, .fd = fd.get(), .flags = flags | MSG_NOSIGNAL},
            to,
            std::move(buffer)
        };
    }
    /// A send that reads the buffer where it lies (io_uring's SEND_ZC). It ends when no packet
    /// refers to the buffer any more, and says whether the kernel copied all the same. Pays from
    /// some 10 KiB on, where the route takes pages; over loopback it never does.
    template <Buffer B>
    [[nodiscard]] ZeroCopySendWait<B>
    send_zero_copy(FdRef fd, B buffer, std::uint32_t flags = 0) const {
        return {fd.get(), std::move(buffer), flags};
    }
    /// \}

    /// \name Events
    /// \{
    /// Waits until a descriptor is ready: `events` and the result are poll(2) bits. One shot.
    [[nodiscard]] NumberWait poll(FdRef fd, std::uint32_t events) const;
    /// Waits while the word has this value (futex(2), FUTEX2_SIZE_U32, private to the process):
    /// EAGAIN when it has another one from the start. May end without a wake.
    [[nodiscard]] PlainWait
    futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t value) const;
    /// Waits for a child process to end and reaps it: waitid(2) on a pidfd, WEXITED.
    [[nodiscard]] ProcessWait wait_exit(FdRef pidfd) const;

    [[nodiscard]] SleepWait sleep_until(TimePoint deadline) const noexcept {
        return SleepWait(deadline);
    }
    /// `Duration::max()`: until it is cancelled.
    [[nodiscard]] SleepWait sleep_for(Duration duration) const noexcept {
        return SleepWait(later(now(), duration));
    }
    [[nodiscard]] YieldWait yield() const noexcept { return {}; }

    /// Makes a call that blocks in the kernel (a slow disk, a resolver, a foreign library) on a
    /// thread that is there to be blocked, and awaits its result. The call must not touch what
    /// belongs to this thread. A cancel stops it only while it waits for a thread; once begun, its
    /// result is delivered and the cancel stays pending. `limit_reached` when too many wait.
    template <class F> [[nodiscard]] OffloadWait<F> offload(F call) const {
        return {std::move(call), CallKind::blocking};
    }
    /// The same for a call that keeps a processor busy: on a `ComputePool`, which has a thread a
    /// processor, shared by all workers of the process. It must not block; it may `fork_join` and
    /// `parallel_for`.
    template <class F> [[nodiscard]] OffloadWait<F> compute(F call) const {
        return {std::move(call), CallKind::compute};
    }
    /// \}

private:
    static constexpr std::uintptr_t kind_mask = 3;
    template <class T>
    FutureTask<T>* make_future_task(TaskName&& name, Task<T>&& task, TaskRecord* parent) const {
        typename Task<T>::Handle root = task.release();
        return new FutureTask<T>(executor(), kind(), parent, std::move(name), root.promise());
    }

    std::uintptr_t bits_;
};

/// While it lives, cancels of the current task stay pending: a clean-up that must wait is not cut
/// short.
class CancelProtection {
public:
    CancelProtection() noexcept
        : task_(*TaskRecord::current()), before_(task_.block_cancel(true)) {}
    CancelProtection(const CancelProtection&) = delete;
    CancelProtection& operator=(const CancelProtection&) = delete;
    ~CancelProtection() { task_.block_cancel(before_); }

private:
    TaskRecord& task_;
    bool before_;
};

template <class T> T Io::run(TaskName name, Task<T> root) const {
    FutureTask<T>* task = make_future_task(std::move(name), std::move(root), nullptr);
    const TaskRef ref(*task);
    executor().run_root(*task);
    if constexpr (!std::is_void_v<T>) {
        return std::move(task->value());
    }
}

template <class F, class... Args>
    requires Callable<F, Args...>
auto Io::async(TaskName name, F&& function, Args&&... args) const -> Future<CallValue<F, Args...>> {
    auto* task = make_future_task(
        std::move(name),
        make_task(std::forward<F>(function), std::forward<Args>(args)...),
        TaskRecord::current()
    );
    Future<CallValue<F, Args...>> future(*task);
    executor().start_anyhow(*task);
    return future;
}

template <class F, class... Args>
    requires Callable<F, Args...>
auto Io::concurrent(TaskName name, F&& function, Args&&... args) const
    -> Result<Future<CallValue<F, Args...>>> {
    auto root = make_task(std::forward<F>(function), std::forward<Args>(args)...).release();
    auto* task = new FutureTask<CallValue<F, Args...>>(
        executor(), kind(), TaskRecord::current(), std::move(name), root.promise()
    );
    Future<CallValue<F, Args...>> future(*task);
    if (!executor().start(*task, Concurrency::required)) {
        task->give_up();
        root.destroy();
        return fail(CoreError::concurrency_unavailable);
    }
    return future;
}

} // namespace zsync
