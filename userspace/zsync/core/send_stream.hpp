// SendStream: received chunks on their way out again.
#pragma once

#include <zsync/core/buffer_pool.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/standing_request.hpp>
#include <zsync/core/submission_queue.hpp>

#include <cstdint>
#include <limits>
#include <memory>
#include <source_location>
#include <string>

namespace zsync {

/// What a stream and the kernel share, and the wait of the task that writes to it. Outlives the
/// stream until everything in it is sent.
class SendStreamState final : public StandingRequest, public Suspension {
public:
    /// `worker` is null on threads.
    SendStreamState(
        Worker* worker, int fd, std::shared_ptr<BufferPool> pool, const std::source_location& made
    );
    SendStreamState(const SendStreamState&) = delete;
    SendStreamState& operator=(const SendStreamState&) = delete;
    ~SendStreamState(); // not here: each coroutine with a stream would prepare for it
    void complete(std::int32_t result, std::uint32_t flags) noexcept override;
    void interrupt(CoreError reason) noexcept override;
    [[nodiscard]] std::string_view kind() const noexcept override { return "send stream"; }
    [[nodiscard]] bool is_standing() const noexcept override { return !is_empty() && !abandoned_; }
    [[nodiscard]] std::string describe() const override;
    void stop() noexcept override;

private:
    struct Afterwards;
    struct Rest;
    struct Unusual;
    friend class Ring;
    friend class SendStream;
    friend class SendWait;

    /// Values of `usual_` that are no length.
    static constexpr std::int32_t idle = 0;
    static constexpr std::int32_t never = std::numeric_limits<std::int32_t>::min();

    [[nodiscard]] CompletionTarget target() noexcept { return {*this, HandlerKind::send_stream}; }
    [[nodiscard]] bool is_empty() const noexcept {
        return usual_ == idle || (usual_ == never && queued_ == 0);
    }
    /// Sends the first chunk, on a ring.
    [[gnu::always_inline]] void push_idle(std::uint16_t buffer, std::uint32_t length) noexcept {
        first_ = buffer;
        usual_ = static_cast<std::int32_t>(length);
        submission_->queue_send(fd_, pool_->buffer(buffer), length, target());
    }
    void completed(std::int32_t result) noexcept;
    /// False when the chunk has to wait.
    [[nodiscard]] bool push_otherwise(Chunk&& chunk) noexcept;
    void leave_usual() noexcept;
    [[nodiscard]] Unusual& unusual();
    void push(std::uint16_t buffer, std::uint32_t length) noexcept;
    void send_first() noexcept;
    void send_queued() noexcept;
    [[nodiscard]] bool has_rested(std::int32_t result) noexcept;
    void complete_otherwise(std::int32_t result) noexcept;
    void wake_waiter() noexcept;
    void drop_first() noexcept;
    void drop_all() noexcept;
    void drop_sent(std::uint32_t bytes) noexcept;
    void abandon() noexcept;
    bool suspend(PromiseBase& promise) noexcept;
    bool send_here(PromiseBase& promise) noexcept;
    [[nodiscard]] bool send_some_here(PromiseBase& promise) noexcept;
    [[nodiscard]] Result<void> outcome() noexcept;

    SubmissionQueue* submission_ = nullptr; ///< of a ring, where that is what we have
    std::shared_ptr<BufferPool> pool_;
    int fd_;
    /// `idle` on a ring while nothing is queued; the length of the only chunk while that
    /// is being sent and nobody waits; `never` whenever it is not as simple as that.
    std::int32_t usual_;
    std::uint16_t first_ = no_buffer; ///< the chunk that is being sent, if any is
    std::uint16_t last_ = no_buffer;  ///< the last one behind it
    bool awaited_ = false;
    bool abandoned_ = false;
    CoreError failure_ = CoreError::os; ///< of the wait; `os`: none but the socket's own
    // What follows is true while `usual_` is `never`.
    std::uint32_t queued_ = 0; ///< chunks, the one that is being sent included
    std::uint32_t first_length_ = 0;
    std::uint32_t sent_ = 0; ///< bytes of the first chunk
    int error_ = 0;
    Worker* worker_;
    Chunk waiting_;                    ///< for room
    std::unique_ptr<Unusual> unusual_; ///< made when something in it is first needed
};

/// Awaits to `Result<void>`; see `SendStream`.
class [[nodiscard]] SendWait final : public Awaitable {
public:
    /// `state` is null when there is nothing to wait for.
    explicit SendWait(SendStreamState* state) noexcept : state_(state) {}
    [[nodiscard]] bool await_ready() const noexcept { return state_ == nullptr; }
    bool suspend(PromiseBase& promise) noexcept { return state_->suspend(promise); }
    [[nodiscard]] Result<void> await_resume() const noexcept {
        if (state_ == nullptr) [[likely]] {
            return {};
        }
        return state_->outcome();
    }
    /// The chunk that could not be sent, right after a wait that failed; empty when the stream has
    /// it. What nobody takes back goes with the stream's next call, or its end.
    ///
    ///     auto sending = out.send(std::move(chunk));
    ///     if (!co_await sending) { chunk = sending.take_back(); }
    [[nodiscard]] Chunk take_back() noexcept {
        return state_ != nullptr ? std::move(state_->waiting_) : Chunk();
    }

private:
    SendStreamState* state_;
};

/// Sends chunks of a pool over a socket in the order they are given, without a wait for each: a
/// chunk belongs to the stream from then on and goes back to its pool when the kernel has taken it.
/// At most `limits::send_stream_chunks_max` are queued; `send` waits for room. What has queued
/// while one send was under way goes out together, in the next.
///
///     SendStream out(io, socket, pool);
///     ZCO_CHECK(co_await out.send(std::move(chunk)));
///     ...
///     ZCO_CHECK(co_await out.flush());
///
/// A failed send drops what is queued and is returned by every call from then on; but a socket that
/// has no memory for a moment (ENOBUFS) is tried again after `limits::send_stream_rest_ms`.
/// Cancelling a wait leaves what is queued; a chunk that waited for room has not been sent, not in
/// part either, and `take_back` gives it back. On a thread a cancel that comes when part of a chunk
/// has gone out stays pending, and the next call sends the rest.
///
/// The socket outlives the stream, and may be closed with it. A stream that ends unflushed goes on
/// sending by a descriptor of its own, for `limits::send_stream_linger_ms` at most: until then the
/// peer sees no end. Where no descriptor is left, and on a thread, what is queued is dropped.
class SendStream {
public:
    SendStream(
        Io io,
        FdRef socket,
        std::shared_ptr<BufferPool> pool,
        std::source_location made = std::source_location::current()
    );
    SendStream(SendStream&& other) noexcept = default;
    SendStream& operator=(SendStream&&) = delete;
    ~SendStream() {
        if (state_) {
            state_.release()->abandon();
        }
    }

    /// The chunk is the stream's from here on. The wait is for room, where there is none.
    [[nodiscard]] [[gnu::always_inline]] SendWait send(Chunk&& chunk) noexcept {
        SendStreamState& state = *state_;
        if (state.usual_ == SendStreamState::idle && !chunk.empty()) [[likely]] {
            const auto length = static_cast<std::uint32_t>(chunk.size());
            state.push_idle(chunk.release(), length);
            return SendWait(nullptr);
        }
        return SendWait(state.push_otherwise(std::move(chunk)) ? nullptr : &state);
    }
    /// Waits until all is sent.
    [[nodiscard]] SendWait flush() noexcept {
        if (state_->is_empty() && state_->error_ == 0) {
            return SendWait(nullptr);
        }
        state_->waiting_ = Chunk();
        return SendWait(state_.get());
    }

private:
    std::unique_ptr<SendStreamState> state_;
};

} // namespace zsync
