// RingPoll: where Asio's event loop sleeps, without a thread of its own.
#pragma once

#include <zsync/core/operation_queue.hpp>
#include <zsync/core/suspension.hpp>

#include <cstdint>
#include <pthread.h>

namespace zsync {
class Worker;
}

namespace zsync::asio {

/// Lets one fiber wait until a descriptor is readable or somebody calls it. The worker's queue has
/// at most one poll request of it, which stays when the wait ends for another reason.
class RingPoll final : private CompletionHandler {
public:
    explicit RingPoll(Worker& worker) noexcept;
    RingPoll(const RingPoll&) = delete;
    RingPoll& operator=(const RingPoll&) = delete;
    ~RingPoll();

    [[nodiscard]] Worker& worker() const noexcept { return worker_; }
    /// Whether the caller is on the worker's thread.
    [[nodiscard]] bool is_here() const noexcept { return pthread_equal(thread_, pthread_self()); }

    /// \name In the fiber
    /// \{
    /// Waits until the descriptor is readable or `wake` was called, before or while it waits. False
    /// when the fiber's task is to stop.
    [[nodiscard]] bool wait(int fd) noexcept;
    /// Lets the worker's other tasks run for a turn. False when the fiber's task is to stop.
    [[nodiscard]] bool yield(int fd) noexcept;
    /// Whether the descriptor has become readable since this was asked last.
    [[nodiscard]] bool take_readable() noexcept;
    /// Takes the request back and waits for its end. No cancel cuts this short.
    void finish() noexcept;
    /// \}

    /// Ends the fiber's wait, this one or the next. On the worker's thread.
    void wake() noexcept;

private:
    class Wait;
    enum class Until : std::uint8_t { woken, next_turn, finished };

    void arm(int fd) noexcept;
    void complete(std::int32_t result, std::uint32_t flags) noexcept override;

    Worker& worker_;
    pthread_t thread_;
    Wait* waiting_ = nullptr;
    bool armed_ = false;    ///< the worker's queue has the request
    bool readable_ = false; ///< it came back
    bool called_ = false;
};

} // namespace zsync::asio
