// SendStream: received chunks on their way out again.
#pragma once

#include <zsync/core/buffer_pool.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/operation_queue.hpp>

#include <cstdint>
#include <memory>

namespace zsync {

class Ring;
class SendWait;

/// What a stream and the kernel share. Outlives the stream until everything in it is sent.
class SendStreamState final : public CompletionHandler {
public:
    /// `worker` is null on threads.
    SendStreamState(Worker* worker, int fd, std::shared_ptr<BufferPool> pool);
    void complete(std::int32_t result, std::uint32_t flags) noexcept override;

private:
    friend class SendStream;
    friend class SendWait;

    [[nodiscard]] bool has_room() const noexcept {
        return queued_ < limits::send_stream_chunks_max && error_ == 0 && worker_ != nullptr;
    }
    void push(Chunk&& chunk) noexcept;
    void push_behind(std::uint16_t buffer) noexcept;
    void send_first() noexcept;
    void complete_otherwise(std::int32_t result) noexcept;
    void wake_waiter() noexcept;
    void drop_first() noexcept;
    void abandon() noexcept;

    std::shared_ptr<BufferPool> pool_;
    Ring* ring_ = nullptr;
    Worker* worker_;
    SendWait* waiter_ = nullptr;
    Chunk waiting_; ///< for room
    int fd_;
    int error_ = 0;
    std::uint32_t queued_ = 0;  ///< chunks, the one that is being sent included
    std::uint32_t sending_ = 0; ///< bytes asked to be sent
    std::uint32_t sent_ = 0;    ///< bytes of the first chunk
    std::uint16_t first_ = no_buffer;
    std::uint16_t last_ = no_buffer;
    bool abandoned_ = false;
};

/// Awaits to `Result<void>`; see `SendStream`.
class SendWait final : public Suspension, public Awaitable {
public:
    /// `done`: there is nothing to wait for.
    SendWait(SendStreamState& state, bool done) noexcept : state_(state), done_(done) {}
    [[nodiscard]] bool await_ready() const noexcept { return done_; }
    bool suspend(PromiseBase& promise) noexcept;
    [[nodiscard]] Result<void> await_resume() const noexcept {
        if (done_) [[likely]] {
            return {};
        }
        return outcome();
    }
    void interrupt(CoreError reason) noexcept override;
    [[nodiscard]] std::string_view kind() const noexcept override { return "send stream"; }

private:
    friend class SendStreamState;
    bool send_here(PromiseBase& promise) noexcept;
    [[nodiscard]] Result<void> outcome() const noexcept;

    SendStreamState& state_;
    bool done_;
    CoreError failure_ = CoreError::os; ///< `os`: none but the socket's own
};

/// Sends chunks of a pool over a socket in the order they are given, without a wait for each: a
/// chunk belongs to the stream from then on and goes back to its pool when the kernel has taken it.
/// At most `limits::send_stream_chunks_max` are queued; `send` waits for room.
///
///     SendStream out(io, socket, pool);
///     ZCO_CHECK(co_await out.send(std::move(chunk)));
///     ...
///     ZCO_CHECK(co_await out.flush());
///
/// A failed send drops what is queued and is returned by every call from then on. A stream that
/// ends unflushed goes on sending while its socket is open. Cancelling a wait leaves what is
/// queued.
class SendStream {
public:
    SendStream(Io io, FdRef socket, std::shared_ptr<BufferPool> pool);
    SendStream(SendStream&& other) noexcept = default;
    SendStream& operator=(SendStream&&) = delete;
    ~SendStream() {
        if (state_) {
            state_.release()->abandon();
        }
    }

    /// The chunk is the stream's from here on. The wait is for room, where there is none.
    [[nodiscard]] SendWait send(Chunk&& chunk) noexcept {
        if (state_->has_room() && !chunk.empty()) [[likely]] {
            state_->push(std::move(chunk));
            return {*state_, true};
        }
        if (chunk.empty()) {
            return {*state_, state_->error_ == 0};
        }
        state_->waiting_ = std::move(chunk);
        return {*state_, false};
    }
    /// Waits until all is sent.
    [[nodiscard]] SendWait flush() noexcept {
        return {*state_, state_->queued_ == 0 && state_->error_ == 0};
    }

private:
    std::unique_ptr<SendStreamState> state_;
};

} // namespace zsync
