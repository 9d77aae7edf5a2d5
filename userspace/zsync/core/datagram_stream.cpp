#include <zsync/core/assert.hpp>
#include <zsync/core/datagram_stream.hpp>
#include <zsync/core/operation_queue.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/worker.hpp>

#include <linux/io_uring.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace zsync {
namespace {

/// The segment size in control messages, or 0.
std::uint32_t segment_bytes_in(std::span<const std::byte> control) noexcept {
    msghdr header{};
    header.msg_control = const_cast<std::byte*>(control.data());
    header.msg_controllen = control.size();
    for (const cmsghdr* at = CMSG_FIRSTHDR(&header); at != nullptr;
         at = CMSG_NXTHDR(&header, const_cast<cmsghdr*>(at))) {
        if (at->cmsg_level == SOL_UDP && at->cmsg_type == UDP_GRO) {
            int bytes = 0;
            std::memcpy(&bytes, CMSG_DATA(at), sizeof bytes);
            return static_cast<std::uint32_t>(bytes);
        }
    }
    return 0;
}

} // namespace

static_assert(
    DatagramStream::overhead_bytes ==
    sizeof(io_uring_recvmsg_out) + sizeof(sockaddr_storage) + CMSG_SPACE(sizeof(int))
);

DatagramStreamState::DatagramStreamState(
    Worker* worker, int fd, std::shared_ptr<BufferPool> pool, const std::source_location& made
)
    : StandingRequest(worker, made), pool_(std::move(pool)), worker_(worker), fd_(fd) {
    pool_->note_stream("datagram stream", made);
    // Else one at a time, each buffer for the bytes alone.
    multishot_ = worker != nullptr && pool_->is_on_ring() &&
                 worker->queue().has_multishot_recvmsg() &&
                 pool_->buffer_bytes() > DatagramStream::overhead_bytes;
}

DatagramStream::DatagramStream(
    Io io, FdRef socket, std::shared_ptr<BufferPool> pool, std::source_location made
) {
    Worker* worker = io.kind() == TaskKind::thread ? nullptr : &static_cast<Worker&>(io.executor());
    state_ = std::make_unique<DatagramStreamState>(worker, socket.get(), std::move(pool), made);
}

std::string DatagramStreamState::describe() const {
    return Ledger::stream("datagram stream", fd_, pool_->streams_made("datagram stream"));
}

void DatagramStreamState::stop() noexcept { worker_->queue().queue_cancel(*this); }

// What a request is told of where to put things.
void DatagramStreamState::lend(OperationRequest& request) noexcept {
    message_ = {};
    message_.msg_namelen = sizeof from_;
    message_.msg_controllen = sizeof control_;
    if (!multishot_) {
        message_.msg_name = &from_;
        message_.msg_control = control_;
        message_.msg_iov = &part_;
        message_.msg_iovlen = 1;
    }
    request.address = reinterpret_cast<std::uintptr_t>(&message_);
    request.length = 1;
}

void DatagramStreamState::arm() noexcept {
    OperationRequest request{.opcode = Opcode::recvmsg, .fd = fd_};
    if (pool_->is_on_ring()) {
        request.sqe_flags = RequestFlags(IOSQE_BUFFER_SELECT);
        request.priority = multishot_ ? IORING_RECV_MULTISHOT : 0;
        request.buffer = pool_->group();
        part_ = {.iov_base = nullptr, .iov_len = pool_->buffer_bytes()};
    } else {
        if (!pool_->take(taken_)) {
            starve();
            return;
        }
        part_ = {.iov_base = pool_->buffer(taken_), .iov_len = pool_->buffer_bytes()};
    }
    lend(request);
    armed_ = true;
    worker_->queue().queue(request, *this);
}

void DatagramStreamState::starve() noexcept {
    starved_ = true;
    pool_->wait_for_buffer(*this);
}

bool DatagramStreamState::buffer_is_free() noexcept {
    starved_ = false;
    // Only for whom waits: the others ask when they come.
    if (waiter_ == nullptr || armed_) {
        return false;
    }
    if (worker_ != nullptr) {
        arm();
    } else {
        wake_waiter();
    }
    return true;
}

void DatagramStreamState::queue(std::uint16_t buffer, std::uint32_t length) noexcept {
    pool_->filled(buffer) = {.length = length, .next = no_buffer};
    pool_->note_holder(buffer, nullptr);
    (first_ == no_buffer ? first_ : pool_->filled(last_).next) = buffer;
    last_ = buffer;
}

void DatagramStreamState::complete(std::int32_t result, std::uint32_t flags) noexcept {
    armed_ = (flags & IORING_CQE_F_MORE) != 0;
    std::uint16_t buffer = std::exchange(taken_, no_buffer);
    if ((flags & IORING_CQE_F_BUFFER) != 0) {
        buffer = static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
        pool_->picked();
    }
    if (buffer != no_buffer) {
        if (result >= 0 && !abandoned_) [[likely]] {
            queue(buffer, static_cast<std::uint32_t>(result));
        } else {
            pool_->give_back(buffer);
        }
    }
    if (abandoned_) {
        if (!armed_) {
            delete this;
        }
        return;
    }
    if (result == -ENOBUFS && pool_->is_on_ring()) {
        // Datagrams may have gone back since the kernel looked.
        if (pool_->is_dry()) {
            starve();
        } else {
            (void)buffer_is_free();
        }
        return;
    }
    if (result == -EINTR) {
        (void)buffer_is_free();
        return;
    }
    if (result < 0) {
        error_ = -result;
    }
    wake_waiter();
}

// It runs in its turn, not at once: what else has arrived is there by then.
void DatagramStreamState::wake_waiter() noexcept {
    if (waiter_ != nullptr) {
        DatagramNext& waiter = *std::exchange(waiter_, nullptr);
        waiter.disarm();
        waiter.wake();
    }
}

ReceivedDatagram DatagramStreamState::take() noexcept {
    ReceivedDatagram datagram;
    const std::uint16_t buffer = first_;
    const BufferPool::Filled filled = pool_->filled(buffer);
    first_ = filled.next;
    pool_->note_holder(buffer, TaskRecord::current());
    datagram.chunk_ = Chunk(*pool_, buffer, filled.length);
    if (multishot_) {
        tell_of(datagram);
    } else {
        describe_single(datagram);
    }
    return datagram;
}

// io_uring_prep_recvmsg_multishot(3): a header, the address, control messages, the bytes.
void DatagramStreamState::tell_of(ReceivedDatagram& datagram) const noexcept {
    const std::span<const std::byte> all = datagram.chunk_.bytes();
    io_uring_recvmsg_out header{};
    std::memcpy(&header, all.data(), sizeof header);
    const std::size_t control = sizeof header + message_.msg_namelen;
    datagram.offset_ = static_cast<std::uint32_t>(control + message_.msg_controllen);
    ZASSERT(datagram.offset_ <= all.size(), "the kernel gives what it was asked for");
    datagram.from_.length = std::min<socklen_t>(header.namelen, sizeof from_);
    std::memcpy(&datagram.from_.storage, all.data() + sizeof header, datagram.from_.length);
    datagram.truncated_ = (header.flags & MSG_TRUNC) != 0;
    datagram.segment_bytes_ = segment_bytes_in(
        all.subspan(control, std::min<std::size_t>(header.controllen, message_.msg_controllen))
    );
}

void DatagramStreamState::describe_single(ReceivedDatagram& datagram) const noexcept {
    datagram.from_.length = std::min<socklen_t>(message_.msg_namelen, sizeof from_);
    std::memcpy(&datagram.from_.storage, &from_, datagram.from_.length);
    datagram.truncated_ = (message_.msg_flags & MSG_TRUNC) != 0;
    datagram.segment_bytes_ = segment_bytes_in(std::span(control_, message_.msg_controllen));
}

void DatagramStreamState::abandon() noexcept {
    const RuntimeLock lock;
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
    worker_->queue().redirect(*this, -1);
    worker_->queue().queue_cancel(*this);
}

bool DatagramNext::suspend(PromiseBase& promise) noexcept {
    if (state_.worker_ == nullptr) {
        return receive_here(promise);
    }
    if (!begin(promise)) {
        failure_ = CoreError::canceled;
        return false;
    }
    ZASSERT(state_.waiter_ == nullptr, "a stream has one reader at a time");
    state_.waiter_ = this;
    if (!state_.armed_ && !state_.starved_) {
        state_.arm();
    }
    if (has_deadline_) {
        arm(due);
    }
    return park();
}

Result<ReceivedDatagram> DatagramNext::await_resume() noexcept {
    if (failure_ != CoreError::os) {
        return fail(failure_);
    }
    if (state_.first_ != no_buffer) {
        return state_.take();
    }
    return fail(os_error(std::exchange(state_.error_, 0)));
}

void DatagramNext::interrupt(CoreError reason) noexcept {
    if (state_.waiter_ != this || (reason == CoreError::canceled && !task().take_cancel())) {
        return;
    }
    state_.waiter_ = nullptr;
    failure_ = reason;
    disarm();
    wake();
}

// On a thread: waits while the pool is dry. False when the wait ended otherwise.
bool DatagramNext::take_buffer(PromiseBase& promise, std::uint16_t& buffer) noexcept {
    const RuntimeLock lock;
    while (!state_.pool_->take(buffer)) {
        if (!begin(promise)) {
            failure_ = CoreError::canceled;
            return false;
        }
        ZASSERT(state_.waiter_ == nullptr, "a stream has one reader at a time");
        state_.waiter_ = this;
        if (!state_.starved_) {
            state_.starve();
        }
        if (has_deadline_) {
            arm(due);
        }
        (void)park();
        if (failure_ != CoreError::os) {
            return false;
        }
    }
    return true;
}

// On a thread.
bool DatagramNext::receive_here(PromiseBase& promise) noexcept {
    BufferPool& pool = *state_.pool_;
    std::uint16_t buffer = no_buffer;
    if (!take_buffer(promise, buffer)) {
        return false;
    }
    OperationRequest request{.opcode = Opcode::recvmsg, .fd = state_.fd_};
    state_.part_ = {.iov_base = pool.buffer(buffer), .iov_len = pool.buffer_bytes()};
    state_.lend(request);
    NumberWait receive(request);
    if (has_deadline_) {
        (void)receive.until(due);
    }
    (void)receive.suspend(promise);
    const Result<std::uint32_t> count = receive.await_resume();
    if (count) {
        state_.queue(buffer, *count);
        return false;
    }
    {
        const RuntimeLock lock;
        pool.give_back(buffer);
    }
    if (count.error() == Error(CoreError::os)) {
        state_.error_ = count.error().os_error();
    } else {
        failure_ = static_cast<CoreError>(count.error().code());
    }
    return false;
}

} // namespace zsync
