#include <zsync/core/assert.hpp>
#include <zsync/core/inbox.hpp>

#include <sys/eventfd.h>
#include <sys/syscall.h>

#include <cerrno>
#include <unistd.h>
#include <utility>

namespace zsync {

std::shared_ptr<Inbox> Inbox::create() {
    Fd bell(::eventfd(0, EFD_CLOEXEC), Fd::OfTheRuntime());
    return bell ? std::shared_ptr<Inbox>(new Inbox(std::move(bell))) : nullptr;
}

bool Inbox::post(Message& message) noexcept {
    Message* seen = head_.load(std::memory_order_relaxed);
    do {
        if (seen == closed()) [[unlikely]] {
            return false;
        }
        message.next_ = seen == asleep() ? nullptr : seen;
        // Release: what the message holds is there before it can be found. Whoever receives it may
        // free it at once, so from here on it is not touched.
    } while (!head_.compare_exchange_weak(
        seen, &message, std::memory_order_release, std::memory_order_relaxed
    ));
    if (seen == asleep()) {
        ring();
    }
    return true;
}

void Inbox::post_to_waiting(Message& message) noexcept {
    const bool posted = post(message);
    ZASSERT(posted, "a worker takes messages while one of its tasks waits for them");
}

void Inbox::ring() noexcept {
    // The receiver waits for this write before it closes, so the descriptor is open; and it counts,
    // so that all which came before is over: nothing of the inbox is touched after that.
    const int bell = bell_.get();
    bells_.fetch_add(1, std::memory_order_release);
    // Past TSan, which does not see that the ring reads it and would miss that order.
    const eventfd_t one = 1;
    const long written = ::syscall(SYS_write, bell, &one, sizeof one);
    ZASSERT(written == sizeof one, "an eventfd takes a one");
}

void Inbox::open(OperationQueue& queue) noexcept {
    queue_ = &queue;
    listen();
}

void Inbox::listen() noexcept {
    queue_->queue(
        {
            .opcode = Opcode::read,
            .fd = bell_.get(),
            .address = reinterpret_cast<std::uintptr_t>(&rung_),
            .length = sizeof rung_,
        },
        *this
    );
}

void Inbox::complete(std::int32_t result, std::uint32_t /*flags*/) noexcept {
    if (result == -ECANCELED) {
        return;
    }
    if (result != -EINTR) {
        ZASSERT(result == sizeof rung_, "the bell of an inbox can be read");
        rings_read_ += rung_;
    }
    listen();
}

bool Inbox::go_to_sleep() noexcept {
    Message* empty = nullptr;
    sleeping_ = head_.compare_exchange_strong(empty, asleep(), std::memory_order_relaxed);
    return sleeping_;
}

void Inbox::take_all(Worker& worker) noexcept {
    // Acquire, with the release of every message in the list: each exchange in between has read
    // the one before it (a release sequence).
    Message* newest = head_.exchange(nullptr, std::memory_order_acquire);
    if (std::exchange(sleeping_, false)) {
        if (newest == asleep()) {
            return; // something else has ended the sleep
        }
        ++rings_due_;
    }
    let_arrive(newest, worker);
}

void Inbox::let_arrive(Message* newest, Worker& worker) noexcept {
    Message* oldest = nullptr;
    while (newest != nullptr) {
        Message* next = newest->next_;
        newest->next_ = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != nullptr) {
        Message* next = oldest->next_;
        oldest->arrive(worker);
        oldest = next;
    }
}

void Inbox::close(Worker& worker) noexcept {
    take_all(worker);
    let_arrive(head_.exchange(closed(), std::memory_order_acquire), worker);
    while (rings_read_ != rings_due_) {
        queue_->enter(true, std::nullopt);
        queue_->deliver();
    }
    ZASSERT(bells_.load(std::memory_order_acquire) == rings_due_, "who rings has counted before");
    queue_->queue_cancel(*this);
    while (queue_->in_flight() != 0) {
        queue_->enter(true, std::nullopt);
        queue_->deliver();
    }
}

} // namespace zsync
