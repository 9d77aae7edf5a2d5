// Ring: one io_uring, used by one thread.
#pragma once

#include <zsync/core/result.hpp>
#include <zsync/core/timer_wheel.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace zsync {

/// An operation as the kernel takes it. Made by `Io`, whose methods name the man page of each.
struct RingRequest {
    std::uint8_t opcode = 0;
    std::int32_t fd = -1;
    std::uint64_t address = 0;
    std::uint64_t offset = 0;
    std::uint32_t length = 0;
    std::uint32_t flags = 0; ///< the operation's own flags (msg_flags, poll events, ...)
    std::uint32_t extra = 0; ///< sqe->file_index or what shares its place
};

/// Receives the completion of one request.
class RingOperation {
public:
    /// Called once, from the worker's loop, with the request's result.
    virtual void complete(std::int32_t result, std::uint32_t flags) noexcept = 0;

protected:
    ~RingOperation() = default;
};

/// One optional or required kernel feature, and whether it is there.
struct RingFeature {
    std::string name;
    bool available = false;
    std::string detail; ///< what it is used for, or why it is missing
};

/// An io_uring set up for one thread: SINGLE_ISSUER, DEFER_TASKRUN, NO_SQARRAY. Requests are only
/// queued here; one `io_uring_enter` a turn submits and waits.
class Ring {
public:
    /// Fails with `unsupported` where the kernel is older than 6.12 or forbids io_uring.
    static Outcome<Ring> create();
    Ring(Ring&&) noexcept;
    Ring& operator=(Ring&&) noexcept;
    ~Ring();

    /// Queues a request. `operation` must live until it is completed.
    void queue(const RingRequest& request, RingOperation& operation) noexcept;
    /// Asks the kernel to cancel; the operation's own completion tells what came of it.
    void queue_cancel(RingOperation& operation) noexcept;
    /// Submits what is queued and, if `wait`, sleeps until a completion or `deadline`.
    void enter(bool wait, std::optional<TimePoint> deadline) noexcept;
    /// Delivers completions. Returns how many.
    unsigned deliver() noexcept;

    [[nodiscard]] std::uint64_t in_flight() const noexcept;
    /// io_uring_enter calls so far.
    [[nodiscard]] std::uint64_t enters() const noexcept;
    [[nodiscard]] std::vector<RingFeature> features() const;

private:
    struct State;
    explicit Ring(std::unique_ptr<State> state) noexcept;
    std::unique_ptr<State> state_;
};

} // namespace zsync
