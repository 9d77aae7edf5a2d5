#include <zsync/core/assert.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/stream.hpp>
#include <zsync/core/worker.hpp>

#include <linux/io_uring.h>

#include <cerrno>

namespace zsync {

void RecvStreamState::arm() noexcept {
    OperationRequest request{.opcode = IORING_OP_RECV, .fd = fd_, .flags = flags_};
    if (pool_->is_on_ring()) {
        request.sqe_flags = IOSQE_BUFFER_SELECT;
        request.priority = IORING_RECV_MULTISHOT;
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
    worker_.queue().queue(request, *this);
}

void RecvStreamState::queue(std::uint16_t buffer, std::uint32_t length) noexcept {
    pool_->filled(buffer) = {.length = length, .next = none};
    if (first_ == none) {
        first_ = buffer;
    } else {
        pool_->filled(last_).next = buffer;
    }
    last_ = buffer;
}

void RecvStreamState::complete(std::int32_t result, std::uint32_t flags) noexcept {
    armed_ = (flags & IORING_CQE_F_MORE) != 0;
    std::uint16_t buffer = std::exchange(taken_, none);
    if ((flags & IORING_CQE_F_BUFFER) != 0) {
        buffer = static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
        pool_->picked();
    }
    if (buffer != none) {
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
    while (first_ != none) {
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
    worker_.queue().queue_cancel(*this);
}

RecvStream::RecvStream(Io io, FdRef socket, std::shared_ptr<BufferPool> pool, std::uint32_t flags)
    : fd_(socket.get()), flags_(flags), on_thread_(io.kind() == TaskKind::thread) {
    if (on_thread_) {
        pool_ = std::move(pool);
    } else {
        state_ = std::make_unique<RecvStreamState>(
            static_cast<Worker&>(io.executor()), fd_, flags, std::move(pool)
        );
    }
}

bool RecvNext::await_ready() const noexcept {
    return stream_.state_ != nullptr && stream_.state_->has_something();
}

bool RecvNext::suspend(PromiseBase& promise) noexcept {
    if (stream_.on_thread_) {
        return receive_here(promise);
    }
    if (!begin(promise)) {
        failure_ = Error(CoreError::canceled);
        return false;
    }
    RecvStreamState& state = *stream_.state_;
    ZASSERT(state.waiter_ == nullptr, "a stream has one reader at a time");
    state.waiter_ = this;
    if (!state.armed_ && !state.starved_) [[unlikely]] {
        state.arm();
    }
    if (wait_until_) [[unlikely]] {
        arm(*wait_until_);
    }
    return park();
}

bool RecvNext::receive_here(PromiseBase& promise) noexcept {
    BufferPool& pool = *stream_.pool_;
    std::uint16_t buffer = 0;
    {
        const RuntimeLock lock;
        if (!pool.take(buffer)) {
            failure_ = os_error(ENOBUFS);
            return false;
        }
    }
    TransferWait recv(
        "recv stream",
        {.opcode = IORING_OP_RECV, .fd = stream_.fd_, .flags = stream_.flags_},
        std::span(pool.buffer(buffer), pool.buffer_bytes())
    );
    if (wait_until_) {
        (void)std::move(recv).until(*wait_until_);
    }
    (void)recv.suspend(promise);
    const Result<std::size_t> count = recv.await_resume().count;
    received_ = Chunk(pool, buffer, static_cast<std::uint32_t>(count.value_or(0)));
    if (!count) {
        failure_ = count.error();
    }
    return false;
}

void RecvNext::interrupt(CoreError reason) noexcept {
    RecvStreamState& state = *stream_.state_;
    if (state.waiter_ != this || (reason == CoreError::canceled && !task().take_cancel())) {
        return;
    }
    state.waiter_ = nullptr;
    failure_ = Error(reason);
    disarm();
    wake();
}

Result<Chunk> RecvNext::await_resume() noexcept {
    if (failure_) [[unlikely]] {
        return fail(*failure_);
    }
    if (stream_.on_thread_) [[unlikely]] {
        return std::move(received_);
    }
    RecvStreamState& state = *stream_.state_;
    if (state.first_ != RecvStreamState::none) [[likely]] {
        const std::uint16_t buffer = state.first_;
        const BufferPool::Filled& filled = state.pool_->filled(buffer);
        state.first_ = filled.next;
        return Chunk(*state.pool_, buffer, filled.length);
    }
    if (state.error_ != 0) {
        return fail(os_error(std::exchange(state.error_, 0)));
    }
    return Chunk();
}

} // namespace zsync
