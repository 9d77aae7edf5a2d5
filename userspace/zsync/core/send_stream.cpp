#include <zsync/core/assert.hpp>
#include <zsync/core/send_stream.hpp>
#include <zsync/core/worker.hpp>

#include <cerrno>

namespace zsync {

SendStreamState::SendStreamState(Worker* worker, int fd, std::shared_ptr<BufferPool> pool)
    : pool_(std::move(pool)), ring_(worker != nullptr ? worker->ring() : nullptr), worker_(worker),
      fd_(fd) {}

SendStream::SendStream(Io io, FdRef socket, std::shared_ptr<BufferPool> pool) {
    Worker* worker = io.kind() == TaskKind::thread ? nullptr : &static_cast<Worker&>(io.executor());
    state_ = std::make_unique<SendStreamState>(worker, socket.get(), std::move(pool));
}

void SendStreamState::push_behind(std::uint16_t buffer) noexcept {
    pool_->filled(last_).next = buffer;
    last_ = buffer;
}

void SendStreamState::drop_first() noexcept {
    const std::uint16_t buffer = first_;
    first_ = pool_->filled(buffer).next;
    sent_ = 0;
    --queued_;
    pool_->give_back(buffer);
}

// All but the whole of an only chunk.
void SendStreamState::complete_otherwise(std::int32_t result) noexcept {
    if (result == -EINTR) {
        send_first();
    } else if (result <= 0) {
        error_ = result == 0 ? EPIPE : -result;
        while (first_ != no_buffer) {
            drop_first();
        }
    } else {
        sent_ += static_cast<std::uint32_t>(result);
        if (sent_ == pool_->filled(first_).length) {
            drop_first();
        }
        if (first_ != no_buffer) {
            send_first();
        }
    }
    if (abandoned_ && first_ == no_buffer) {
        delete this;
    } else if (waiter_ != nullptr) {
        wake_waiter();
    }
}

void SendStreamState::wake_waiter() noexcept {
    if (error_ != 0) {
        waiting_ = Chunk();
    } else if (waiting_) {
        push(std::move(waiting_));
    } else if (queued_ != 0) {
        return; // a flush
    }
    std::exchange(waiter_, nullptr)->wake();
}

void SendStreamState::abandon() noexcept {
    waiting_ = Chunk();
    if (queued_ == 0) {
        delete this;
    } else {
        abandoned_ = true;
    }
}

bool SendWait::suspend(PromiseBase& promise) noexcept {
    if (state_.error_ != 0) {
        state_.waiting_ = Chunk();
        return false;
    }
    if (state_.worker_ == nullptr) {
        return send_here(promise);
    }
    if (!begin(promise)) {
        state_.waiting_ = Chunk();
        failure_ = CoreError::canceled;
        return false;
    }
    ZASSERT(state_.waiter_ == nullptr, "a stream has one writer at a time");
    state_.waiter_ = this;
    return park();
}

bool SendWait::send_here(PromiseBase& promise) noexcept {
    const Chunk chunk = std::move(state_.waiting_);
    for (auto rest = chunk.bytes(); !rest.empty();) {
        TransferWait send(
            {.opcode = Opcode::send, .fd = state_.fd_, .flags = MSG_NOSIGNAL | MSG_WAITALL}, rest
        );
        (void)send.suspend(promise);
        const Result<std::size_t> count = send.await_resume().count;
        if (!count) {
            if (count.error() == Error(CoreError::os)) {
                state_.error_ = count.error().os_error();
            } else {
                failure_ = static_cast<CoreError>(count.error().code());
            }
            break;
        }
        rest = rest.subspan(*count);
    }
    return false;
}

Result<void> SendWait::outcome() const noexcept {
    if (failure_ != CoreError::os) {
        return fail(failure_);
    }
    if (state_.error_ != 0) {
        return fail(os_error(state_.error_));
    }
    return {};
}

void SendWait::interrupt(CoreError reason) noexcept {
    if (state_.waiter_ != this || (reason == CoreError::canceled && !task().take_cancel())) {
        return;
    }
    state_.waiter_ = nullptr;
    state_.waiting_ = Chunk();
    failure_ = reason;
    wake();
}

} // namespace zsync
