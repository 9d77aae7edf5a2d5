#include <zsync/core/io.hpp>
#include <zsync/core/worker.hpp>

#include <linux/io_uring.h>

#include <cerrno>

namespace zsync {

bool RingWait::start(PromiseBase& promise, std::coroutine_handle<> waiter) noexcept {
    if (!enter(promise, waiter)) {
        canceled_ = true;
        return false;
    }
    Worker& worker = task().worker();
    worker.ring().queue(request_, *this);
    if (wait_until_) {
        worker.timers().add(deadline_, *wait_until_);
    }
    return true;
}

void RingWait::request_cancel() noexcept {
    if (!std::exchange(cancel_queued_, true)) {
        task().worker().ring().queue_cancel(*this);
    }
}

void RingWait::deadline_passed(Timer& timer) noexcept {
    auto& self = *static_cast<RingWait*>(timer.owner);
    self.timed_out_ = true;
    self.request_cancel();
}

void RingWait::complete(std::int32_t result, std::uint32_t /*flags*/) noexcept {
    task().worker().timers().remove(deadline_);
    result_ = result;
    // A wait in a kernel worker thread is interrupted by a signal, hence EINTR.
    const bool stopped = result == -ECANCELED || (result == -EINTR && cancel_queued_);
    canceled_ = stopped && task().take_cancel();
    timed_out_ = timed_out_ && stopped && !canceled_;
    resume_inline();
}

Result<std::int32_t> RingWait::outcome() const noexcept {
    if (canceled_) {
        return fail(CoreError::canceled);
    }
    if (timed_out_) {
        return fail(CoreError::timed_out);
    }
    if (result_ < 0) {
        return fail(os_error(-result_));
    }
    return result_;
}

Result<ExitStatus> ProcessWait::await_resume() const noexcept {
    ZTRY(outcome());
    if (info_->si_code == CLD_EXITED) {
        return ExitStatus{.code = info_->si_status, .signal = 0};
    }
    return ExitStatus{.code = -1, .signal = info_->si_status};
}

bool SleepWait::start(PromiseBase& promise, std::coroutine_handle<> waiter) noexcept {
    if (!enter(promise, waiter)) {
        canceled_ = true;
        return false;
    }
    worker_.timers().add(timer_, deadline_);
    return true;
}

void SleepWait::request_cancel() noexcept {
    if (!timer_.armed) {
        return;
    }
    worker_.timers().remove(timer_);
    canceled_ = task().take_cancel();
    wake();
}

void SleepWait::expired(Timer& timer) noexcept { static_cast<SleepWait*>(timer.owner)->wake(); }

RingRequest Io::read_request(FdRef fd, std::uint64_t offset) noexcept {
    return {.opcode = IORING_OP_READ, .fd = fd.get(), .offset = offset};
}

RingRequest Io::write_request(FdRef fd, std::uint64_t offset) noexcept {
    return {.opcode = IORING_OP_WRITE, .fd = fd.get(), .offset = offset};
}

RingRequest Io::recv_request(FdRef fd, std::uint32_t flags) noexcept {
    return {.opcode = IORING_OP_RECV, .fd = fd.get(), .flags = flags};
}

RingRequest Io::send_request(FdRef fd, std::uint32_t flags) noexcept {
    return {.opcode = IORING_OP_SEND, .fd = fd.get(), .flags = flags | MSG_NOSIGNAL};
}

AcceptWait Io::accept(FdRef listener) const {
    return AcceptWait(
        "accept", {.opcode = IORING_OP_ACCEPT, .fd = listener.get(), .flags = SOCK_CLOEXEC}
    );
}

ConnectWait Io::connect(FdRef fd, const sockaddr_storage& address, socklen_t length) const {
    return ConnectWait({.opcode = IORING_OP_CONNECT, .fd = fd.get()}, address, length);
}

PollWait Io::poll(FdRef fd, std::uint32_t events) const {
    return PollWait({.opcode = IORING_OP_POLL_ADD, .fd = fd.get(), .flags = events});
}

ProcessWait Io::wait_exit(FdRef pidfd) const {
    return ProcessWait({
        .opcode = IORING_OP_WAITID,
        .fd = pidfd.get(),
        .length = P_PIDFD,
        .extra = WEXITED,
    });
}

} // namespace zsync
