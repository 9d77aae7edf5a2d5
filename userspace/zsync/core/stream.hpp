// Streams: one request to the kernel, many results.
#pragma once

#include <zsync/core/buffer_pool.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/operation_queue.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace zsync {

class RecvStream;
class AcceptStream;

/// What a stream and the kernel share. Outlives the stream until the kernel's last completion.
class RecvStreamState final : public CompletionHandler {
public:
    RecvStreamState(Worker& worker, int fd, std::uint32_t flags, std::shared_ptr<BufferPool> pool)
        : pool_(std::move(pool)), worker_(worker), fd_(fd), flags_(flags) {}
    void complete(std::int32_t result, std::uint32_t flags) noexcept override;
    void buffer_is_free() noexcept;

private:
    friend class BufferPool;
    friend class RecvNext;
    friend class RecvStream;
    static constexpr std::uint16_t none = 0xffff;

    void arm() noexcept;
    void ran_dry() noexcept;
    void queue(std::uint16_t buffer, std::uint32_t length) noexcept;
    [[nodiscard]] bool has_something() const noexcept {
        return first_ != none || ended_ || error_ != 0;
    }
    void abandon() noexcept;

    class RecvNext* waiter_ = nullptr;
    std::shared_ptr<BufferPool> pool_;
    Worker& worker_;
    RecvStreamState* next_starved_ = nullptr;
    int fd_;
    std::uint32_t flags_;
    int error_ = 0;
    std::uint16_t first_ = none;
    std::uint16_t last_ = none;
    std::uint16_t taken_ = none; ///< where there is no ring: the buffer lent to the request
    bool armed_ = false;
    bool starved_ = false;
    bool ended_ = false;
    bool abandoned_ = false;
};

/// Awaits to `Result<Chunk>`; see `RecvStream::next`.
class RecvNext final : public TimedSuspension, public Awaitable {
public:
    explicit RecvNext(RecvStream& stream) noexcept : stream_(stream) {}
    [[nodiscard]] bool await_ready() const noexcept;
    bool suspend(PromiseBase& promise) noexcept;
    [[nodiscard]] Result<Chunk> await_resume() noexcept;
    [[nodiscard]] RecvNext&& until(TimePoint deadline) && noexcept {
        wait_until_ = deadline;
        return std::move(*this);
    }
    void interrupt(CoreError reason) noexcept override;
    [[nodiscard]] std::string_view kind() const noexcept override { return "recv stream"; }

private:
    friend class RecvStreamState;
    bool receive_here(PromiseBase& promise) noexcept;

    RecvStream& stream_;
    std::optional<TimePoint> wait_until_;
    std::optional<Error> failure_;
    Chunk received_; ///< on threads
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
    std::shared_ptr<BufferPool> pool_; ///< on threads, where there is no state
    int fd_;
    std::uint32_t flags_;
    bool on_thread_;
};

} // namespace zsync
