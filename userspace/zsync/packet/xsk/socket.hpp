// Socket: an AF_XDP socket, which receives and sends the packets of one queue of an interface.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/result.hpp>
#include <zsync/core/task.hpp>
#include <zsync/packet/xsk/kernel_ring.hpp>
#include <zsync/packet/xsk/limits.hpp>
#include <zsync/packet/xsk/umem.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace zsync::packet::xsk {

/// Frames in the order of their packets; a packet's frames are neighbours, and all there.
class FrameBatch : public std::vector<Frame> {
public:
    FrameBatch() noexcept = default;
    FrameBatch(FrameBatch&&) noexcept = default;
    FrameBatch& operator=(FrameBatch&&) noexcept = default;
    FrameBatch(const FrameBatch&) = delete; // a vector would say that it can be copied
    FrameBatch& operator=(const FrameBatch&) = delete;
    ~FrameBatch() = default;
};

/// Whether the kernel copies packets to and from frames, or the driver uses them itself.
enum class CopyMode : std::uint8_t { copy, zero_copy };
std::string_view name_of(CopyMode mode);

struct SocketOptions {
    std::string ifname;
    std::uint32_t queue = 0;
    /// Entries of each ring, powers of two. The socket keeps as many frames ready to receive into,
    /// so those of a pool should suffice for both rings of all of its sockets.
    std::uint32_t receive_entries = 2048;
    std::uint32_t send_entries = 2048;
    enum class Want : std::uint8_t {
        any,       ///< zero copy where the driver has it, else copy
        copy,      ///
        zero_copy, ///< or fail with the driver's refusal
    };
    Want want = Want::any;
    /// Packets longer than a frame come and go in several (XDP_USE_SG). The XDP program must be one
    /// with fragments (`xdp.frags`).
    bool multi_buffer = false;
    /// Tells the kernel of new entries only when it asks to be told.
    bool need_wakeup = true;
    /// When not zero, waiting polls the device for so long before it sleeps (SO_PREFER_BUSY_POLL,
    /// SO_BUSY_POLL); needs CAP_NET_ADMIN.
    std::chrono::microseconds busy_poll{0};
};

/// XDP_STATISTICS: what the kernel dropped or refused.
struct SocketStats {
    std::uint64_t received = 0;       ///< packets fetched here
    std::uint64_t sent = 0;           ///< packets given to the kernel here
    std::uint64_t lost_ring_full = 0; ///< arrived while the receive ring was full
    std::uint64_t lost_no_frame = 0;  ///< arrived while there was no frame to receive into
    std::uint64_t lost_other = 0;     ///< did not fit a frame, or the like
    std::uint64_t refused_send = 0;   ///< entries that the kernel called invalid
};

/// An AF_XDP socket with rings and a share of a frame pool of its own (no libxdp). Packets come to
/// it where the interface's XDP program redirects them to the entry of an XSKMAP that it is in: see
/// `enter`, `Redirect` for a program that does nothing else, and docs/packet.md for zsyncd's.
///
///     ZCO_TRY(auto pool, Umem::create({}));
///     ZCO_TRY(auto socket, co_await Socket::open(io, pool, {.ifname = "eth0"}));
///     ZCO_CHECK(redirect.enter(*socket));
///     for (FrameBatch batch;;) {
///         ZCO_TRY(batch, co_await socket->receive(std::move(batch)));
///         for (Frame& frame : batch) { inspect(frame.bytes()); }
///         ZCO_CHECK(co_await socket->send(std::move(batch))); // or let them go
///     }
///
/// Used by one thread, that of its pool. Needs CAP_NET_RAW, and CAP_IPC_LOCK or room in
/// RLIMIT_MEMLOCK for the pool.
class Socket {
public:
    /// Opens one for a queue. A queue that is busy is tried again for a second, because the kernel
    /// takes a closed socket apart some time after its close(2) (EBUSY). Fails in words that name
    /// the interface: no such interface or queue, no zero copy, no right.
    static Task<Outcome<std::unique_ptr<Socket>>>
    open(Io io, std::shared_ptr<Umem> pool, SocketOptions options);
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    /// Takes back all frames that the kernel has; must not be awaited any more.
    ~Socket();

    /// Waits for packets and fetches at most `limits::batch_frames_max` frames of them, in a batch
    /// whose memory is used again; what is still in it goes back to its pool. Fails with
    /// ENXIO within `limits::device_check_interval` when the interface has been deleted; a link
    /// that is down is no error, only silent. Cancelling loses nothing.
    Task<Result<FrameBatch>> receive(FrameBatch recycled = {});
    /// Sends packets in order and waits while the ring is full. What is on the ring when this
    /// returns is sent by the kernel; what could not be put there, because of a cancel or an error,
    /// has gone back to the pool. ENETDOWN while the link is down (what is on the ring stays
    /// there), ENXIO when the interface has been deleted, EMSGSIZE, with nothing sent, where a
    /// packet has more than `limits::packet_frames_max` frames.
    Task<Result<void>> send(FrameBatch batch);
    /// Waits until the kernel has sent all that was given to it, or for what else there is to say
    /// of it.
    Task<Result<void>> flush();

    /// \name Without waiting
    /// \{
    /// Fetches what has come, as `receive` does; perhaps nothing.
    void fetch(FrameBatch& batch);
    /// Puts the first frames of `batch` on the ring and takes them out of it, as many as there is
    /// room for; call `push` after that.
    std::size_t queue(std::span<Frame> batch);
    /// Has the kernel send what is on the ring, as far as it does without waiting.
    Result<void> push();
    /// Moves packets from this socket to `out`, of the same pool, where they lie. `decide` may
    /// change the bytes of a packet's first frame, and says whether it goes on (true) or is
    /// dropped. Stops when no packet is left, when `out` has no room (what has come stays on the
    /// ring), or after `limits::batch_frames_max` frames. The number of frames moved and dropped;
    /// call `out.push` after that.
    template <class Decide> std::size_t forward(Socket& out, Decide&& decide);
    /// \}

    /// Waits until there is something to fetch, or the socket's error; `timed_out` past `deadline`.
    Task<Result<void>> wait_readable(TimePoint deadline = TimePoint::max());
    /// Waits until half of the ring for sending is free, or the socket's error.
    Task<Result<void>> wait_writable();

    /// Whether there is something to fetch.
    [[nodiscard]] bool has_received() noexcept { return receive_.available(1) != 0; }

    /// What is told by getsockopt(XDP_OPTIONS), not what was asked for.
    [[nodiscard]] CopyMode copy_mode() const noexcept {
        return zero_copy_ ? CopyMode::zero_copy : CopyMode::copy;
    }
    [[nodiscard]] Result<SocketStats> stats() const;
    [[nodiscard]] const Fd& fd() const noexcept { return fd_; }
    [[nodiscard]] std::uint32_t ifindex() const noexcept { return ifindex_; }
    [[nodiscard]] std::uint32_t queue_id() const noexcept { return queue_; }
    [[nodiscard]] Umem& pool() const noexcept { return *pool_; }
    /// Frames that the kernel has been given to send and that have not come back.
    [[nodiscard]] std::uint32_t sending() const noexcept { return sending_; }

private:
    friend class Umem;

    Socket(Io io, std::shared_ptr<Umem> pool) noexcept : io_(io), pool_(std::move(pool)) {}
    static Outcome<std::unique_ptr<Socket>>
    try_open(Io io, std::shared_ptr<Umem> pool, const SocketOptions& options);
    Result<void> make_rings(const SocketOptions& options);
    Result<void> share_memory();
    Result<void> bind(const SocketOptions& options);
    Result<bool> bind_shared();
    void fill() noexcept;
    void refill() noexcept;
    void collect_sent() noexcept;
    [[nodiscard]] Result<void> check_device() noexcept;
    Task<Result<void>> wait(std::uint32_t events, TimePoint deadline);

    static constexpr std::uint32_t prefetched_frames = 8;

    Io io_;
    std::shared_ptr<Umem> pool_;
    Fd fd_;
    KernelRing<std::uint64_t> fill_;
    KernelRing<std::uint64_t> completion_;
    KernelRing<xdp_desc> receive_;
    KernelRing<xdp_desc> send_;
    std::uint32_t receiving_ = 0; ///< frames with the kernel to receive into
    std::uint32_t sending_ = 0;   ///< frames with the kernel to be sent
    std::uint64_t received_ = 0;
    std::uint64_t sent_ = 0;
    std::uint32_t ifindex_ = 0;
    std::uint32_t queue_ = 0;
    std::uint8_t slot_ = 0;
    bool in_pool_ = false;
    bool zero_copy_ = false;
    bool starving_ = false; ///< wants frames to receive into
    bool need_wakeup_ = false;
    bool busy_poll_ = false;
    bool gone_ = false; ///< its interface has been deleted
};

template <class Decide> std::size_t Socket::forward(Socket& out, Decide&& decide) {
    const std::uint32_t ready = receive_.available(limits::batch_frames_max);
    if (ready == 0) {
        return 0;
    }
    if (out.send_.room(ready) < ready) {
        out.collect_sent();
    }
    std::uint32_t done = 0;
    std::uint32_t room = out.send_.room(ready);
    while (done < ready) {
        std::uint32_t parts = 1;
        while (done + parts <= ready &&
               (receive_.peek(done + parts - 1).options & XDP_PKT_CONTD) != 0) {
            ++parts;
        }
        if (done + parts > ready || parts > room) {
            break; // its last part comes with the next call, or it waits for room
        }
        // What another processor wrote is not in this one's cache.
        if (const std::uint32_t ahead = done + prefetched_frames; ahead < ready) {
            __builtin_prefetch(pool_->at(receive_.peek(ahead).addr), 1);
        }
        const xdp_desc& first = receive_.peek(done);
        const bool goes_on = decide(std::span(pool_->at(first.addr), first.len));
        for (std::uint32_t part = 0; part < parts; ++part) {
            const xdp_desc& entry = receive_.peek(done + part);
            const std::uint32_t index = pool_->index_of(entry.addr);
            if (goes_on) {
                pool_->change(index, Umem::Use::receiving, Umem::Use::sending, out.slot_);
                out.send_.produce(entry);
            } else {
                pool_->give_back(index, Umem::Use::receiving);
            }
        }
        receiving_ -= parts;
        ++received_;
        if (goes_on) {
            out.sending_ += parts;
            ++out.sent_;
            room -= parts;
        }
        done += parts;
    }
    receive_.consume(done);
    out.send_.publish();
    refill();
    return done;
}

} // namespace zsync::packet::xsk
