// Streams: one request to the kernel, many results.
#pragma once

#include <zsync/core/buffer_pool.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/standing_request.hpp>

#include <cstdint>
#include <memory>
#include <source_location>
#include <string>

namespace zsync {

class RecvStream;

/// What a stream and the kernel share, and the wait of the task that reads it. Outlives the stream
/// until the kernel's last completion.
class RecvStreamState final : public StandingRequest, public TimedSuspension, public BufferWaiter {
public:
    /// `worker` is null on threads.
    RecvStreamState(
        Worker* worker,
        int fd,
        std::uint32_t flags,
        std::shared_ptr<BufferPool> pool,
        const std::source_location& made
    );
    RecvStreamState(const RecvStreamState&) = delete;
    RecvStreamState& operator=(const RecvStreamState&) = delete;
    ~RecvStreamState(); // not here: each coroutine with a stream would prepare for it
    void complete(std::int32_t result, std::uint32_t flags) noexcept override;
    void interrupt(CoreError reason) noexcept override;
    [[nodiscard]] std::string_view kind() const noexcept override { return "recv stream"; }
    [[nodiscard]] bool is_standing() const noexcept override {
        return (attention_ & unarmed) == 0 && !abandoned_;
    }
    [[nodiscard]] std::string describe() const override;
    void stop() noexcept override;
    /// False when it has no use for a buffer.
    bool buffer_is_free() noexcept override;

private:
    friend class RecvNext;
    friend class RecvNextUntil;
    friend class RecvStream;
    friend class Ring;

    /// What is not as in the usual wait, in one byte, so that one test finds it usual: the request
    /// is armed and nothing else is to be said.
    enum Attention : std::uint8_t {
        nothing = 0,
        unarmed = 1,
        has_queued = 2,
        has_ended = 4,
        has_failed = 8,
        awaited = 16, ///< a task waits, which alone is usual for a completion
        timed = 32,   ///< and with a deadline
    };
    static constexpr unsigned has_something = has_queued | has_ended | has_failed;

    [[nodiscard]] CompletionTarget target() noexcept { return {*this, HandlerKind::recv_stream}; }
    /// A chunk has come for the task that waits, and the request goes on.
    [[nodiscard]] bool is_usual(std::int32_t result, std::uint32_t flags) const noexcept;
    void hand_over(std::int32_t result, std::uint32_t flags) noexcept;
    void note(unsigned bits) noexcept { attention_ = static_cast<Attention>(attention_ | bits); }
    void forget(unsigned bits) noexcept { attention_ = static_cast<Attention>(attention_ & ~bits); }
    void arm_request() noexcept;
    void complete_otherwise(std::int32_t result, std::uint32_t flags) noexcept;
    void ran_dry() noexcept;
    void queue(std::uint16_t buffer, std::uint32_t length) noexcept;
    void abandon() noexcept;
    bool suspend_otherwise(PromiseBase& promise, const TimePoint* deadline) noexcept;
    bool receive_here(PromiseBase& promise, const TimePoint* deadline) noexcept;
    [[nodiscard]] bool
    take_buffer(PromiseBase& promise, const TimePoint* deadline, std::uint16_t& buffer) noexcept;
    [[nodiscard]] Result<Chunk> take_otherwise() noexcept;
    [[nodiscard]] bool is_awaited() const noexcept { return (attention_ & awaited) != 0; }
    void end_wait() noexcept;

    Attention attention_ = unarmed; ///< an enumeration, which no other object is taken to be
    bool multishot_ : 1 = false;
    bool starved_ : 1 = false;
    bool abandoned_ : 1 = false;
    /// Of the chunk that the completion gives to who waits; where there is no ring, lent to the
    /// request.
    std::uint16_t handed_buffer_ = no_buffer;
    std::uint16_t first_ = no_buffer;
    std::uint16_t last_ = no_buffer;
    std::uint32_t handed_length_ = 0;
    int fd_;
    std::shared_ptr<BufferPool> pool_;
    Worker* worker_;
    std::uint32_t flags_;
    std::uint16_t error_ = 0;           ///< an errno
    CoreError failure_ = CoreError::os; ///< of the wait; `os`: none but the socket's own
};

/// Awaits to `Result<Chunk>`; see `RecvStream::next`.
class [[nodiscard]] RecvNextUntil final : public Awaitable {
public:
    RecvNextUntil(RecvStreamState& state, TimePoint deadline) noexcept
        : state_(state), deadline_(deadline) {}
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    bool suspend(PromiseBase& promise) noexcept {
        return state_.suspend_otherwise(promise, &deadline_);
    }
    [[nodiscard]] inline Result<Chunk> await_resume() noexcept;

private:
    RecvStreamState& state_;
    TimePoint deadline_;
};

/// Awaits to `Result<Chunk>`; see `RecvStream::next`.
class [[nodiscard]] RecvNext final : public Awaitable {
public:
    explicit RecvNext(RecvStreamState& state) noexcept : state_(state) {}
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    inline bool suspend(PromiseBase& promise) noexcept;
    [[nodiscard]] inline Result<Chunk> await_resume() noexcept;
    /// The same, but `timed_out` once the deadline is over.
    [[nodiscard]] RecvNextUntil until(TimePoint deadline) && noexcept { return {state_, deadline}; }

private:
    RecvStreamState& state_;
};

/// The bytes that arrive on a socket, in buffers of a pool. One request to the kernel serves all of
/// them (multishot recv); nothing is asked for between two chunks, and a socket that is silent
/// holds no buffer. When the pool runs dry the stream waits until a chunk goes back.
///
///     RecvStream stream(io, socket, pool);
///     for (;;) {
///         ZCO_TRY(Chunk chunk, co_await stream.next());
///         if (chunk.empty()) { break; } // the peer has closed its side
///         ...
///     }
///
/// Ending the stream stops the request; bytes that the kernel has put into buffers by then are
/// lost, as they are when a socket is closed. Cancelling `next` loses nothing. On threads each
/// chunk is one recv(2).
class RecvStream {
public:
    /// The socket must stay open for as long as the stream lives. `flags` are MSG_*.
    RecvStream(
        Io io,
        FdRef socket,
        std::shared_ptr<BufferPool> pool,
        std::uint32_t flags = 0,
        std::source_location made = std::source_location::current()
    );
    RecvStream(RecvStream&& other) noexcept = default;
    RecvStream& operator=(RecvStream&&) = delete;
    ~RecvStream() {
        if (state_) {
            state_.release()->abandon();
        }
    }

    /// The next chunk; an empty one is the end, again and again. One task at a time.
    [[nodiscard]] RecvNext next() noexcept { return RecvNext(*state_); }

private:
    std::unique_ptr<RecvStreamState> state_;
};

inline bool RecvNext::suspend(PromiseBase& promise) noexcept {
    RecvStreamState& state = state_;
    if (state.attention_ != 0 || promise.task->needs_cancel()) [[unlikely]] {
        return state.suspend_otherwise(promise, nullptr);
    }
    state.attention_ = RecvStreamState::awaited;
    state.begin_regardless(promise);
    return state.park();
}

inline Result<Chunk> RecvNext::await_resume() noexcept {
    RecvStreamState& state = state_;
    const std::uint32_t length = state.handed_length_;
    if (length != 0) [[likely]] {
        state.handed_length_ = 0;
        state.pool_->picked();
        return Result<Chunk>(std::in_place, *state.pool_, state.handed_buffer_, length);
    }
    return state.take_otherwise();
}

inline Result<Chunk> RecvNextUntil::await_resume() noexcept {
    return RecvNext(state_).await_resume();
}

} // namespace zsync
