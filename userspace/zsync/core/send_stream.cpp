#include <zsync/core/assert.hpp>
#include <zsync/core/ring.hpp>
#include <zsync/core/send_stream.hpp>
#include <zsync/core/worker.hpp>

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <format>

namespace zsync {

struct SendStreamState::Message {
    msghdr header{};
    std::array<iovec, limits::send_stream_chunks_max> parts{};
};

SendStreamState::SendStreamState(
    Worker* worker, int fd, std::shared_ptr<BufferPool> pool, const std::source_location& made
)
    : StandingRequest(worker, made), submission_(worker != nullptr ? worker->ring() : nullptr),
      pool_(std::move(pool)), fd_(fd), usual_(submission_ != nullptr ? idle : never),
      worker_(worker) {}

SendStreamState::~SendStreamState() = default;

SendStream::SendStream(
    Io io, FdRef socket, std::shared_ptr<BufferPool> pool, std::source_location made
) {
    Worker* worker = io.kind() == TaskKind::thread ? nullptr : &static_cast<Worker&>(io.executor());
    state_ = std::make_unique<SendStreamState>(worker, socket.get(), std::move(pool), made);
}

std::string SendStreamState::describe() const {
    return std::format("send stream of descriptor {}", fd_);
}

void SendStreamState::stop() noexcept {
    // What is left in it is dropped with the error of the one that is stopped.
    worker_->queue().queue_cancel(target());
}

bool SendStreamState::push_otherwise(Chunk&& chunk) noexcept {
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
    if (!message_) {
        message_ = std::make_unique<Message>();
    }
    message_->parts[0] = {
        .iov_base = pool_->buffer(first_) + sent_, .iov_len = first_length_ - sent_
    };
    std::uint16_t at = first_;
    for (std::uint32_t n = 1; n < queued_; ++n) {
        at = pool_->filled(at).next;
        message_->parts[n] = {.iov_base = pool_->buffer(at), .iov_len = pool_->filled(at).length};
    }
    message_->header.msg_iov = message_->parts.data();
    message_->header.msg_iovlen = queued_;
    worker_->queue().queue(
        {
            .opcode = Opcode::sendmsg,
            .fd = fd_,
            .address = reinterpret_cast<std::uintptr_t>(&message_->header),
            .length = 1,
            .flags = MSG_NOSIGNAL | MSG_WAITALL,
        },
        target()
    );
}

// All but the whole of an only chunk.
void SendStreamState::complete_otherwise(std::int32_t result) noexcept {
    leave_usual();
    if (result == -EINTR) {
        send_queued();
    } else if (result <= 0) {
        error_ = result == 0 ? EPIPE : -result;
        while (!is_empty()) {
            drop_first();
        }
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
    } else if (is_empty() && error_ == 0 && submission_ != nullptr) {
        usual_ = idle;
    }
}

void SendStreamState::wake_waiter() noexcept {
    if (error_ != 0) {
        waiting_ = Chunk();
    } else if (waiting_) {
        const auto length = static_cast<std::uint32_t>(waiting_.size());
        push(waiting_.release(), length);
    } else if (!is_empty()) {
        return; // a flush
    }
    awaited_ = false;
    wake();
}

void SendStreamState::abandon() noexcept {
    waiting_ = Chunk();
    if (is_empty()) {
        delete this;
    } else {
        leave_usual();
        abandoned_ = true;
    }
}

bool SendStreamState::suspend(PromiseBase& promise) noexcept {
    if (error_ != 0) {
        waiting_ = Chunk();
        return false;
    }
    if (worker_ == nullptr) {
        return send_here(promise);
    }
    if (!begin(promise)) {
        waiting_ = Chunk();
        failure_ = CoreError::canceled;
        return false;
    }
    ZASSERT(!awaited_, "a stream has one writer at a time");
    leave_usual();
    awaited_ = true;
    return park();
}

bool SendStreamState::send_here(PromiseBase& promise) noexcept {
    const Chunk chunk = std::move(waiting_);
    for (auto rest = chunk.bytes(); !rest.empty();) {
        TransferWait send(
            {.opcode = Opcode::send, .fd = fd_, .flags = MSG_NOSIGNAL | MSG_WAITALL}, rest
        );
        (void)send.suspend(promise);
        const Result<std::size_t> count = send.await_resume().count;
        if (!count) {
            if (count.error() == Error(CoreError::os)) {
                error_ = count.error().os_error();
            } else {
                failure_ = static_cast<CoreError>(count.error().code());
            }
            break;
        }
        rest = rest.subspan(*count);
    }
    return false;
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
    waiting_ = Chunk();
    failure_ = reason;
    wake();
}

} // namespace zsync
