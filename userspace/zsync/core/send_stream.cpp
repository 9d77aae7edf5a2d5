#include <zsync/core/assert.hpp>
#include <zsync/core/operation.hpp>
#include <zsync/core/send_stream.hpp>
#include <zsync/core/worker.hpp>

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <optional>

namespace zsync {

/// What goes on for a stream that has ended: the task may close its descriptor, and its number is
/// soon another socket's.
struct SendStreamState::Afterwards final : TimedSuspension {
    explicit Afterwards(SendStreamState& of)
        : stream(of), socket(::fcntl(of.fd_, F_DUPFD_CLOEXEC, 0), Fd::OfTheRuntime()) {
        stream.fd_ = socket.get();
        stream.worker_->queue().redirect(stream.target(), stream.fd_);
        rest(limits::send_stream_linger_ms);
    }
    Afterwards(const Afterwards&) = delete;
    Afterwards& operator=(const Afterwards&) = delete;
    ~Afterwards() {
        if (armed()) {
            stream.worker_->remove_timer(*this);
        }
    }
    void rest(std::uint32_t ms) noexcept {
        stream.worker_->add_timer(*this, stream.worker_->now() + std::chrono::milliseconds(ms));
    }
    void interrupt(CoreError /*reason*/) noexcept override {}
    [[nodiscard]] std::string_view kind() const noexcept override { return "send stream"; }
    // A cancel may miss, as in `OperationWait::interrupt`. What is left then finds no descriptor.
    void expired() noexcept override {
        stream.fd_ = -1;
        stream.worker_->queue().queue_cancel(stream.target());
        rest(limits::cancel_again_ms);
    }

    SendStreamState& stream;
    Fd socket;
};

/// A pause of a stream whose socket had no memory for a moment: nothing was sent. A request that
/// ends with the socket is what the kernel has of the stream meanwhile.
struct SendStreamState::Rest final : TimedSuspension {
    explicit Rest(SendStreamState& of) : stream(of) {
        Worker& worker = *of.worker_;
        worker.queue().queue({.opcode = Opcode::poll, .fd = of.fd_}, of.target());
        worker.add_timer(
            *this, worker.now() + std::chrono::milliseconds(limits::send_stream_rest_ms)
        );
    }
    Rest(const Rest&) = delete;
    Rest& operator=(const Rest&) = delete;
    ~Rest() {
        if (armed()) {
            stream.worker_->remove_timer(*this);
        }
    }
    [[nodiscard]] bool is_over() const noexcept { return !armed(); }
    void interrupt(CoreError /*reason*/) noexcept override {}
    [[nodiscard]] std::string_view kind() const noexcept override { return "send stream"; }
    void expired() noexcept override { stream.worker_->queue().queue_cancel(stream.target()); }

    SendStreamState& stream;
};

/// What few streams need.
struct SendStreamState::Unusual {
    // For several chunks in one request.
    msghdr header{};
    std::array<iovec, limits::send_stream_chunks_max> parts{};
    std::optional<Afterwards> afterwards; ///< once abandoned with something in it
    std::optional<Rest> rest;
};

SendStreamState::SendStreamState(
    Worker* worker, int fd, std::shared_ptr<BufferPool> pool, const std::source_location& made
)
    : StandingRequest(worker, made),
      submission_(worker != nullptr ? worker->queue().submission() : nullptr),
      pool_(std::move(pool)), fd_(fd), usual_(submission_ != nullptr ? idle : never),
      worker_(worker) {
    pool_->note_stream(kind(), made);
}

SendStreamState::~SendStreamState() = default;

SendStream::SendStream(
    Io io, FdRef socket, std::shared_ptr<BufferPool> pool, std::source_location made
) {
    Worker* worker = io.kind() == TaskKind::thread ? nullptr : &static_cast<Worker&>(io.executor());
    state_ = std::make_unique<SendStreamState>(worker, socket.get(), std::move(pool), made);
}

std::string SendStreamState::describe() const {
    return Ledger::stream(kind(), fd_, pool_->streams_made(kind()));
}

void SendStreamState::stop() noexcept {
    // What is left in it is dropped with the error of the one that is stopped.
    worker_->queue().queue_cancel(target());
}

bool SendStreamState::push_otherwise(Chunk&& chunk) noexcept {
    waiting_ = Chunk();
    if (chunk.empty()) {
        return error_ == 0;
    }
    leave_usual();
    if (worker_ == nullptr || error_ != 0 || queued_ == limits::send_stream_chunks_max) {
        waiting_ = std::move(chunk);
        return false;
    }
    const auto length = static_cast<std::uint32_t>(chunk.size());
    push(chunk.release(), length);
    return true;
}

SendStreamState::Unusual& SendStreamState::unusual() {
    if (!unusual_) {
        unusual_ = std::make_unique<Unusual>();
    }
    return *unusual_;
}

void SendStreamState::leave_usual() noexcept {
    if (usual_ == never) {
        return;
    }
    queued_ = usual_ == idle ? 0 : 1;
    first_length_ = static_cast<std::uint32_t>(usual_);
    sent_ = 0;
    usual_ = never;
}

void SendStreamState::push(std::uint16_t buffer, std::uint32_t length) noexcept {
    if (queued_++ == 0) {
        first_ = buffer;
        first_length_ = length;
        send_first();
        return;
    }
    pool_->filled(buffer) = {.length = length, .next = no_buffer};
    pool_->filled(last_ == no_buffer ? first_ : last_).next = buffer;
    last_ = buffer;
}

void SendStreamState::send_first() noexcept {
    worker_->queue().queue(
        {
            .opcode = Opcode::send,
            .fd = fd_,
            .address = reinterpret_cast<std::uintptr_t>(pool_->buffer(first_) + sent_),
            .length = first_length_ - sent_,
            .flags = MSG_NOSIGNAL | MSG_WAITALL,
        },
        target()
    );
}

void SendStreamState::drop_first() noexcept {
    const std::uint16_t buffer = first_;
    if (last_ != no_buffer) {
        first_ = pool_->filled(buffer).next;
        first_length_ = pool_->filled(first_).length;
        if (first_ == last_) {
            last_ = no_buffer;
        }
    }
    sent_ = 0;
    --queued_;
    pool_->give_back(buffer);
}

void SendStreamState::drop_all() noexcept {
    while (!is_empty()) {
        drop_first();
    }
}

void SendStreamState::drop_sent(std::uint32_t bytes) noexcept {
    while (bytes != 0) {
        const std::uint32_t left = first_length_ - sent_;
        if (bytes < left) {
            sent_ += bytes;
            return;
        }
        bytes -= left;
        drop_first();
    }
}

// Several chunks in one request: a tenth of the processor time that a request for each takes.
void SendStreamState::send_queued() noexcept {
    if (queued_ == 1) {
        send_first();
        return;
    }
    auto& [header, parts, afterwards, rest] = unusual();
    parts[0] = {.iov_base = pool_->buffer(first_) + sent_, .iov_len = first_length_ - sent_};
    std::uint16_t at = first_;
    for (std::uint32_t n = 1; n < queued_; ++n) {
        at = pool_->filled(at).next;
        parts[n] = {.iov_base = pool_->buffer(at), .iov_len = pool_->filled(at).length};
    }
    header.msg_iov = parts.data();
    header.msg_iovlen = queued_;
    worker_->queue().queue(
        {
            .opcode = Opcode::sendmsg,
            .fd = fd_,
            .address = reinterpret_cast<std::uintptr_t>(&header),
            .length = 1,
            .flags = MSG_NOSIGNAL | MSG_WAITALL,
        },
        target()
    );
}

/// Whether what is queued is to be sent again, as it is.
bool SendStreamState::has_rested(std::int32_t result) noexcept {
    if (!unusual_ || !unusual_->rest) {
        return result == -EINTR;
    }
    // If it is not over, the socket has ended, of which a send tells more, or the stream is
    // stopped.
    // NOLINTNEXTLINE(bugprone-unchecked-optional-access): it is there, see above
    const bool goes_on = unusual_->rest->is_over() || result != -ECANCELED;
    unusual_->rest.reset();
    return goes_on;
}

// All but the whole of an only chunk.
void SendStreamState::complete_otherwise(std::int32_t result) noexcept {
    leave_usual();
    if (has_rested(result)) {
        send_queued();
    } else if (result == -ENOBUFS) {
        unusual().rest.emplace(*this);
    } else if (result <= 0) {
        error_ = result == 0 ? EPIPE : -result;
        drop_all();
    } else {
        drop_sent(static_cast<std::uint32_t>(result));
        if (!is_empty()) {
            send_queued();
        }
    }
    if (abandoned_ && is_empty()) {
        delete this;
    } else if (awaited_) {
        wake_waiter();
    } else if (is_empty() && error_ == 0 && submission_ != nullptr && !waiting_) {
        usual_ = idle;
    }
}

void SendStreamState::wake_waiter() noexcept {
    if (error_ == 0 && queued_ == limits::send_stream_chunks_max) {
        return; // nothing has gone out, or not all of a chunk
    }
    if (error_ == 0 && waiting_) {
        const auto length = static_cast<std::uint32_t>(waiting_.size());
        push(waiting_.release(), length);
    } else if (error_ == 0 && !is_empty()) {
        return; // a flush
    }
    awaited_ = false;
    wake();
}

void SendStreamState::abandon() noexcept {
    waiting_ = Chunk();
    leave_usual();
    if (worker_ == nullptr) {
        drop_all();
    }
    if (is_empty()) {
        delete this;
        return;
    }
    abandoned_ = true;
    unusual().afterwards.emplace(*this);
}

bool SendStreamState::suspend(PromiseBase& promise) noexcept {
    if (error_ != 0) {
        return false;
    }
    if (worker_ == nullptr) {
        return send_here(promise);
    }
    if (!begin(promise)) {
        failure_ = CoreError::canceled;
        return false;
    }
    ZASSERT(!awaited_, "a stream has one writer at a time");
    leave_usual();
    awaited_ = true;
    return park();
}

// On a thread: first what is left of a chunk whose send was cut short.
bool SendStreamState::send_here(PromiseBase& promise) noexcept {
    const bool sends = static_cast<bool>(waiting_);
    while ((queued_ != 0 || waiting_) && send_some_here(promise)) {
    }
    if (failure_ == CoreError::canceled && sends && !waiting_) {
        // The chunk is the stream's: it has not been stopped, only its sender.
        promise.task->recancel();
        failure_ = CoreError::os;
    }
    return false;
}

// False when that failed.
bool SendStreamState::send_some_here(PromiseBase& promise) noexcept {
    const std::span<std::byte> rest =
        queued_ != 0 ? std::span(pool_->buffer(first_) + sent_, first_length_ - sent_)
                     : waiting_.bytes();
    TransferWait send(
        {.opcode = Opcode::send, .fd = fd_, .flags = MSG_NOSIGNAL | MSG_WAITALL}, rest
    );
    (void)send.suspend(promise);
    const Result<std::size_t> count = send.await_resume().count;
    if (!count && count.error().os_error() == ENOBUFS) {
        SleepWait sleep(
            promise.task->executor().now() + std::chrono::milliseconds(limits::send_stream_rest_ms)
        );
        (void)sleep.suspend(promise);
        const Result<void> rested = sleep.await_resume();
        failure_ = rested ? CoreError::os : static_cast<CoreError>(rested.error().code());
        return static_cast<bool>(rested);
    }
    if (!count && count.error() != Error(CoreError::os)) {
        failure_ = static_cast<CoreError>(count.error().code());
        return false;
    }
    if (!count || *count == 0) {
        error_ = count ? EPIPE : count.error().os_error();
        drop_all();
        return false;
    }
    if (queued_ == 0) {
        first_length_ = static_cast<std::uint32_t>(waiting_.size());
        first_ = waiting_.release();
        queued_ = 1;
    }
    drop_sent(static_cast<std::uint32_t>(*count));
    return true;
}

Result<void> SendStreamState::outcome() noexcept {
    if (failure_ != CoreError::os) {
        return fail(std::exchange(failure_, CoreError::os));
    }
    if (error_ != 0) {
        return fail(os_error(error_));
    }
    return {};
}

void SendStreamState::interrupt(CoreError reason) noexcept {
    if (!awaited_ || (reason == CoreError::canceled && !task().take_cancel())) {
        return;
    }
    awaited_ = false;
    failure_ = reason;
    wake();
}

} // namespace zsync
