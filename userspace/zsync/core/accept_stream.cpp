#include <zsync/core/accept_stream.hpp>
#include <zsync/core/assert.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/operation_queue.hpp>
#include <zsync/core/worker.hpp>

#include <linux/io_uring.h>

#include <algorithm>
#include <cerrno>
#include <poll.h>
#include <utility>

namespace zsync {
namespace {

constexpr Duration pause = std::chrono::milliseconds(limits::accept_pause_ms);

/// Of one connection, not of the listener: accept(2), "Error handling".
bool is_of_a_connection(int error) noexcept {
    switch (error) {
    case ECONNABORTED:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
        return true;
    default:
        return false;
    }
}

/// The connection is still in the listener's queue.
bool is_of_a_shortage(int error) noexcept {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

} // namespace

AcceptStreamState::AcceptStreamState(Worker* worker, int listener, const std::source_location& made)
    : StandingRequest(worker, made), worker_(worker), made_(made), fd_(listener),
      multishot_(worker != nullptr && worker->queue().has_multishot_accept()) {}

AcceptStream::AcceptStream(Io io, FdRef listener, std::source_location made) {
    Worker* worker = io.kind() == TaskKind::thread ? nullptr : &static_cast<Worker&>(io.executor());
    state_ = std::make_unique<AcceptStreamState>(worker, listener.get(), made);
}

std::string AcceptStreamState::describe() const {
    return Ledger::stream("accept stream", fd_, place_of(made_));
}

void AcceptStreamState::stop() noexcept { worker_->queue().queue_cancel(*this); }

void AcceptStreamState::arm() noexcept {
    armed_ = true;
    worker_->queue().queue(
        {
            .opcode = Opcode::accept,
            .priority = static_cast<std::uint16_t>(multishot_ ? IORING_ACCEPT_MULTISHOT : 0),
            .fd = fd_,
            .flags = SOCK_CLOEXEC,
        },
        *this
    );
}

// The listener is O_NONBLOCK, so a request does not wait by itself.
void AcceptStreamState::wait_until_ready() noexcept {
    armed_ = true;
    polling_ = true;
    worker_->queue().queue({.opcode = Opcode::poll, .fd = fd_, .flags = POLLIN}, *this);
}

void AcceptStreamState::complete(std::int32_t result, std::uint32_t flags) noexcept {
    armed_ = (flags & IORING_CQE_F_MORE) != 0;
    const bool was_polling = std::exchange(polling_, false);
    stopping_ = stopping_ && armed_;
    if (abandoned_) {
        if (result >= 0 && !was_polling) {
            ++stats_->closed;
            Fd(result).reset();
        }
        if (!armed_) {
            delete this;
        }
    } else if (result < 0) {
        failed(-result);
    } else if (!was_polling) {
        queue(Fd(result));
    } else if (waiter_ != nullptr) {
        arm();
    }
}

void AcceptStreamState::queue(Fd client) noexcept {
    arrived_.push_back(std::move(client));
    if (waiter_ != nullptr) {
        wake_waiter();
    } else if (armed_ && !stopping_ &&
               arrived_.size() - first_ >= limits::accept_stream_queue_max) {
        stopping_ = true;
        worker_->queue().queue_cancel(*this);
    }
}

Fd AcceptStreamState::take() noexcept {
    // From here on it is the task's that takes it.
    Fd client(arrived_[first_++].release(), made_);
    if (first_ == arrived_.size()) {
        arrived_.clear();
        first_ = 0;
    }
    ++stats_->accepted;
    return client;
}

void AcceptStreamState::failed(int error) noexcept {
    if (is_of_a_shortage(error)) {
        ++stats_->starved;
        again_at_ = worker_->now() + pause;
    } else if (is_of_a_connection(error)) {
        ++stats_->aborted;
    } else if (error == EAGAIN) {
        wait_until_ready();
    } else if (error != EINTR && error != ECANCELED) {
        error_ = error;
    }
    if (waiter_ == nullptr) {
        return;
    }
    if (error_ != 0) {
        wake_waiter();
    } else {
        waiter_->disarm();
        waiter_->go_on();
    }
}

// May end the stream.
void AcceptStreamState::wake_waiter() noexcept {
    AcceptNext& waiter = *std::exchange(waiter_, nullptr);
    waiter.disarm();
    waiter.resume_inline();
}

void AcceptStreamState::abandon() noexcept {
    stats_->closed += arrived_.size() - first_;
    arrived_.clear();
    if (!armed_) {
        delete this;
        return;
    }
    abandoned_ = true;
    worker_->queue().redirect(*this, -1);
    worker_->queue().queue_cancel(*this);
}

// Sees to it that the kernel has a request, in time, and that the wait ends at its deadline.
void AcceptNext::go_on() noexcept {
    const bool rests = !state_.armed_ && state_.again_at_ > task().executor().now();
    if (!state_.armed_ && !rests) {
        state_.arm();
    }
    const TimePoint wake_at = rests ? std::min(deadline_, state_.again_at_) : deadline_;
    if (wake_at != TimePoint::max()) {
        TimedSuspension::arm(wake_at);
    }
}

bool AcceptNext::suspend(PromiseBase& promise) noexcept {
    if (state_.worker_ == nullptr) {
        return accept_here(promise);
    }
    if (!begin(promise)) {
        failure_ = CoreError::canceled;
        return false;
    }
    ZASSERT(state_.waiter_ == nullptr, "a stream has one reader at a time");
    state_.waiter_ = this;
    go_on();
    return park();
}

void AcceptNext::expired() noexcept {
    if (task().executor().now() >= deadline_) {
        interrupt(CoreError::timed_out);
    } else {
        go_on();
    }
}

void AcceptNext::interrupt(CoreError reason) noexcept {
    if (state_.waiter_ != this || (reason == CoreError::canceled && !task().take_cancel())) {
        return;
    }
    state_.waiter_ = nullptr;
    failure_ = reason;
    disarm();
    wake();
}

Result<Fd> AcceptNext::await_resume() noexcept {
    if (failure_ != CoreError::os) {
        return fail(failure_);
    }
    if (state_.first_ != state_.arrived_.size()) {
        return state_.take();
    }
    return fail(os_error(std::exchange(state_.error_, 0)));
}

// On a thread.
bool AcceptNext::accept_here(PromiseBase& promise) noexcept {
    for (;;) {
        FdWait accept({.opcode = Opcode::accept, .fd = state_.fd_, .flags = SOCK_CLOEXEC});
        if (deadline_ != TimePoint::max()) {
            (void)accept.until(deadline_);
        }
        (void)accept.suspend(promise);
        Result<Fd> client = accept.await_resume();
        if (client) {
            state_.arrived_.push_back(*std::move(client));
            return false;
        }
        const Error error = client.error();
        if (is_of_a_connection(error.os_error())) {
            ++state_.stats_->aborted;
        } else if (is_of_a_shortage(error.os_error())) {
            ++state_.stats_->starved;
            const TimePoint now = promise.task->executor().now();
            if (now >= deadline_) {
                failure_ = CoreError::timed_out;
                return false;
            }
            SleepWait sleep(std::min(deadline_, now + pause));
            (void)sleep.suspend(promise);
            if (const Result<void> slept = sleep.await_resume(); !slept) {
                failure_ = static_cast<CoreError>(slept.error().code());
                return false;
            }
        } else if (error == Error(CoreError::os)) {
            state_.error_ = error.os_error();
            return false;
        } else {
            failure_ = static_cast<CoreError>(error.code());
            return false;
        }
    }
}

} // namespace zsync
