// Operations carried out by plain system calls, where no ring does it.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/operation_request.hpp>
#include <zsync/core/timer_wheel.hpp>

#include <atomic>
#include <cstdint>
#include <optional>

namespace zsync {

/// Ends a wait of another thread in `carry_out`. One thread waits, any may trigger.
class Interrupt {
public:
    Interrupt() noexcept;
    Interrupt(const Interrupt&) = delete;
    Interrupt& operator=(const Interrupt&) = delete;

    /// False when no eventfd could be made: waits for descriptors cannot be ended then.
    [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(event_); }
    /// Ends the present wait, or the next one.
    void trigger() noexcept;
    /// Makes ready for the next wait. By the waiting thread.
    void clear() noexcept;

private:
    friend class Waiting;
    Fd event_;
    /// The same again for waits on futexes, which have no descriptor.
    std::atomic<std::uint32_t> word_{0};
};

/// How far an operation has come that takes several system calls.
struct Progress {
    std::uint32_t moved = 0; ///< bytes, with MSG_WAITALL
    bool begun = false;      ///< a connect is under way, a listener is prepared
    bool may_nowait = true;  ///< RWF_NOWAIT may be used

    /// What an operation gives that was stopped: the bytes it has moved, or else this error.
    [[nodiscard]] std::int32_t stopped(int error) const noexcept {
        return moved != 0 ? static_cast<std::int32_t>(moved) : -error;
    }
};

/// What came of trying an operation without blocking.
struct Attempt {
    enum class Kind : std::uint8_t {
        done,   ///< `result` is what the ring would have given
        poll,   ///< to be tried again when `fd` has one of `events`
        blocks, ///< there is no way but to block a thread: `carry_out`
        later,  ///< to be tried again after `limits::attempt_again_ms`; nothing tells when
    };
    Kind kind = Kind::done;
    std::int32_t result = 0;
    std::int32_t fd = -1;
    std::uint32_t events = 0; ///< poll(2) bits
};

/// The wait that such an attempt asks for.
[[nodiscard]] inline OperationRequest poll_of(const Attempt& tried) noexcept {
    return {.opcode = Opcode::poll, .fd = tried.fd, .flags = tried.events};
}

/// Tries an operation. Never blocks, but for the moment that a file system call on cached data
/// takes. A listener is left in O_NONBLOCK: accept(2) has no flag for it, and two threads that take
/// turns at a shared listener must not hang in it.
[[nodiscard]] Attempt attempt(const OperationRequest& request, Progress& progress) noexcept;

/// For what ended with ECANCELED, unasked. The ring gives operations on files and names, those that
/// wait for storage, and what was woken in vain too often, to threads of the kernel; ECANCELED is
/// that the system has none left (RLIMIT_NPROC, a cgroup's pids.max), or was kept from making one.
/// Carries it out on this thread, as long as the storage takes, or says what it is to wait for
/// before the ring gets it again.
[[nodiscard]] Attempt attempt_without_thread(const OperationRequest& request) noexcept;

/// Carries out an operation on this thread, blocking it. -ETIME past the deadline, -ECANCELED when
/// interrupted; what has been moved by then is given instead.
[[nodiscard]] std::int32_t carry_out(
    const OperationRequest& request, std::optional<TimePoint> deadline, Interrupt* interrupt
) noexcept;

} // namespace zsync
