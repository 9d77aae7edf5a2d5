#include <zsync/core/assert.hpp>
#include <zsync/core/ring.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/stream.hpp>
#include <zsync/core/worker.hpp>

#include <linux/io_uring.h>

#include <cerrno>

namespace zsync {

void RecvStreamState::arm() noexcept {
    OperationRequest request{.opcode = Opcode::recv, .fd = fd_, .flags = flags_};
    if (pool_->is_on_ring()) {
        request.sqe_flags = IOSQE_BUFFER_SELECT;
        request.priority = multishot_ ? IORING_RECV_MULTISHOT : 0;
        request.buffer = pool_->group();
    } else {
        if (!pool_->take(taken_)) {
            starved_ = true;
            pool_->wait_for_buffer(*this);
            return;
        }
        request.address = reinterpret_cast<std::uintptr_t>(pool_->buffer(taken_));
        request.length = pool_->buffer_bytes();
    }
    armed_ = true;
    worker_->queue().queue(request, *this);
}

void RecvStreamState::queue(std::uint16_t buffer, std::uint32_t length) noexcept {
    pool_->filled(buffer) = {.length = length, .next = no_buffer};
    if (first_ == no_buffer) {
        first_ = buffer;
    } else {
        pool_->filled(last_).next = buffer;
    }
    last_ = buffer;
}

void RecvStreamState::complete_otherwise(std::int32_t result, std::uint32_t flags) noexcept {
    armed_ = (flags & IORING_CQE_F_MORE) != 0;
    std::uint16_t buffer = std::exchange(taken_, no_buffer);
    if ((flags & IORING_CQE_F_BUFFER) != 0) {
        buffer = static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
        pool_->picked();
    }
    if (buffer != no_buffer) {
        if (result > 0 && !abandoned_) [[likely]] {
            queue(buffer, static_cast<std::uint32_t>(result));
        } else {
            pool_->give_back(buffer);
        }
    }
    if (abandoned_) [[unlikely]] {
        if (!armed_) {
            delete this;
        }
        return;
    }
    if (result <= 0) [[unlikely]] {
        if (result == 0) {
            ended_ = true;
        } else if (result == -EINTR) {
            if (waiter_ != nullptr) {
                arm();
            }
            return;
        } else if (result == -ENOBUFS) {
            ran_dry();
            return;
        } else {
            error_ = -result;
        }
    }
    if (waiter_ != nullptr) {
        RecvNext& waiter = *std::exchange(waiter_, nullptr);
        waiter.disarm();
        waiter.resume_inline();
    }
}

void RecvStreamState::ran_dry() noexcept {
    // Chunks may have gone back since the kernel looked.
    if (!pool_->is_dry()) {
        buffer_is_free();
        return;
    }
    starved_ = true;
    pool_->wait_for_buffer(*this);
}

void RecvStreamState::buffer_is_free() noexcept {
    starved_ = false;
    // Only for whom waits: the others ask when they come.
    if (waiter_ != nullptr) {
        arm();
    }
}

void RecvStreamState::abandon() noexcept {
    while (first_ != no_buffer) {
        const std::uint16_t buffer = first_;
        first_ = pool_->filled(buffer).next;
        pool_->give_back(buffer);
    }
    if (starved_) {
        pool_->forget(*this);
    }
    if (!armed_) {
        delete this;
        return;
    }
    abandoned_ = true;
    worker_->queue().queue_cancel(*this);
}

RecvStreamState::RecvStreamState(
    Worker* worker, int fd, std::uint32_t flags, std::shared_ptr<BufferPool> pool
)
    : pool_(std::move(pool)), worker_(worker), fd_(fd), flags_(flags) {
    // A multishot recv goes back to sleep when the socket tells that no byte is left. Only TCP
    // tells of an end there; on a unix socket of Linux 6.18 a shutdown right behind the last bytes
    // would never be seen.
    int domain = 0;
    socklen_t length = sizeof domain;
    const Ring* ring = worker != nullptr ? worker->ring() : nullptr;
    multishot_ = ring != nullptr && ring->options().allows(KernelFeature::multishot_recv) &&
                 ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 &&
                 (domain == AF_INET || domain == AF_INET6);
}

RecvStream::RecvStream(Io io, FdRef socket, std::shared_ptr<BufferPool> pool, std::uint32_t flags)
    : on_thread_(io.kind() == TaskKind::thread) {
    Worker* worker = on_thread_ ? nullptr : &static_cast<Worker&>(io.executor());
    state_ = std::make_unique<RecvStreamState>(worker, socket.get(), flags, std::move(pool));
}

bool RecvNext::receive_here(PromiseBase& promise) noexcept {
    RecvStreamState& state = *stream_.state_;
    BufferPool& pool = *state.pool_;
    std::uint16_t buffer = 0;
    {
        const RuntimeLock lock;
        if (!pool.take(buffer)) {
            state.error_ = ENOBUFS;
            return false;
        }
    }
    TransferWait recv(
        {.opcode = Opcode::recv, .fd = state.fd_, .flags = state.flags_},
        std::span(pool.buffer(buffer), pool.buffer_bytes())
    );
    if (has_deadline_) {
        (void)std::move(recv).until(due);
    }
    (void)recv.suspend(promise);
    const Result<std::size_t> count = recv.await_resume().count;
    if (count && *count > 0) {
        state.queue(buffer, static_cast<std::uint32_t>(*count));
        return false;
    }
    {
        const RuntimeLock lock;
        pool.give_back(buffer);
    }
    if (count) {
        state.ended_ = true;
    } else if (count.error() == Error(CoreError::os)) {
        state.error_ = count.error().os_error();
    } else {
        failure_ = static_cast<CoreError>(count.error().code());
    }
    return false;
}

bool RecvNext::suspend_otherwise(PromiseBase& promise) noexcept {
    if (stream_.on_thread_) {
        return receive_here(promise);
    }
    if (!begin(promise)) {
        failure_ = CoreError::canceled;
        return false;
    }
    RecvStreamState& state = *stream_.state_;
    state.waiter_ = this;
    if (!state.armed_ && !state.starved_) {
        state.arm();
    }
    if (has_deadline_) {
        arm(due);
    }
    return park();
}

Result<Chunk> RecvNext::resume_otherwise() noexcept {
    if (failure_ != CoreError::os) {
        return fail(failure_);
    }
    RecvStreamState& state = *stream_.state_;
    const std::uint16_t buffer = state.first_;
    if (buffer != no_buffer) {
        const BufferPool::Filled& filled = state.pool_->filled(buffer);
        state.first_ = filled.next;
        return Result<Chunk>(std::in_place, *state.pool_, buffer, filled.length);
    }
    if (state.error_ != 0) {
        return fail(os_error(std::exchange(state.error_, 0)));
    }
    return Result<Chunk>(std::in_place);
}

void RecvNext::interrupt(CoreError reason) noexcept {
    RecvStreamState& state = *stream_.state_;
    if (state.waiter_ != this || (reason == CoreError::canceled && !task().take_cancel())) {
        return;
    }
    state.waiter_ = nullptr;
    failure_ = reason;
    disarm();
    wake();
}

} // namespace zsync
