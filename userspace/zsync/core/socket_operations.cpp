#include <zsync/core/ring.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/socket_operations.hpp>
#include <zsync/core/worker.hpp>

#include <linux/io_uring.h>

#include <bit>
#include <cerrno>
#include <poll.h>

namespace zsync {
namespace {

/// Where pages cannot be sent as they are.
void make_plain(OperationRequest& request) noexcept {
    request.opcode = Opcode::send;
    request.priority = 0;
    request.buffer = 0;
}

} // namespace

ZeroCopySendBase::ZeroCopySendBase(
    int fd, const void* data, std::size_t length, std::uint32_t flags
) noexcept
    : request_{
          .opcode = Opcode::send_zero_copy,
          .priority = IORING_SEND_ZC_REPORT_USAGE,
          .fd = fd,
          .address = reinterpret_cast<std::uintptr_t>(data),
          .length = length_of(length),
          .flags = flags | MSG_NOSIGNAL,
      } {}

bool ZeroCopySendBase::suspend(PromiseBase& promise) noexcept {
    if (promise.task->kind() == TaskKind::thread) {
        // Plain system calls have no such send: it is a copy, and says so.
        TransferWait copy(
            {.opcode = Opcode::send, .fd = request_.fd, .flags = request_.flags},
            std::span(std::bit_cast<const std::byte*>(request_.address), request_.length)
        );
        copied_ = true;
        if (has_deadline_) {
            (void)copy.until(due);
        }
        (void)copy.suspend(promise);
        const Result<std::size_t> sent = copy.await_resume().count;
        if (sent) {
            result_ = static_cast<std::int32_t>(*sent);
        } else {
            result_ = sent.error().os_error() != 0 ? -sent.error().os_error() : -ECANCELED;
            ended_by_ = static_cast<CoreError>(sent.error().code());
        }
        return false;
    }
    if (!begin(promise)) {
        result_ = -ECANCELED;
        ended_by_ = CoreError::canceled;
        return false;
    }
    auto& worker = static_cast<Worker&>(promise.task->executor());
    const Ring* ring = worker.ring();
    if (ring != nullptr && !ring->options().allows(KernelFeature::send_zc)) {
        make_plain(request_);
        copied_ = true;
    } else if (pinned_by_ != nullptr && pinned_by_ == ring) {
        request_.priority |= IORING_RECVSEND_FIXED_BUF;
    } else {
        request_.buffer = 0;
    }
    worker.queue().queue(request_, *this);
    if (has_deadline_) {
        arm(due);
    }
    return park();
}

void ZeroCopySendBase::interrupt(CoreError reason) noexcept {
    if (!interrupted_) {
        interrupted_ = true;
        ended_by_ = reason;
        static_cast<Worker&>(task().executor()).queue().queue_cancel(*this);
    }
}

void ZeroCopySendBase::complete(std::int32_t result, std::uint32_t flags) noexcept {
    OperationQueue& queue = static_cast<Worker&>(task().executor()).queue();
    if (request_.opcode == Opcode::poll) { // it has waited for room
        request_.opcode = request_.priority != 0 ? Opcode::send_zero_copy : Opcode::send;
        if (result >= 0) {
            queue.queue(request_, *this);
            if (interrupted_) {
                queue.queue_cancel(*this);
            }
            return;
        }
        result_ = result;
    } else if ((flags & IORING_CQE_F_NOTIF) != 0) {
        copied_ = (static_cast<std::uint32_t>(result) & IORING_NOTIF_USAGE_ZC_COPIED) != 0;
    } else {
        result_ = result;
    }
    if ((flags & IORING_CQE_F_MORE) != 0) {
        return;
    }
    if (result_ == -EAGAIN && !interrupted_ && (request_.flags & MSG_DONTWAIT) == 0) {
        // The socket is O_NONBLOCK, which is for others to see; here it means to wait.
        request_.opcode = Opcode::poll;
        queue.queue({.opcode = Opcode::poll, .fd = request_.fd, .flags = POLLOUT}, *this);
        return;
    }
    const bool is_refused = result_ == -EOPNOTSUPP && request_.opcode == Opcode::send_zero_copy;
    if ((result_ == -EINTR || is_refused) && !interrupted_) {
        if (is_refused) { // a unix socket takes no pages
            make_plain(request_);
            copied_ = true;
        }
        queue.queue(request_, *this); // signals are not what it waits for
        return;
    }
    disarm();
    const bool stopped = interrupted_ && (result_ == -ECANCELED || result_ == -EINTR);
    if (!stopped || (ended_by_ == CoreError::canceled && !task().take_cancel())) {
        ended_by_ = CoreError::os;
    }
    resume_inline();
}

Result<std::size_t> ZeroCopySendBase::count() const noexcept {
    if (result_ >= 0) {
        return static_cast<std::size_t>(result_);
    }
    return fail(ended_by_ == CoreError::os ? os_error(-result_) : Error(ended_by_));
}

} // namespace zsync
