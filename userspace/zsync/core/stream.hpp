// Streams: one request to the kernel, many results.
#pragma once

#include <zsync/core/buffer_pool.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/operation_queue.hpp>

#include <cstdint>
#include <memory>

namespace zsync {

class RecvStream;
class AcceptStream;

/// What a stream and the kernel share. Outlives the stream until the kernel's last completion.
class RecvStreamState final : public CompletionHandler {
public:
    /// `worker` is null on threads.
    RecvStreamState(Worker* worker, int fd, std::uint32_t flags, std::shared_ptr<BufferPool> pool);
    void complete(std::int32_t result, std::uint32_t flags) noexcept override;
    void buffer_is_free() noexcept;

private:
    friend class BufferPool;
    friend class RecvNext;
    friend class RecvStream;

    void arm() noexcept;
    void complete_otherwise(std::int32_t result, std::uint32_t flags) noexcept;
    void ran_dry() noexcept;
    void queue(std::uint16_t buffer, std::uint32_t length) noexcept;
    [[nodiscard]] bool has_something() const noexcept {
        return first_ != no_buffer || ended_ || error_ != 0;
    }
    void abandon() noexcept;

    class RecvNext* waiter_ = nullptr;
    std::shared_ptr<BufferPool> pool_;
    Worker* worker_;
    RecvStreamState* next_starved_ = nullptr;
    int fd_;
    std::uint32_t flags_;
    int error_ = 0;
    std::uint16_t first_ = no_buffer;
    std::uint16_t last_ = no_buffer;
    std::uint16_t taken_ = no_buffer; ///< where there is no ring: the buffer lent to the request
    bool multishot_ = false;
    bool armed_ = false;
    bool starved_ = false;
    bool ended_ = false;
    bool abandoned_ = false;
};

/// Awaits to `Result<Chunk>`; see `RecvStream::next`.
class RecvNext final : public TimedSuspension, public Awaitable {
public:
    explicit RecvNext(RecvStream& stream) noexcept : stream_(stream) {}
    [[nodiscard]] inline bool await_ready() const noexcept;
    inline bool suspend(PromiseBase& promise) noexcept;
    [[nodiscard]] inline Result<Chunk> await_resume() noexcept;
    [[nodiscard]] RecvNext&& until(TimePoint deadline) && noexcept {
        due = deadline;
        has_deadline_ = true;
        return std::move(*this);
    }
    void interrupt(CoreError reason) noexcept override;
    [[nodiscard]] std::string_view kind() const noexcept override { return "recv stream"; }

private:
    friend class RecvStreamState;
    bool suspend_otherwise(PromiseBase& promise) noexcept;
    bool receive_here(PromiseBase& promise) noexcept;
    [[nodiscard]] Result<Chunk> resume_otherwise() noexcept;

    RecvStream& stream_;
    std::uint32_t length_;
    std::uint16_t buffer_ = no_buffer; ///< handed over by the completion that woke it
    bool has_deadline_ = false;
    CoreError failure_ = CoreError::os; ///< `os`: none but the socket's own
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
/// chunk is one recv(2), and a dry pool is ENOBUFS.
class RecvStream {
public:
    /// The socket must stay open for as long as the stream lives. `flags` are MSG_*.
    RecvStream(Io io, FdRef socket, std::shared_ptr<BufferPool> pool, std::uint32_t flags = 0);
    RecvStream(RecvStream&& other) noexcept = default;
    RecvStream& operator=(RecvStream&&) = delete;
    ~RecvStream() {
        if (state_) {
            state_.release()->abandon();
        }
    }

    /// The next chunk; an empty one is the end, again and again. One task at a time.
    [[nodiscard]] RecvNext next() noexcept { return RecvNext(*this); }

private:
    friend class RecvNext;
    std::unique_ptr<RecvStreamState> state_;
    bool on_thread_;
};

inline bool RecvNext::await_ready() const noexcept { return stream_.state_->has_something(); }

inline bool RecvNext::suspend(PromiseBase& promise) noexcept {
    RecvStreamState& state = *stream_.state_;
    if (!state.armed_ || has_deadline_ || promise.task->needs_cancel()) [[unlikely]] {
        return suspend_otherwise(promise);
    }
    begin_regardless(promise);
    state.waiter_ = this;
    return park();
}

inline Result<Chunk> RecvNext::await_resume() noexcept {
    if (buffer_ != no_buffer) [[likely]] {
        return Result<Chunk>(std::in_place, *stream_.state_->pool_, buffer_, length_);
    }
    return resume_otherwise();
}

} // namespace zsync
