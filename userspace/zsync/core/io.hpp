// Io: how a task waits for the world.
#pragma once

#include <zsync/core/bytes.hpp>
#include <zsync/core/fd.hpp>
#include <zsync/core/offload.hpp>
#include <zsync/core/result.hpp>
#include <zsync/core/ring.hpp>
#include <zsync/core/suspension.hpp>
#include <zsync/core/task.hpp>
#include <zsync/core/timer_wheel.hpp>

#include <sys/socket.h>
#include <sys/wait.h>

#include <cstdint>
#include <memory>
#include <optional>

namespace zsync {

class Worker;

/// A descriptor that an operation uses but does not own: an `Fd`, or one that a foreign library
/// lends. The owner must outlive the operation.
class FdRef {
public:
    FdRef(const Fd& fd) noexcept : fd_(fd.get()) {} // NOLINT(google-explicit-constructor)
    explicit FdRef(int foreign_fd) noexcept : fd_(foreign_fd) {}
    [[nodiscard]] int get() const noexcept { return fd_; }

private:
    int fd_;
};

/// How a child process ended.
struct ExitStatus {
    int code = 0;   ///< exit code, or -1 when a signal ended it
    int signal = 0; ///< the signal that ended it, or 0
};

/// The result of moving bytes, and the buffer that was lent for it.
template <Buffer B> struct Transfer {
    Result<std::size_t> count; ///< bytes moved; 0 from a read or recv is the end
    B buffer;
};

/// One request on the ring, awaited. Cancelling asks the kernel to stop it and then waits for the
/// kernel's own last word, so bytes that were moved are always reported.
class RingWait : public Suspension, public RingOperation {
public:
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise> bool await_suspend(std::coroutine_handle<Promise> waiter) noexcept {
        return start(waiter.promise(), waiter);
    }

    void request_cancel() noexcept final;
    [[nodiscard]] std::string_view kind() const noexcept final { return kind_; }
    void complete(std::int32_t result, std::uint32_t flags) noexcept final;

protected:
    RingWait(std::string_view kind, const RingRequest& request) noexcept
        : request_(request), deadline_(&deadline_passed, this), kind_(kind) {}
    ~RingWait() = default;

    /// The request's result: a number >= 0, `canceled`, `timed_out`, or the system's error.
    [[nodiscard]] Result<std::int32_t> outcome() const noexcept;
    [[nodiscard]] RingRequest& request() noexcept { return request_; }
    void set_deadline(TimePoint deadline) noexcept { wait_until_ = deadline; }

private:
    bool start(PromiseBase& promise, std::coroutine_handle<> waiter) noexcept;
    static void deadline_passed(Timer& timer) noexcept;

    RingRequest request_;
    Timer deadline_;
    std::optional<TimePoint> wait_until_;
    std::string_view kind_;
    std::int32_t result_ = 0;
    bool canceled_ = false;
    bool timed_out_ = false;
    bool cancel_queued_ = false;
};

/// Adds `.until(deadline)` to an operation: past it the operation is stopped and gives `timed_out`.
template <class Operation> class WithDeadline : public RingWait {
public:
    [[nodiscard]] Operation&& until(TimePoint deadline) && noexcept {
        this->set_deadline(deadline);
        return static_cast<Operation&&>(*this);
    }

protected:
    using RingWait::RingWait;
    ~WithDeadline() = default;
};

/// Awaits to `Transfer<B>`.
template <Buffer B> class TransferWait final : public WithDeadline<TransferWait<B>> {
public:
    TransferWait(std::string_view kind, const RingRequest& request, B buffer) noexcept
        : WithDeadline<TransferWait<B>>(kind, request), buffer_(std::move(buffer)) {
        RingRequest& moved = this->request();
        moved.address = reinterpret_cast<std::uintptr_t>(std::data(buffer_));
        moved.length = static_cast<std::uint32_t>(std::size(buffer_));
    }
    [[nodiscard]] Transfer<B> await_resume() noexcept {
        return {
            .count = this->outcome().transform([](std::int32_t count) {
                return static_cast<std::size_t>(count);
            }),
            .buffer = std::move(buffer_),
        };
    }

private:
    B buffer_;
};

/// Awaits to `Result<Fd>`.
class AcceptWait final : public WithDeadline<AcceptWait> {
public:
    AcceptWait(std::string_view kind, const RingRequest& request) noexcept
        : WithDeadline(kind, request) {}
    [[nodiscard]] Result<Fd> await_resume() const noexcept {
        return outcome().transform([](std::int32_t fd) { return Fd(fd); });
    }
};

/// Awaits to `Result<void>`.
class ConnectWait final : public WithDeadline<ConnectWait> {
public:
    ConnectWait(
        const RingRequest& request, const sockaddr_storage& address, socklen_t length
    ) noexcept
        : WithDeadline("connect", request), address_(address) {
        RingRequest& moved = this->request();
        moved.address = reinterpret_cast<std::uintptr_t>(&address_);
        moved.offset = length;
    }
    [[nodiscard]] Result<void> await_resume() const noexcept {
        return outcome().transform([](std::int32_t) {});
    }

private:
    sockaddr_storage address_;
};

/// Awaits to `Result<std::uint32_t>`: the events that are there (poll(2) bits).
class PollWait final : public WithDeadline<PollWait> {
public:
    explicit PollWait(const RingRequest& request) noexcept : WithDeadline("poll", request) {}
    [[nodiscard]] Result<std::uint32_t> await_resume() const noexcept {
        return outcome().transform([](std::int32_t events) {
            return static_cast<std::uint32_t>(events);
        });
    }
};

/// Awaits to `Result<ExitStatus>`.
class ProcessWait final : public WithDeadline<ProcessWait> {
public:
    explicit ProcessWait(const RingRequest& request) noexcept
        : WithDeadline("process", request), info_(std::make_unique<siginfo_t>()) {
        this->request().offset = reinterpret_cast<std::uintptr_t>(info_.get());
    }
    [[nodiscard]] Result<ExitStatus> await_resume() const noexcept;

private:
    std::unique_ptr<siginfo_t> info_;
};

/// Awaits to `Result<void>`: success when the time has come, else `canceled`.
class SleepWait final : public Suspension {
public:
    SleepWait(Worker& worker, TimePoint deadline) noexcept
        : worker_(worker), timer_(&expired, this), deadline_(deadline) {}

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise> bool await_suspend(std::coroutine_handle<Promise> waiter) noexcept {
        return start(waiter.promise(), waiter);
    }
    [[nodiscard]] Result<void> await_resume() const noexcept {
        return canceled_ ? Result<void>(fail(CoreError::canceled)) : Result<void>();
    }
    void request_cancel() noexcept override;
    [[nodiscard]] std::string_view kind() const noexcept override { return "sleep"; }

private:
    bool start(PromiseBase& promise, std::coroutine_handle<> waiter) noexcept;
    static void expired(Timer& timer) noexcept;

    Worker& worker_;
    Timer timer_;
    TimePoint deadline_;
    bool canceled_ = false;
};

/// Lets other tasks run. Awaits to `Result<void>`, so it is a cancellation point too.
class YieldWait final : public Suspension {
public:
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise> bool await_suspend(std::coroutine_handle<Promise> waiter) noexcept {
        canceled_ = !enter(waiter.promise(), waiter);
        if (!canceled_) {
            wake();
        }
        return !canceled_;
    }
    [[nodiscard]] Result<void> await_resume() const noexcept {
        return canceled_ ? Result<void>(fail(CoreError::canceled)) : Result<void>();
    }
    void request_cancel() noexcept override {}
    [[nodiscard]] std::string_view kind() const noexcept override { return "yield"; }

private:
    bool canceled_ = false;
};

/// A handle to a worker, passed explicitly to whatever waits. Each method gives an operation, a
/// value that starts when it is awaited:
///
///     auto [count, buffer] = co_await io.read(file, Bytes(4096));
///     auto client = co_await io.accept(listener).until(Clock::now() + 5s);
///
/// Buffers move into the operation and come back with its result. Every operation is a cancellation
/// point: a pending cancel makes it return `canceled` without starting it.
class Io {
public:
    /// The file position, for `read` and `write`.
    static constexpr std::uint64_t current_position = ~0ULL;

    explicit Io(Worker& worker) noexcept : worker_(&worker) {}
    [[nodiscard]] Worker& worker() const noexcept { return *worker_; }

    /// read(2), pread(2).
    template <Buffer B>
    [[nodiscard]] TransferWait<B>
    read(FdRef fd, B buffer, std::uint64_t offset = current_position) const {
        return {"read", read_request(fd, offset), std::move(buffer)};
    }
    /// write(2), pwrite(2). May write less than the whole buffer.
    template <Buffer B>
    [[nodiscard]] TransferWait<B>
    write(FdRef fd, B buffer, std::uint64_t offset = current_position) const {
        return {"write", write_request(fd, offset), std::move(buffer)};
    }
    /// recv(2); `flags` are MSG_*.
    template <Buffer B>
    [[nodiscard]] TransferWait<B> recv(FdRef fd, B buffer, std::uint32_t flags = 0) const {
        return {"recv", recv_request(fd, flags), std::move(buffer)};
    }
    /// send(2); `flags` are MSG_*, MSG_NOSIGNAL is always set. May send less than the whole buffer.
    template <Buffer B>
    [[nodiscard]] TransferWait<B> send(FdRef fd, B buffer, std::uint32_t flags = 0) const {
        return {"send", send_request(fd, flags), std::move(buffer)};
    }
    /// accept4(2) with SOCK_CLOEXEC.
    [[nodiscard]] AcceptWait accept(FdRef listener) const;
    /// connect(2).
    [[nodiscard]] ConnectWait
    connect(FdRef fd, const sockaddr_storage& address, socklen_t length) const;
    /// Waits until a descriptor is ready: `events` and the result are poll(2) bits. One shot.
    [[nodiscard]] PollWait poll(FdRef fd, std::uint32_t events) const;
    /// Waits for a child process to end and reaps it: waitid(2) on a pidfd, WEXITED.
    [[nodiscard]] ProcessWait wait_exit(FdRef pidfd) const;

    [[nodiscard]] SleepWait sleep_until(TimePoint deadline) const noexcept {
        return {*worker_, deadline};
    }
    [[nodiscard]] SleepWait sleep_for(Duration duration) const noexcept {
        return {*worker_, Clock::now() + duration};
    }
    [[nodiscard]] YieldWait yield() const noexcept { return {}; }

    /// Runs a blocking or long call on another thread and awaits its result. The call must not
    /// touch what belongs to this thread. A cancel stops it only while it waits for a thread; once
    /// begun, its result is delivered and the cancel stays pending.
    template <class F> [[nodiscard]] OffloadWait<F> offload(F call) const {
        return {*worker_, std::move(call)};
    }

private:
    static RingRequest read_request(FdRef fd, std::uint64_t offset) noexcept;
    static RingRequest write_request(FdRef fd, std::uint64_t offset) noexcept;
    static RingRequest recv_request(FdRef fd, std::uint32_t flags) noexcept;
    static RingRequest send_request(FdRef fd, std::uint32_t flags) noexcept;

    Worker* worker_;
};

} // namespace zsync
