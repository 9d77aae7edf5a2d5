#include <zsync/asio/ring_poll.hpp>
#include <zsync/core/assert.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/task_record.hpp>
#include <zsync/core/worker.hpp>

#include <poll.h>
#include <utility>

namespace zsync::asio {

class RingPoll::Wait final : public Suspension, public Awaitable {
public:
    Wait(RingPoll& poll, Until until) noexcept : poll_(poll), until_(until) {}

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    bool suspend(PromiseBase& promise) noexcept {
        const RuntimeLock lock;
        if (until_ == Until::finished) {
            begin_regardless(promise);
        } else if (!begin(promise)) {
            canceled_ = true;
            return false;
        }
        if (until_ == Until::next_turn) {
            wake();
        } else {
            poll_.waiting_ = this;
        }
        return park();
    }
    /// False when it was cancelled.
    [[nodiscard]] bool await_resume() const noexcept { return !canceled_; }
    void interrupt(CoreError /*reason*/) noexcept override {
        if (until_ == Until::woken && poll_.waiting_ == this && task().take_cancel()) {
            canceled_ = true;
            poll_.waiting_ = nullptr;
            wake();
        }
    }
    [[nodiscard]] std::string_view kind() const noexcept override { return "asio"; }

    [[nodiscard]] Until until() const noexcept { return until_; }
    void end() noexcept { wake(); }
    void end_at_once() noexcept { resume_inline(); }

private:
    RingPoll& poll_;
    Until until_;
    bool canceled_ = false;
};

RingPoll::RingPoll(Worker& worker) noexcept : worker_(worker), thread_(pthread_self()) {}

RingPoll::~RingPoll() { ZASSERT(!armed_, "a poll ends before its last completion"); }

void RingPoll::arm(int fd) noexcept {
    if (!armed_ && !readable_) {
        armed_ = true;
        worker_.queue().queue({.opcode = Opcode::poll, .fd = fd, .flags = POLLIN}, *this);
    }
}

bool RingPoll::wait(int fd) noexcept {
    arm(fd);
    if (!readable_ && !std::exchange(called_, false)) {
        const bool goes_on = Wait(*this, Until::woken).wait();
        called_ = false;
        return goes_on;
    }
    return true;
}

bool RingPoll::yield(int fd) noexcept {
    arm(fd);
    return Wait(*this, Until::next_turn).wait();
}

bool RingPoll::take_readable() noexcept { return std::exchange(readable_, false); }

void RingPoll::finish() noexcept {
    if (armed_) {
        worker_.queue().queue_cancel(*this);
        (void)Wait(*this, Until::finished).wait();
    }
}

void RingPoll::wake() noexcept {
    called_ = true;
    if (waiting_ != nullptr && waiting_->until() == Until::woken) {
        std::exchange(waiting_, nullptr)->end();
    }
}

void RingPoll::complete(std::int32_t /*result*/, std::uint32_t /*flags*/) noexcept {
    armed_ = false;
    readable_ = true;
    if (waiting_ != nullptr) {
        std::exchange(waiting_, nullptr)->end_at_once();
    }
}

} // namespace zsync::asio
