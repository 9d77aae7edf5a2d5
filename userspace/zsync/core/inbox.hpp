// Inbox: what other threads tell a worker.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/operation_queue.hpp>

#include <atomic>
#include <cstdint>
#include <memory>

namespace zsync {

class Worker;

/// One message on its way to a worker. Embedded in what sends it, and there until it has arrived.
class Message {
public:
    Message() noexcept = default;
    Message(const Message&) = delete;
    Message& operator=(const Message&) = delete;

    /// On the receiving worker's thread. The message may be gone when this returns.
    virtual void arrive(Worker& worker) noexcept = 0;

protected:
    ~Message() = default;

private:
    friend class Inbox;
    Message* next_ = nullptr;
};

/// Where any thread leaves messages for one worker, without a lock. A worker that has gone to sleep
/// is woken by one write to an eventfd; whatever is posted until it has looked costs no system
/// call, and neither does posting to a worker that is awake.
///
/// All of the state is one word: empty, `asleep`, `closed`, or the newest message of a list. Going
/// to sleep replaces empty by `asleep`, so it fails when a message is there; who posts the first
/// message replaces `asleep`, and so knows that it is the one to ring. `tests/proofs/inbox.pml`
/// checks that no message is left with a sleeping worker, and that a sleep is ended by one ring.
///
/// Shared by everybody who may post, for they do not own the worker; closed when its run ends.
class Inbox final : private CompletionHandler {
public:
    /// Null where no descriptor is left.
    static std::shared_ptr<Inbox> create();
    ~Inbox() = default;

    /// From any thread. False when the worker's run is over: the message was not taken.
    [[nodiscard]] bool post(Message& message) noexcept;
    /// The same where a task of that worker waits for the message, so its run is not over.
    void post_to_waiting(Message& message) noexcept;

    /// \name For the worker, on its thread
    /// \{
    /// Begins to listen for the bell.
    void open(OperationQueue& queue) noexcept;
    /// While it is awake.
    [[nodiscard]] bool has_messages() const noexcept {
        return head_.load(std::memory_order_relaxed) != nullptr;
    }
    /// Nothing is there, and who posts from here on rings the bell. False when there is something.
    [[nodiscard]] bool go_to_sleep() noexcept;
    /// Lets everything that is there arrive. Ends the sleep.
    void deliver(Worker& worker) noexcept {
        if (has_messages()) {
            take_all(worker);
        }
    }
    /// Takes no more; what is there arrives. Every task has ended, and when this returns, so has
    /// all that was in flight.
    void close(Worker& worker) noexcept;
    /// \}

    /// Times that a sleeping worker was woken, each by one system call.
    [[nodiscard]] std::uint64_t bells() const noexcept {
        return bells_.load(std::memory_order_relaxed);
    }

private:
    explicit Inbox(Fd bell) noexcept : bell_(std::move(bell)) {}
    void listen() noexcept;
    void ring() noexcept;
    void take_all(Worker& worker) noexcept;
    void let_arrive(Message* newest, Worker& worker) noexcept;
    void complete(std::int32_t result, std::uint32_t flags) noexcept override;

    /// Addresses that no message has.
    [[nodiscard]] Message* asleep() noexcept { return reinterpret_cast<Message*>(&asleep_mark_); }
    [[nodiscard]] Message* closed() noexcept { return reinterpret_cast<Message*>(&closed_mark_); }

    alignas(64) std::atomic<Message*> head_{nullptr};
    std::atomic<std::uint64_t> bells_{0};
    Fd bell_;
    // The worker's own.
    alignas(64) OperationQueue* queue_ = nullptr;
    std::uint64_t rung_ = 0; ///< the queue reads the eventfd into it
    std::uint64_t rings_read_ = 0;
    /// Sleeps that a message has ended: each has its ring, which may still be on its way.
    std::uint64_t rings_due_ = 0;
    bool sleeping_ = false;
    alignas(8) char asleep_mark_ = 0;
    alignas(8) char closed_mark_ = 0;
};

} // namespace zsync
