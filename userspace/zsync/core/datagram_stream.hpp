// DatagramStream: the datagrams that arrive on a socket.
#pragma once

#include <zsync/core/buffer_pool.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/operation_queue.hpp>
#include <zsync/core/standing_request.hpp>

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <utility>

namespace zsync {

class DatagramNext;
class DatagramStream;
class Worker;

/// A datagram in a buffer of a pool, which goes back when it ends. Must end before its pool, on the
/// pool's worker.
class [[nodiscard]] ReceivedDatagram {
public:
    [[nodiscard]] std::span<std::byte> bytes() const noexcept {
        return chunk_.bytes().subspan(offset_);
    }
    /// Where it came from; of length 0 on sockets that do not tell.
    [[nodiscard]] const SocketAddress& from() const noexcept { return from_; }
    /// It was longer than its buffer; the rest is lost.
    [[nodiscard]] bool truncated() const noexcept { return truncated_; }
    /// On a socket with UDP_GRO (udp(7)) the kernel gives datagrams of one sender together: each is
    /// so long, the last may be shorter. 0: it is one datagram.
    [[nodiscard]] std::uint32_t segment_bytes() const noexcept { return segment_bytes_; }

private:
    friend class DatagramStreamState;
    ReceivedDatagram() noexcept = default;

    Chunk chunk_;
    SocketAddress from_;
    std::uint32_t offset_ = 0;
    std::uint32_t segment_bytes_ = 0;
    bool truncated_ = false;
};

/// What a stream and the kernel share. Outlives the stream until the kernel's last completion.
class DatagramStreamState final : public StandingRequest, public BufferWaiter {
public:
    /// `worker` is null on threads.
    DatagramStreamState(
        Worker* worker, int fd, std::shared_ptr<BufferPool> pool, const std::source_location& made
    );
    void complete(std::int32_t result, std::uint32_t flags) noexcept override;
    [[nodiscard]] bool is_standing() const noexcept override { return armed_ && !abandoned_; }
    [[nodiscard]] std::string describe() const override;
    void stop() noexcept override;
    bool buffer_is_free() noexcept override;

private:
    friend class DatagramNext;
    friend class DatagramStream;

    [[nodiscard]] bool has_something() const noexcept { return first_ != no_buffer || error_ != 0; }
    void arm() noexcept;
    void lend(OperationRequest& request) noexcept;
    void starve() noexcept;
    void queue(std::uint16_t buffer, std::uint32_t length) noexcept;
    void wake_waiter() noexcept;
    [[nodiscard]] ReceivedDatagram take() noexcept;
    void tell_of(ReceivedDatagram& datagram) const noexcept;
    void describe_single(ReceivedDatagram& datagram) const noexcept;
    void abandon() noexcept;

    /// Room for the one control message that is asked for.
    static constexpr std::size_t control_bytes = CMSG_SPACE(sizeof(int));

    DatagramNext* waiter_ = nullptr;
    std::shared_ptr<BufferPool> pool_;
    Worker* worker_;
    int fd_;
    int error_ = 0;
    std::uint16_t first_ = no_buffer; ///< queued datagrams, by `BufferPool::filled`
    std::uint16_t last_ = no_buffer;
    std::uint16_t taken_ = no_buffer; ///< where there is no ring: the buffer lent to the request
    bool multishot_ = false;
    bool armed_ = false;
    bool starved_ = false;
    bool abandoned_ = false;
    /// What each request is told, and where it is not multishot, what the last one gave.
    msghdr message_{};
    iovec part_{};
    sockaddr_storage from_{};
    alignas(cmsghdr) std::byte control_[control_bytes]{};
};

/// Awaits to `Result<ReceivedDatagram>`; see `DatagramStream::next`.
class DatagramNext final : public TimedSuspension, public Awaitable {
public:
    explicit DatagramNext(DatagramStreamState& state) noexcept : state_(state) {}
    [[nodiscard]] bool await_ready() const noexcept { return state_.has_something(); }
    bool suspend(PromiseBase& promise) noexcept;
    [[nodiscard]] Result<ReceivedDatagram> await_resume() noexcept;
    [[nodiscard]] DatagramNext&& until(TimePoint deadline) && noexcept {
        due = deadline;
        has_deadline_ = true;
        return std::move(*this);
    }
    void interrupt(CoreError reason) noexcept override;
    [[nodiscard]] std::string_view kind() const noexcept override { return "datagram stream"; }

private:
    friend class DatagramStreamState;
    [[nodiscard]] bool take_buffer(PromiseBase& promise, std::uint16_t& buffer) noexcept;
    bool receive_here(PromiseBase& promise) noexcept;

    DatagramStreamState& state_;
    bool has_deadline_ = false;
    CoreError failure_ = CoreError::os; ///< `os`: none but the socket's own
};

/// The datagrams that arrive on a socket, in buffers of a pool, with where each came from. On a
/// ring one request serves all of them (multishot recvmsg) and one wake-up as many as have arrived:
/// `next` waits only when none is left.
///
///     DatagramStream stream(io, socket, pool);
///     for (;;) {
///         ZCO_TRY(const ReceivedDatagram datagram, co_await stream.next());
///         use(datagram.bytes(), datagram.from());
///     }
///
/// On a ring a buffer also holds the datagram's description: up to `overhead_bytes` of it. When the
/// pool runs dry `next` waits until a datagram's buffer goes back; meanwhile datagrams wait in the
/// socket, which drops those that it has no room for. An error of the socket, such as ECONNREFUSED
/// for a datagram sent before, is given once. Ending the stream drops the datagrams in it;
/// cancelling `next` loses none. On threads each datagram is one recvmsg(2).
class DatagramStream {
public:
    /// struct io_uring_recvmsg_out, an address, a control message.
    static constexpr std::uint32_t overhead_bytes = 16 + sizeof(sockaddr_storage) + 24;

    /// The socket must stay open for as long as the stream lives. Where the pool's buffers are not
    /// larger than the description, each datagram is asked for.
    DatagramStream(
        Io io,
        FdRef socket,
        std::shared_ptr<BufferPool> pool,
        std::source_location made = std::source_location::current()
    );
    DatagramStream(DatagramStream&& other) noexcept = default;
    DatagramStream& operator=(DatagramStream&&) = delete;
    ~DatagramStream() {
        if (state_) {
            state_.release()->abandon();
        }
    }

    /// The next datagram; an empty one is a datagram too. One task at a time.
    [[nodiscard]] DatagramNext next() noexcept { return DatagramNext(*state_); }

private:
    std::unique_ptr<DatagramStreamState> state_;
};

} // namespace zsync
