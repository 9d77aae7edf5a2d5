#include <zsync/core/assert.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/stream.hpp>
#include <zsync/core/worker.hpp>

#include <linux/io_uring.h>

#include <cerrno>

namespace zsync {

RecvStreamState::~RecvStreamState() = default;

void RecvStreamState::arm_request() noexcept {
    OperationRequest request{.opcode = Opcode::recv, .fd = fd_, .flags = flags_};
    if (pool_->is_on_ring()) {
        request.sqe_flags = RequestFlags(IOSQE_BUFFER_SELECT);
        request.priority = multishot_ ? IORING_RECV_MULTISHOT : 0;
        request.buffer = pool_->group();
    } else {
        if (!pool_->take(handed_buffer_)) {
            starved_ = true;
            pool_->wait_for_buffer(*this);
            return;
        }
        request.address = reinterpret_cast<std::uintptr_t>(pool_->buffer(handed_buffer_));
        request.length = pool_->buffer_bytes();
    }
    forget(unarmed);
    worker_->queue().queue(request, target());
}

void RecvStreamState::queue(std::uint16_t buffer, std::uint32_t length) noexcept {
    pool_->filled(buffer) = {.length = length, .next = no_buffer};
    pool_->note_holder(buffer, nullptr);
    if (first_ == no_buffer) {
        first_ = buffer;
    } else {
        pool_->filled(last_).next = buffer;
    }
    last_ = buffer;
    note(has_queued);
}

void RecvStreamState::complete_otherwise(std::int32_t result, std::uint32_t flags) noexcept {
    if ((flags & IORING_CQE_F_MORE) == 0) {
        note(unarmed);
    }
    std::uint16_t buffer = no_buffer;
    if (!pool_->is_on_ring()) {
        buffer = std::exchange(handed_buffer_, no_buffer);
    } else if ((flags & IORING_CQE_F_BUFFER) != 0) {
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
    if (buffer == no_buffer && result != -ENOBUFS) {
        // A buffer that this stream was told of is the next one's.
        pool_->wake_starved();
    }
    if (abandoned_) [[unlikely]] {
        if ((attention_ & unarmed) != 0) {
            delete this;
        }
        return;
    }
    if (result <= 0) [[unlikely]] {
        if (result == 0) {
            note(has_ended);
        } else if (result == -EINTR) {
            if (is_awaited()) {
                arm_request();
            }
            return;
        } else if (result == -ENOBUFS) {
            ran_dry();
            return;
        } else {
            error_ = static_cast<std::uint16_t>(-result);
            note(has_failed);
        }
    }
    if (is_awaited()) {
        end_wait();
        resume_inline();
    }
}

std::string RecvStreamState::describe() const {
    return Ledger::stream(kind(), fd_, pool_->streams_made(kind()));
}

void RecvStreamState::stop() noexcept { worker_->queue().queue_cancel(target()); }

void RecvStreamState::end_wait() noexcept {
    forget(awaited | timed);
    disarm();
}

void RecvStreamState::ran_dry() noexcept {
    // Chunks may have gone back since the kernel looked.
    if (!pool_->is_dry()) {
        (void)buffer_is_free();
        return;
    }
    starved_ = true;
    pool_->wait_for_buffer(*this);
}

bool RecvStreamState::buffer_is_free() noexcept {
    starved_ = false;
    // Only for whom waits: the others ask when they come.
    if (!is_awaited()) {
        return false;
    }
    if (worker_ != nullptr) {
        arm_request();
    } else {
        end_wait();
        wake();
    }
    return true;
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
    if ((attention_ & unarmed) != 0) {
        delete this;
        return;
    }
    abandoned_ = true;
    note(has_ended); // nothing is usual from here on
    worker_->queue().redirect(target(), -1);
    worker_->queue().queue_cancel(target());
}

RecvStreamState::RecvStreamState(
    Worker* worker,
    int fd,
    std::uint32_t flags,
    std::shared_ptr<BufferPool> pool,
    const std::source_location& made
)
    : StandingRequest(worker, made), fd_(fd), pool_(std::move(pool)), worker_(worker),
      flags_(flags) {
    pool_->note_stream(kind(), made);
    int family = 0;
    socklen_t length = sizeof family;
    multishot_ = worker != nullptr &&
                 ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length) == 0 &&
                 worker->queue().has_multishot_recv(family);
}

RecvStream::RecvStream(
    Io io,
    FdRef socket,
    std::shared_ptr<BufferPool> pool,
    std::uint32_t flags,
    std::source_location made
) {
    Worker* worker = io.kind() == TaskKind::thread ? nullptr : &static_cast<Worker&>(io.executor());
    state_ = std::make_unique<RecvStreamState>(worker, socket.get(), flags, std::move(pool), made);
}

// Waits while the pool is dry. False when the wait ended otherwise.
bool RecvStreamState::take_buffer(
    PromiseBase& promise, const TimePoint* deadline, std::uint16_t& buffer
) noexcept {
    const RuntimeLock lock;
    while (!pool_->take(buffer)) {
        if (!begin(promise)) {
            failure_ = CoreError::canceled;
            return false;
        }
        note(awaited);
        if (!starved_) {
            starved_ = true;
            pool_->wait_for_buffer(*this);
        }
        if (deadline != nullptr) {
            TimedSuspension::arm(*deadline);
        }
        (void)park();
        if (failure_ != CoreError::os) {
            return false;
        }
    }
    return true;
}

bool RecvStreamState::receive_here(PromiseBase& promise, const TimePoint* deadline) noexcept {
    BufferPool& pool = *pool_;
    std::uint16_t buffer = 0;
    if (!take_buffer(promise, deadline, buffer)) {
        return false;
    }
    TransferWait recv(
        {.opcode = Opcode::recv, .fd = fd_, .flags = flags_},
        std::span(pool.buffer(buffer), pool.buffer_bytes())
    );
    if (deadline != nullptr) {
        (void)recv.until(*deadline);
    }
    (void)recv.suspend(promise);
    const Result<std::size_t> count = recv.await_resume().count;
    if (count && *count > 0) {
        queue(buffer, static_cast<std::uint32_t>(*count));
        return false;
    }
    {
        const RuntimeLock lock;
        pool.give_back(buffer);
    }
    if (count) {
        note(has_ended);
    } else if (count.error() == Error(CoreError::os)) {
        error_ = static_cast<std::uint16_t>(count.error().os_error());
        note(has_failed);
    } else {
        failure_ = static_cast<CoreError>(count.error().code());
    }
    return false;
}

bool RecvStreamState::suspend_otherwise(PromiseBase& promise, const TimePoint* deadline) noexcept {
    ZASSERT(!is_awaited(), "a stream is read by one task at a time");
    failure_ = CoreError::os;
    if ((attention_ & has_something) != 0) {
        return false;
    }
    if (worker_ == nullptr) {
        return receive_here(promise, deadline);
    }
    if (!begin(promise)) {
        failure_ = CoreError::canceled;
        return false;
    }
    note(awaited);
    if ((attention_ & unarmed) != 0 && !starved_) {
        arm_request();
    }
    if (deadline != nullptr) {
        note(timed);
        arm(*deadline);
    }
    return park();
}

Result<Chunk> RecvStreamState::take_otherwise() noexcept {
    if (failure_ != CoreError::os) {
        return fail(std::exchange(failure_, CoreError::os));
    }
    const std::uint16_t buffer = first_;
    if (buffer != no_buffer) {
        const BufferPool::Filled& filled = pool_->filled(buffer);
        first_ = filled.next;
        pool_->note_holder(buffer, TaskRecord::current());
        if (Ledger::traces()) [[unlikely]] {
            Ledger::chunk_taken(pool_->buffer(buffer), frame());
        }
        if (first_ == no_buffer) {
            forget(has_queued);
        }
        return Result<Chunk>(std::in_place, *pool_, buffer, filled.length);
    }
    if (error_ != 0) {
        forget(has_failed);
        return fail(os_error(std::exchange(error_, 0)));
    }
    return Result<Chunk>(std::in_place);
}

void RecvStreamState::interrupt(CoreError reason) noexcept {
    if (!is_awaited() || (reason == CoreError::canceled && !task().take_cancel())) {
        return;
    }
    end_wait();
    failure_ = reason;
    wake();
}

} // namespace zsync
