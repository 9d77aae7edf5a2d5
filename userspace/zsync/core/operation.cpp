#include <zsync/core/executor.hpp>
#include <zsync/core/ledger.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/operation.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/syscalls.hpp>
#include <zsync/core/worker.hpp>

#include <cerrno>
#include <optional>
#include <poll.h>

namespace zsync {

std::string_view name_of(Opcode opcode) noexcept {
    switch (opcode) {
    case Opcode::nop:
        return "nothing";
    case Opcode::fsync:
        return "fsync";
    case Opcode::poll:
        return "poll";
    case Opcode::accept:
        return "accept";
    case Opcode::connect:
        return "connect";
    case Opcode::fallocate:
        return "fallocate";
    case Opcode::open:
        return "open";
    case Opcode::close:
        return "close";
    case Opcode::statx:
        return "statx";
    case Opcode::read:
    case Opcode::readv:
        return "read";
    case Opcode::write:
    case Opcode::writev:
        return "write";
    case Opcode::fadvise:
        return "fadvise";
    case Opcode::madvise:
        return "madvise";
    case Opcode::send:
        return "send";
    case Opcode::recv:
        return "recv";
    case Opcode::splice:
        return "splice";
    case Opcode::shutdown:
        return "shutdown";
    case Opcode::rename:
        return "rename";
    case Opcode::unlink:
        return "unlink";
    case Opcode::mkdir:
        return "mkdir";
    case Opcode::socket:
        return "socket";
    case Opcode::send_zero_copy:
        return "zero-copy send";
    case Opcode::wait_process:
        return "process";
    case Opcode::futex_wait:
        return "futex";
    case Opcode::truncate:
        return "truncate";
    case Opcode::bind:
        return "bind";
    case Opcode::listen:
        return "listen";
    case Opcode::sendmsg:
        return "sendmsg";
    case Opcode::recvmsg:
        return "recvmsg";
    }
    return "operation";
}

bool OperationWait::suspend_thread(PromiseBase& promise) noexcept {
    {
        const RuntimeLock lock;
        if (!begin(promise)) {
            result_ = -ECANCELED;
            ended_by_ = CoreError::canceled;
            return false;
        }
    }
    promise.task->executor().submit(*this);
    return false;
}

void OperationWait::interrupt(CoreError reason) noexcept {
    const bool again = std::exchange(interrupted_, true);
    if (!again || reason == CoreError::canceled) {
        ended_by_ = reason;
    }
    if (task().kind() == TaskKind::thread) {
        if (!again) {
            task().executor().cancel(*this);
        }
        return;
    }
    task().executor().cancel(*this);
    // A request that is on its way from one place in the kernel to another is not found in either,
    // so a cancel may miss it: a connect to a unix socket whose queue is full goes from polling to
    // a thread (Linux 6.18). It is asked again until it has ended.
    disarm();
    arm(task().executor().now() + std::chrono::milliseconds(limits::cancel_again_ms));
}

// A ring answers EAGAIN at once where the file is O_NONBLOCK, which is for others to see; here it
// means to wait.
OperationRequest readiness_for(const OperationRequest& request) noexcept {
    std::uint32_t events = 0;
    switch (request.opcode) {
    case Opcode::read:
    case Opcode::readv:
    case Opcode::accept:
        events = POLLIN;
        break;
    case Opcode::recv:
    case Opcode::recvmsg:
        events = (request.flags & MSG_DONTWAIT) == 0 ? POLLIN : 0;
        break;
    case Opcode::write:
    case Opcode::writev:
        events = POLLOUT;
        break;
    case Opcode::send:
    case Opcode::sendmsg:
        events = (request.flags & MSG_DONTWAIT) == 0 ? POLLOUT : 0;
        break;
    default:
        break;
    }
    return {.opcode = Opcode::poll, .fd = request.fd, .flags = events};
}

std::int32_t without_restart_codes(std::int32_t result) noexcept {
    constexpr std::int32_t restart_first =
        512; // ERESTARTSYS; the kernel keeps 512 to 516 for itself
    constexpr std::int32_t restart_last = 516; // ERESTART_RESTARTBLOCK
    return -result >= restart_first && -result <= restart_last ? -EINTR : result;
}

bool may_be_repeated(const OperationRequest& request) noexcept {
    return request.opcode != Opcode::connect && request.opcode != Opcode::close;
}

// All but a plain success: false when the operation goes on.
bool OperationWait::has_ended() noexcept {
    auto& worker = static_cast<Worker&>(task().executor());
    result_ = without_restart_codes(result_);
    // The kernel found no thread for it; or one end of a splice is not ready, and only a try tells
    // which.
    const bool is_to_try =
        result_ == -ECANCELED || (result_ == -EAGAIN && request_.opcode == Opcode::splice);
    if (is_to_try && !interrupted_) {
        const Attempt tried = attempt_without_thread(request_);
        if (tried.kind == Attempt::Kind::poll) {
            polling_ = true;
            worker.queue().queue(poll_of(tried), *this);
            return false;
        }
        result_ = tried.result;
        polling_ = false;
    }
    if (std::exchange(polling_, false) && result_ >= 0) {
        worker.queue().queue(request_, *this);
        if (interrupted_) {
            worker.queue().queue_cancel(*this);
        }
        return false;
    }
    if (result_ == -EAGAIN && !interrupted_) {
        const OperationRequest poll = readiness_for(request_);
        if (poll.flags != 0) {
            polling_ = true;
            worker.queue().queue(poll, *this);
            return false;
        }
    }
    // Signals are not what an operation waits for.
    if (result_ == -EINTR && !interrupted_ && may_be_repeated(request_)) {
        worker.queue().queue(request_, *this);
        return false;
    }
    find_who_ended_it();
    return true;
}

void OperationWait::find_who_ended_it() noexcept {
    // A wait in a kernel worker thread is interrupted by a signal, hence EINTR.
    const bool stopped = interrupted_ && (result_ == -ECANCELED || result_ == -EINTR);
    if (!stopped || (ended_by_ == CoreError::canceled && !task().take_cancel())) {
        ended_by_ = CoreError::os;
    }
}

void OperationWait::end_here(std::int32_t result) noexcept {
    if (result == -ETIME && has_deadline_) {
        end_here_with(CoreError::timed_out);
        return;
    }
    result_ = result;
    find_who_ended_it();
    Suspension::end_here();
}

void OperationWait::end_here_with(CoreError reason) noexcept {
    result_ = -ECANCELED;
    ended_by_ = reason;
    Suspension::end_here();
}

Error OperationWait::failure() const noexcept {
    return ended_by_ == CoreError::os ? os_error(-result_) : Error(ended_by_);
}

Fd OperationWait::opened(int fd) const noexcept {
    Fd owned(fd, frame().where);
    if (Ledger::traces()) [[unlikely]] {
        Ledger::chain_of_descriptor(fd, frame());
    }
    return owned;
}

Result<ExitStatus> ProcessWait::await_resume() const noexcept {
    ZTRY(outcome());
    if (info_->si_code == CLD_EXITED) {
        return ExitStatus{.code = info_->si_status, .signal = 0};
    }
    return ExitStatus{.code = -1, .signal = info_->si_status};
}

bool SleepWait::suspend(PromiseBase& promise) noexcept {
    const RuntimeLock lock;
    if (!begin(promise)) {
        failure_ = CoreError::canceled;
        return false;
    }
    arm(due);
    return park();
}

void SleepWait::interrupt(CoreError reason) noexcept {
    if (!armed() && reason == CoreError::canceled) {
        return; // it has been woken
    }
    disarm();
    if (reason != CoreError::canceled || task().take_cancel()) {
        failure_ = reason;
    }
    wake();
}

namespace {

/// A wait that is over as it begins.
class Pause final : public Suspension {
public:
    bool suspend(PromiseBase& promise) noexcept {
        const RuntimeLock lock;
        if (!begin(promise)) {
            was_canceled = true;
            return false;
        }
        wake();
        return park();
    }
    void interrupt(CoreError /*reason*/) noexcept override {}
    [[nodiscard]] std::string_view kind() const noexcept override { return "yield"; }

    bool was_canceled = false;
};

} // namespace

bool YieldWait::suspend_otherwise(PromiseBase& promise) noexcept {
    Pause pause;
    const bool suspends = pause.suspend(promise);
    canceled_ = pause.was_canceled;
    return suspends;
}

} // namespace zsync
