// Operations: what can be awaited of the system, as values.
#pragma once

#include <zsync/core/bytes.hpp>
#include <zsync/core/executor.hpp>
#include <zsync/core/fd.hpp>
#include <zsync/core/operation_request.hpp>
#include <zsync/core/result.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/suspension.hpp>

#include <sys/socket.h>
#include <sys/wait.h>

#include <cstdint>
#include <memory>

namespace zsync {

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

/// One request to the system, awaited. Interrupting it asks the kernel to stop it and then waits
/// for the kernel's own last word, so bytes that were moved are always reported.
class OperationWait : public TimedSuspension, public Awaitable {
public:
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    bool suspend(PromiseBase& promise) noexcept;

    /// Past `deadline` the operation is stopped and gives `timed_out`.
    template <class Self>
    [[nodiscard]] Self&& until(this Self&& self, TimePoint deadline) noexcept {
        OperationWait& operation = self;
        operation.due = deadline;
        operation.has_deadline_ = true;
        return std::forward<Self>(self);
    }

    void interrupt(CoreError reason) noexcept final;
    [[nodiscard]] std::string_view kind() const noexcept final { return name_of(request_.opcode); }

    /// \name For executors
    /// \{
    void complete(std::int32_t result) noexcept;
    /// It was carried out on the task's own thread, as by `carry_out`. Under the runtime lock.
    void end_here(std::int32_t result) noexcept;
    /// It was not, for this reason.
    void end_here_with(CoreError reason) noexcept;
    [[nodiscard]] const OperationRequest& request() const noexcept { return request_; }
    /// `due` is when it is to be interrupted with `timed_out`.
    [[nodiscard]] bool has_deadline() const noexcept { return has_deadline_; }
    [[nodiscard]] bool is_interrupted() const noexcept { return interrupted_; }
    [[nodiscard]] TaskRecord& owner() const noexcept { return task(); }
    /// \}

protected:
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): the result is set when there is one
    explicit OperationWait(const OperationRequest& request) noexcept : request_(request) {}
    ~OperationWait() = default;

    /// The request's result: a number >= 0, `canceled`, `timed_out`, or the system's error.
    [[nodiscard]] Result<std::int32_t> outcome() const noexcept {
        if (result_ >= 0) [[likely]] {
            return result_;
        }
        return fail(failure());
    }
    [[nodiscard]] std::int32_t result() const noexcept { return result_; }
    [[nodiscard]] Error failure() const noexcept;
    /// A descriptor that this operation has opened, by this await.
    [[nodiscard]] Fd opened(int fd) const noexcept;
    [[nodiscard]] OperationRequest& request_for_change() noexcept { return request_; }

private:
    friend struct DebugLayout;
    bool suspend_thread(PromiseBase& promise) noexcept;
    [[nodiscard]] bool has_ended() noexcept;
    void find_who_ended_it() noexcept;

    OperationRequest request_;
    std::int32_t result_;      ///< set when it completes
    bool interrupted_ = false; ///< the end has been asked for
    bool has_deadline_ = false;
    bool polling_ = false; ///< waits until the descriptor is ready, to try once more
    CoreError ended_by_ = CoreError::os;
};

/// The result of moving bytes, and the buffer that was lent for it.
template <Buffer B> struct Transfer {
    Result<std::size_t> count; ///< bytes moved; 0 from a read or recv is the end
    B buffer;
};

/// Awaits to `Transfer<B>`.
template <Buffer B> class TransferWait final : public OperationWait {
public:
    TransferWait(const OperationRequest& request, B buffer) noexcept
        : OperationWait(request), buffer_(std::move(buffer)) {
        OperationRequest& moved = request_for_change();
        moved.address = reinterpret_cast<std::uintptr_t>(std::data(buffer_));
        moved.length = length_of(std::size(buffer_));
    }
    [[nodiscard]] Transfer<B> await_resume() noexcept {
        if (result() >= 0) [[likely]] {
            return {.count = static_cast<std::size_t>(result()), .buffer = std::move(buffer_)};
        }
        return {.count = fail(failure()), .buffer = std::move(buffer_)};
    }

private:
    B buffer_;
};

/// Awaits to `Result<Fd>`.
class FdWait final : public OperationWait {
public:
    // NOLINTNEXTLINE(google-explicit-constructor): an operation is its request
    FdWait(const OperationRequest& request) noexcept : OperationWait(request) {}
    [[nodiscard]] Result<Fd> await_resume() const noexcept {
        return outcome().transform([this](std::int32_t fd) { return opened(fd); });
    }
};

/// Awaits to `Result<void>`.
class PlainWait final : public OperationWait {
public:
    // NOLINTNEXTLINE(google-explicit-constructor): an operation is its request
    PlainWait(const OperationRequest& request) noexcept : OperationWait(request) {}
    [[nodiscard]] Result<void> await_resume() const noexcept {
        if (result() >= 0) [[likely]] {
            return {};
        }
        return fail(failure());
    }
};

/// Awaits to `Result<std::uint32_t>`.
class NumberWait final : public OperationWait {
public:
    // NOLINTNEXTLINE(google-explicit-constructor): an operation is its request
    NumberWait(const OperationRequest& request) noexcept : OperationWait(request) {}
    [[nodiscard]] Result<std::uint32_t> await_resume() const noexcept {
        return outcome().transform([](std::int32_t number) {
            return static_cast<std::uint32_t>(number);
        });
    }
};

/// A socket address of any family.
struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t length = 0;
};

/// Awaits to `Result<void>`: connect, bind.
class AddressWait final : public OperationWait {
public:
    AddressWait(const OperationRequest& request, const SocketAddress& address) noexcept
        : OperationWait(request), address_(address.storage) {
        OperationRequest& moved = request_for_change();
        moved.address = reinterpret_cast<std::uintptr_t>(&address_);
        moved.offset = address.length;
    }
    [[nodiscard]] Result<void> await_resume() const noexcept {
        if (result() >= 0) [[likely]] {
            return {};
        }
        return fail(failure());
    }

private:
    sockaddr_storage address_;
};

/// How a child process ended.
struct ExitStatus {
    int code = 0;   ///< exit code, or -1 when a signal ended it
    int signal = 0; ///< the signal that ended it, or 0
};

/// Awaits to `Result<ExitStatus>`.
class ProcessWait final : public OperationWait {
public:
    explicit ProcessWait(const OperationRequest& request) noexcept
        : OperationWait(request), info_(std::make_unique<siginfo_t>()) {
        request_for_change().offset = reinterpret_cast<std::uintptr_t>(info_.get());
    }
    [[nodiscard]] Result<ExitStatus> await_resume() const noexcept;

private:
    std::unique_ptr<siginfo_t> info_;
};

/// Awaits to `Result<void>`: success when the time has come, else `canceled`.
class SleepWait final : public TimedSuspension, public Awaitable {
public:
    explicit SleepWait(TimePoint deadline) noexcept { due = deadline; }

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    bool suspend(PromiseBase& promise) noexcept;
    [[nodiscard]] Result<void> await_resume() const noexcept {
        return failure_ != CoreError::os ? Result<void>(fail(failure_)) : Result<void>();
    }
    void interrupt(CoreError reason) noexcept override;
    void expired() noexcept override { wake(); }
    [[nodiscard]] std::string_view kind() const noexcept override { return "sleep"; }

private:
    CoreError failure_ = CoreError::os; ///< `os`: none
};

/// Lets other tasks run. Awaits to `Result<void>`, so it is a cancellation point too.
class YieldWait final : public Awaitable {
public:
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    bool suspend(PromiseBase& promise) noexcept {
        // Is in `promise` too, where it would be known two reads later.
        TaskRecord& record = *TaskRecord::current();
        if (record.resumption_ != Resumption::of_coroutine || record.cancel_pending_) [[unlikely]] {
            return suspend_otherwise(promise);
        }
        record.leaf_ = &promise;
        record.executor_->make_ready(record);
        return true;
    }
    [[nodiscard]] Result<void> await_resume() const noexcept {
        return canceled_ ? Result<void>(fail(CoreError::canceled)) : Result<void>();
    }

private:
    bool suspend_otherwise(PromiseBase& promise) noexcept;

    bool canceled_ = false;
};

} // namespace zsync
