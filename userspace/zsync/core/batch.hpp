// Batch: many operations at once, and operations that follow each other.
#pragma once

#include <zsync/core/io.hpp>
#include <zsync/core/operation_queue.hpp>
#include <zsync/core/syscalls.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

namespace zsync {

class Batch;

/// What an operation of a batch works on: a descriptor that the caller owns, or the one that its
/// chain has opened or accepted (`Batch::opened`).
class BatchTarget {
public:
    struct Opened {};
    // NOLINTBEGIN(google-explicit-constructor): operations take either
    BatchTarget(const Fd& fd) noexcept : fd_(fd.get()) {}
    BatchTarget(FdRef fd) noexcept : fd_(fd.get()) {}
    BatchTarget(Opened /*tag*/) noexcept {}
    // NOLINTEND(google-explicit-constructor)
    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] bool is_opened() const noexcept { return fd_ == opened_by_chain; }

private:
    static constexpr int opened_by_chain = -2;
    int fd_ = opened_by_chain;
};

/// An operation for a batch, with the man page's name. Paths, buffers, addresses and results are
/// the caller's and stay where they are until the operation's completion has come.
class [[nodiscard]] BatchOperation {
public:
    /// openat(2); O_CLOEXEC is always set.
    static BatchOperation
    open(const char* path, int flags, mode_t mode = 0644, Directory from = {}) noexcept;
    /// accept4(2) with SOCK_CLOEXEC.
    static BatchOperation accept(FdRef listener) noexcept;
    /// connect(2).
    static BatchOperation connect(BatchTarget fd, const SocketAddress& address) noexcept;
    /// statx(2) of an open file.
    static BatchOperation
    stat(BatchTarget fd, struct statx& found, unsigned mask = STATX_BASIC_STATS) noexcept;
    /// statx(2) of a path; `flags` are AT_*.
    static BatchOperation stat(
        const char* path,
        struct statx& found,
        int flags = 0,
        unsigned mask = STATX_BASIC_STATS,
        Directory from = {}
    ) noexcept;
    /// read(2), pread(2). Fewer bytes than the buffer holds are a success.
    static BatchOperation read(
        BatchTarget fd, std::span<std::byte> buffer, std::uint64_t offset = Io::current_position
    ) noexcept;
    /// write(2), pwrite(2). May write less than the whole buffer.
    static BatchOperation write(
        BatchTarget fd,
        std::span<const std::byte> buffer,
        std::uint64_t offset = Io::current_position
    ) noexcept;
    /// recv(2); `flags` are MSG_*.
    static BatchOperation
    recv(BatchTarget fd, std::span<std::byte> buffer, std::uint32_t flags = 0) noexcept;
    /// send(2); `flags` are MSG_*, MSG_NOSIGNAL is always set.
    static BatchOperation
    send(BatchTarget fd, std::span<const std::byte> buffer, std::uint32_t flags = 0) noexcept;
    /// sendto(2): one datagram; many in a batch go to the kernel together. `to` stays where it is.
    static BatchOperation send_to(
        BatchTarget fd,
        std::span<const std::byte> datagram,
        const SocketAddress& to,
        std::uint32_t flags = 0
    ) noexcept;
    /// poll(2), one shot: the value is the events.
    static BatchOperation poll(BatchTarget fd, std::uint32_t events) noexcept;
    /// fsync(2); with `data_only` fdatasync(2).
    static BatchOperation fsync(BatchTarget fd, bool data_only = false) noexcept;
    /// renameat2(2).
    static BatchOperation rename(const char* from, const char* to, unsigned flags = 0) noexcept;
    /// unlinkat(2); with AT_REMOVEDIR in `flags` rmdir(2).
    static BatchOperation unlink(const char* path, int flags = 0, Directory from = {}) noexcept;
    /// mkdirat(2).
    static BatchOperation mkdir(const char* path, mode_t mode = 0755, Directory from = {}) noexcept;
    /// close(2) of what the chain has opened. Carried out whatever the operations before it gave,
    /// and after a cancel.
    static BatchOperation close(BatchTarget::Opened opened) noexcept;
    /// close(2). The descriptor is closed in any case, also when the operation is never begun.
    static BatchOperation close(Fd fd) noexcept;

private:
    friend class Batch;
    BatchOperation(const OperationRequest& request, bool on_opened, Fd owned = {}) noexcept
        : request_(request), owned_(std::move(owned)), on_opened_(on_opened) {}

    OperationRequest request_;
    Fd owned_;
    bool on_opened_;
};

/// What came of one operation of a batch.
struct BatchCompletion {
    std::uint64_t tag = 0; ///< as given to `add`
    Opcode operation{};
    /// Bytes moved, events, or 0. `canceled` when it was stopped, or not begun, because the batch
    /// was cancelled; ECANCELED when it was not begun because one before it in its chain failed.
    Result<std::uint32_t> value;
    /// With the last completion of a chain, and of `open` or `accept` alone: the descriptor, unless
    /// it was closed.
    Fd fd;
};

/// Storage for one operation of a batch.
class BatchSlot final : public CompletionHandler {
public:
    BatchSlot() noexcept = default;
    BatchSlot(const BatchSlot&) = delete;
    BatchSlot& operator=(const BatchSlot&) = delete;
    void complete(std::int32_t result, std::uint32_t flags) noexcept override;

private:
    friend class Batch;
    enum class State : std::uint8_t {
        unused,
        waiting, ///< for the one before it in its chain
        running,
        polling, ///< until its descriptor is ready, to run again
        done,
    };

    OperationRequest request_;
    Batch* batch_ = nullptr;
    BatchSlot* before_ = nullptr; ///< in the batch's list of live operations
    BatchSlot* behind_ = nullptr; ///< there, or in the list of free slots or of completions
    BatchSlot* link_ = nullptr;   ///< the next of its chain
    std::uint64_t tag_ = 0;
    Progress progress_;        ///< where plain system calls carry it out
    std::int32_t result_ = 0;  ///< until there is one: a descriptor to be waited for
    std::int32_t opened_ = -1; ///< what its chain has opened, or what it is to close
    std::uint16_t events_ = 0; ///< of that descriptor
    State state_ = State::unused;
    bool on_opened_ = false;
    bool interrupted_ = false;
    bool stopped_ = false; ///< ended by a cancel of the batch
};

/// Awaits to `Result<void>`; see `Batch::all` and `Batch::at_least`.
class BatchWait final : public TimedSuspension, public Awaitable {
public:
    BatchWait(Batch& batch, std::size_t completions, bool all) noexcept
        : batch_(batch), completions_(completions), all_(all) {}
    [[nodiscard]] bool await_ready() const noexcept;
    bool suspend(PromiseBase& promise) noexcept;
    [[nodiscard]] Result<void> await_resume() const noexcept {
        return failure_ != CoreError::os ? Result<void>(fail(failure_)) : Result<void>();
    }
    [[nodiscard]] BatchWait&& until(TimePoint deadline) && noexcept {
        due = deadline;
        has_deadline_ = true;
        return std::move(*this);
    }
    void interrupt(CoreError reason) noexcept override;
    void expired() noexcept override;
    [[nodiscard]] std::string_view kind() const noexcept override { return "batch"; }

private:
    friend class Batch;
    void stop_all() noexcept;
    bool suspend_here(PromiseBase& promise) noexcept;
    void end() noexcept;

    Batch& batch_;
    std::size_t completions_;
    bool all_;
    bool has_deadline_ = false;
    bool interrupted_ = false;            ///< everything has been asked to stop
    CoreError failure_ = CoreError::os;   ///< `os`: none
    CoreError interrupt_ = CoreError::os; ///< why it was interrupted
};

/// Awaits to nothing; see `Batch::cancel`.
class BatchCancel final : public TimedSuspension, public Awaitable {
public:
    explicit BatchCancel(Batch& batch) noexcept : batch_(batch) {}
    [[nodiscard]] bool await_ready() const noexcept;
    bool suspend(PromiseBase& promise) noexcept;
    void await_resume() const noexcept {}
    /// A cancel of the task stays pending: what is waited for ends soon.
    void interrupt(CoreError /*reason*/) noexcept override {}
    void expired() noexcept override;
    [[nodiscard]] std::string_view kind() const noexcept override { return "batch"; }

private:
    friend class Batch;
    void end() noexcept;
    Batch& batch_;
};

/// Many operations at once, in storage that the caller owns: nothing is allocated for them, and
/// those that are added or can go on in one turn of the worker go to the kernel in one system call.
/// After Zig's std.Io.Batch.
///
///     std::array<BatchSlot, 64> storage;
///     Batch batch(io, storage);
///     ZCO_CHECK(batch.add(1, BatchOperation::recv(socket, first)));
///     ZCO_CHECK(batch.add(2, BatchOperation::recv(other, second)));
///     ZCO_CHECK(co_await batch.at_least(1));
///     while (auto done = batch.next()) { use(done->tag, done->value); }
///     co_await batch.cancel(); // the other one; a value that it got all the same is in next()
///
/// A chain is carried out in order, each operation after the success of the one before it, and any
/// number of chains side by side:
///
///     using Op = BatchOperation;
///     ZCO_CHECK(batch.add(
///         n,
///         Op::open(path, O_RDONLY),
///         Op::stat(Batch::opened, found),
///         Op::read(Batch::opened, buffer, 0),
///         Op::close(Batch::opened)
///     ));
///     ZCO_CHECK(co_await batch.all());
///
/// Nothing is lost: each operation gives one completion, whatever happens, and what a stopped one
/// has moved or opened is in it. Descriptors in completions that nobody takes are closed.
///
/// Belongs to one task. When it ends, none of its operations may be on its way: `all` ends so on
/// every path, and so do `cancel` and `in_batch`. In a fiber or on a thread the destructor cancels
/// and waits; in a stackless coroutine it cannot, and aborts.
class Batch {
public:
    static constexpr BatchTarget::Opened opened{};

    /// `storage` holds that many operations at a time, from `add` until `next` has given the
    /// completion; it must outlive the batch.
    Batch(Io io, std::span<BatchSlot> storage) noexcept;
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;
    ~Batch();

    /// Adds an operation, or several as a chain. `tag` comes back with each completion. They begin
    /// at once, or, where plain system calls carry them out, when the batch is awaited.
    /// `limit_reached` when the storage is full, and nothing was added; `invalid_argument` for an
    /// operation on what no operation before it in the chain opens, for two that open, and for one
    /// behind a close.
    template <std::same_as<BatchOperation>... Operations>
    [[nodiscard]] Result<void> add(std::uint64_t tag, Operations... operations) noexcept {
        std::array<BatchOperation, sizeof...(Operations)> chain{std::move(operations)...};
        return add_chain(tag, chain);
    }
    /// The same for a chain whose length is not known when it is compiled; moves from it.
    [[nodiscard]] Result<void>
    add_chain(std::uint64_t tag, std::span<BatchOperation> chain) noexcept;

    /// Waits until every operation has ended. A cancel of the task, or a deadline (`.until`), stops
    /// the operations that are left and waits for their ends; then it gives `canceled` or
    /// `timed_out`. In any case nothing is on its way afterwards.
    [[nodiscard]] BatchWait all() noexcept { return {*this, 0, true}; }
    /// Waits until so many completions, or all there are to come, can be taken. A cancel or a
    /// deadline ends the wait alone: the operations go on.
    [[nodiscard]] BatchWait at_least(std::size_t completions) noexcept {
        return {*this, completions, false};
    }
    /// Takes a completion, in the order in which the operations ended.
    [[nodiscard]] std::optional<BatchCompletion> next() noexcept;
    /// Asks every operation to stop and waits for the ends of all; their completions can be taken
    /// afterwards. Not cut short by a cancel of the task, which stays pending.
    [[nodiscard]] BatchCancel cancel() noexcept { return BatchCancel(*this); }

    /// Operations that have not ended.
    [[nodiscard]] std::size_t in_flight() const noexcept { return live_; }
    /// Completions that can be taken.
    [[nodiscard]] std::size_t completions() const noexcept { return done_; }

private:
    friend class BatchSlot;
    friend class BatchWait;
    friend class BatchCancel;

    [[nodiscard]] static bool is_sound(std::span<const BatchOperation> chain) noexcept;
    void take_up(BatchSlot& slot, std::uint64_t tag, BatchOperation& operation) noexcept;
    void leave_live(BatchSlot& slot) noexcept;
    void start(BatchSlot& slot) noexcept;
    void wait_for(BatchSlot& slot, const OperationRequest& poll) noexcept;
    void completed(BatchSlot& slot, std::int32_t result) noexcept;
    void end(BatchSlot& slot, std::int32_t result, bool stopped) noexcept;
    void end_chain(BatchSlot& slot, std::int32_t result) noexcept;
    void stop() noexcept;
    void stop_again() noexcept;
    [[nodiscard]] TimePoint time_to_stop_again() const noexcept;
    void wake_waiter() noexcept;
    [[nodiscard]] bool is_enough(const BatchWait& wait) const noexcept {
        return live_ == 0 || (!wait.all_ && done_ >= wait.completions_);
    }

    /// \name Where plain system calls carry operations out
    /// \{
    [[nodiscard]] CoreError carry_on(BatchWait& wait, PromiseBase& promise) noexcept;
    void try_here(BatchSlot& slot) noexcept;
    void try_all() noexcept;
    [[nodiscard]] CoreError wait_here(BatchWait& wait, PromiseBase& promise) noexcept;
    [[nodiscard]] static CoreError sleep_here(TimePoint until, PromiseBase& promise) noexcept;
    void stop_here() noexcept;
    /// \}

    Io io_;
    Worker* worker_; ///< null on threads
    BatchSlot* free_ = nullptr;
    BatchSlot* live_first_ = nullptr;
    BatchSlot* live_last_ = nullptr;
    BatchSlot* done_first_ = nullptr;
    BatchSlot* done_last_ = nullptr;
    std::size_t free_count_;
    std::size_t live_ = 0;
    std::size_t done_ = 0;
    std::size_t stopped_ = 0; ///< operations that ended because of the last `stop`
    BatchWait* waiter_ = nullptr;
    BatchCancel* canceler_ = nullptr;
};

/// Awaits `body(batch, args...)` with a batch of its own, which is cancelled and waited for
/// afterwards, on every path.
template <class Body, class... Args>
auto in_batch(Io io, std::span<BatchSlot> storage, Body body, Args... args)
    -> decltype(body(std::declval<Batch&>(), std::move(args)...)) {
    Batch batch(io, storage);
    auto result = co_await body(batch, std::move(args)...);
    co_await batch.cancel();
    co_return result;
}

inline void BatchSlot::complete(std::int32_t result, std::uint32_t /*flags*/) noexcept {
    batch_->completed(*this, result);
}

inline bool BatchWait::await_ready() const noexcept { return batch_.is_enough(*this); }

inline bool BatchCancel::await_ready() const noexcept { return batch_.in_flight() == 0; }

} // namespace zsync
