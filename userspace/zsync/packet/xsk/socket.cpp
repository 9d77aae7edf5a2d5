#include <zsync/packet/xsk/socket.hpp>

#include <linux/if_xdp.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <format>
#include <poll.h>

namespace zsync::packet::xsk {
namespace {

/// setsockopt(2) of Linux 6.17 and newer, which older headers don't name: the most packets that one
/// call sends in copy mode, 32 where it is not set.
constexpr int xdp_max_tx_skb_budget = 9;
/// Packets that the kernel handles for one busy poll.
constexpr int busy_poll_budget = 64;

template <class T> Result<void> set_option(const Fd& fd, int level, int name, const T& value) {
    if (::setsockopt(fd.get(), level, name, &value, sizeof value) != 0) {
        return fail(os_error(errno));
    }
    return {};
}

template <class T> Result<void> read_option(const Fd& fd, int name, T& value) {
    socklen_t bytes = sizeof value;
    if (::getsockopt(fd.get(), SOL_XDP, name, &value, &bytes) != 0) {
        return fail(os_error(errno));
    }
    return {};
}

template <class Entry>
Result<KernelRing<Entry>> map_ring(
    const Fd& fd,
    int option,
    std::uint64_t place,
    const xdp_ring_offset& offsets,
    std::uint32_t entries,
    bool we_produce
) {
    ZTRY(set_option(fd, SOL_XDP, option, entries));
    return KernelRing<Entry>::map(fd.get(), place, offsets, entries, we_produce);
}

Outcome<void> check(const SocketOptions& options) {
    for (const std::uint32_t entries : {options.receive_entries, options.send_entries}) {
        if (!std::has_single_bit(entries) || entries > limits::ring_entries_max ||
            entries < limits::packet_frames_max) {
            return fail(
                CoreError::invalid_argument,
                std::format(
                    "a ring of {} has a power of two of entries from {} to {}, not {}",
                    options.ifname,
                    std::bit_ceil(limits::packet_frames_max),
                    limits::ring_entries_max,
                    entries
                )
            );
        }
    }
    return {};
}

Fault fault_of(Error error, const SocketOptions& options) {
    const auto said = [&](std::string_view words) {
        return Fault(error, std::format("queue {} of {} {}", options.queue, options.ifname, words));
    };
    switch (error.os_error()) {
    case EBUSY:
        return said("has an AF_XDP socket of somebody else");
    case EOPNOTSUPP:
        return said(
            options.want == SocketOptions::Want::zero_copy
                ? "has no zero copy: its driver cannot"
                : "takes no such AF_XDP socket: its driver cannot"
        );
    case EINVAL:
        return said("takes no AF_XDP socket: there is no such queue, or not with these options");
    case EPERM:
    case EACCES:
        return said("may not be opened: that needs CAP_NET_RAW");
    case ENOBUFS:
    case ENOMEM:
        return said(
            "cannot have its memory pinned: that needs CAP_IPC_LOCK, or room in RLIMIT_MEMLOCK"
        );
    case EAFNOSUPPORT:
        return said("cannot be opened: this kernel has no AF_XDP, or a sandbox forbids it");
    default:
        return said(std::format("cannot be opened: {}", error.message()));
    }
}

} // namespace

std::string_view name_of(CopyMode mode) { return mode == CopyMode::copy ? "copy" : "zero copy"; }

Task<Outcome<std::unique_ptr<Socket>>>
Socket::open(Io io, std::shared_ptr<Umem> pool, SocketOptions options) {
    for (int attempt = 1;; ++attempt) {
        auto opened = try_open(io, pool, options);
        if (opened || opened.error().error.os_error() != EBUSY ||
            attempt == limits::open_attempts_max) {
            co_return opened;
        }
        ZCO_CHECK(co_await io.sleep_for(limits::open_retry_interval));
    }
}

Outcome<std::unique_ptr<Socket>>
Socket::try_open(Io io, std::shared_ptr<Umem> pool, const SocketOptions& options) {
    ZTRY(check(options));
    std::unique_ptr<Socket> socket(new Socket(io, std::move(pool)));
    const auto with_words = [&](const Error& error) { return fault_of(error, options); };
    socket->queue_ = options.queue;
    socket->need_wakeup_ = options.need_wakeup;
    socket->ifindex_ = ::if_nametoindex(options.ifname.c_str());
    if (socket->ifindex_ == 0) {
        return fail(os_error(errno), std::format("no interface {} here", options.ifname));
    }
    socket->fd_ = Fd(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (!socket->fd_) {
        return std::unexpected(with_words(os_error(errno)));
    }
    ZTRY(socket->make_rings(options).transform_error(with_words));
    ZTRY(socket->bind(options).transform_error(with_words));
    xdp_options told{};
    ZTRY(read_option(socket->fd_, XDP_OPTIONS, told).transform_error(with_words));
    socket->zero_copy_ = (told.flags & XDP_OPTIONS_ZEROCOPY) != 0;
    socket->pool_->release_retired(socket->ifindex_, socket->queue_);
    socket->slot_ = ZTRY(socket->pool_->enter(*socket).transform_error([&](const Error& error) {
        return Fault(
            error,
            std::format(
                "queue {} of {} finds its pool full: {} sockets share one at most",
                options.queue,
                options.ifname,
                limits::sockets_max
            )
        );
    }));
    socket->in_pool_ = true;
    // Sends as many as there are with one call where the kernel lets it (Linux 6.17).
    (void)set_option(socket->fd_, SOL_XDP, xdp_max_tx_skb_budget, options.send_entries);
    if (options.busy_poll.count() != 0) {
        const auto usec = static_cast<int>(options.busy_poll.count());
        ZTRY(set_option(socket->fd_, SOL_SOCKET, SO_PREFER_BUSY_POLL, 1)
                 .and_then([&] { return set_option(socket->fd_, SOL_SOCKET, SO_BUSY_POLL, usec); })
                 .and_then([&] {
                     return set_option(
                         socket->fd_, SOL_SOCKET, SO_BUSY_POLL_BUDGET, busy_poll_budget
                     );
                 })
                 .transform_error(with_words));
        socket->busy_poll_ = true;
    }
    socket->refill();
    return socket;
}

Result<void> Socket::make_rings(const SocketOptions& options) {
    xdp_mmap_offsets offsets{};
    // A first entry of each, because the kernel tells offsets without any.
    ZTRY(read_option(fd_, XDP_MMAP_OFFSETS, offsets));
    fill_ = ZTRY(map_ring<std::uint64_t>(
        fd_, XDP_UMEM_FILL_RING, XDP_UMEM_PGOFF_FILL_RING, offsets.fr, options.receive_entries, true
    ));
    completion_ = ZTRY(map_ring<std::uint64_t>(
        fd_,
        XDP_UMEM_COMPLETION_RING,
        XDP_UMEM_PGOFF_COMPLETION_RING,
        offsets.cr,
        options.send_entries,
        false
    ));
    receive_ = ZTRY(map_ring<xdp_desc>(
        fd_, XDP_RX_RING, XDP_PGOFF_RX_RING, offsets.rx, options.receive_entries, false
    ));
    send_ = ZTRY(map_ring<xdp_desc>(
        fd_, XDP_TX_RING, XDP_PGOFF_TX_RING, offsets.tx, options.send_entries, true
    ));
    return {};
}

/// Binds with the memory of a socket that is bound already, so that it is pinned once. False when
/// there is none: the first one, or interfaces were deleted under all others.
Result<bool> Socket::bind_shared() {
    for (const Socket* other : pool_->sockets_) {
        if (other == nullptr) {
            continue;
        }
        sockaddr_xdp address{};
        address.sxdp_family = AF_XDP;
        address.sxdp_ifindex = ifindex_;
        address.sxdp_queue_id = queue_;
        address.sxdp_flags = XDP_SHARED_UMEM;
        address.sxdp_shared_umem_fd = static_cast<std::uint32_t>(other->fd_.get());
        if (::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
            return true;
        }
        if (errno != EBADF) {
            return fail(os_error(errno));
        }
    }
    return false;
}

Result<void> Socket::bind(const SocketOptions& options) {
    if (ZTRY(bind_shared())) {
        return {};
    }
    xdp_umem_reg memory{};
    memory.addr = reinterpret_cast<std::uintptr_t>(pool_->memory_);
    memory.len = pool_->memory_bytes_;
    memory.chunk_size = pool_->frame_bytes();
    ZTRY(set_option(fd_, SOL_XDP, XDP_UMEM_REG, memory));
    sockaddr_xdp address{};
    address.sxdp_family = AF_XDP;
    address.sxdp_ifindex = ifindex_;
    address.sxdp_queue_id = queue_;
    if (options.want != SocketOptions::Want::any) {
        address.sxdp_flags |= options.want == SocketOptions::Want::copy ? XDP_COPY : XDP_ZEROCOPY;
    }
    if (options.need_wakeup) {
        address.sxdp_flags |= XDP_USE_NEED_WAKEUP;
    }
    if (options.multi_buffer) {
        address.sxdp_flags |= XDP_USE_SG;
    }
    if (::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return fail(os_error(errno));
    }
    return {};
}

Socket::~Socket() {
    if (starving_) {
        --pool_->starving_;
        starving_ = false;
    }
    const bool was_in_pool = in_pool_;
    fd_.reset();
    if (was_in_pool) {
        pool_->leave(*this, slot_);
    }
}

/// Gives the kernel frames to receive into, as many as its ring takes.
void Socket::fill() noexcept {
    std::vector<std::uint32_t>& free = pool_->free_;
    const std::uint32_t wanted = fill_.room(fill_.size());
    const auto count = std::min(wanted, static_cast<std::uint32_t>(free.size()));
    for (std::uint32_t i = 0; i < count; ++i) {
        const std::uint32_t index = free.back();
        free.pop_back();
        pool_->change(index, Umem::Use::free, Umem::Use::receiving, slot_);
        fill_.produce(std::uint64_t{index} << pool_->shift_);
    }
    receiving_ += count;
    if (count != 0) {
        fill_.publish();
        if (need_wakeup_ && fill_.needs_wakeup()) {
            (void)::recvfrom(fd_.get(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
        }
    }
    // A socket that has some is fed by its next fetch.
    const bool starves = count < wanted && receiving_ < fill_.size() / 2;
    if (starves != starving_) {
        starving_ = starves;
        starves ? ++pool_->starving_ : --pool_->starving_;
    }
}

void Socket::refill() noexcept {
    if (pool_->free_.size() < fill_.room(fill_.size())) {
        pool_->collect();
    }
    fill();
}

void Socket::collect_sent() noexcept {
    if (sending_ == 0) {
        return;
    }
    const std::uint32_t count = completion_.available(completion_.size());
    // Counted before they are given back: that may feed a socket, and be looked at.
    sending_ -= count;
    for (std::uint32_t i = 0; i < count; ++i) {
        pool_->give_back(pool_->index_of(completion_.peek(i)), Umem::Use::sending);
    }
    completion_.consume(count);
}

void Socket::fetch(FrameBatch& batch) {
    batch.clear();
    const std::uint32_t ready = receive_.available(limits::batch_frames_max);
    std::uint32_t whole = ready;
    while (whole > 0 && (receive_.peek(whole - 1).options & XDP_PKT_CONTD) != 0) {
        --whole;
    }
    for (std::uint32_t i = 0; i < whole; ++i) {
        const xdp_desc& entry = receive_.peek(i);
        const std::uint32_t index = pool_->index_of(entry.addr);
        const bool continues = (entry.options & XDP_PKT_CONTD) != 0;
        pool_->change(index, Umem::Use::receiving, Umem::Use::held, 0);
        const auto offset = static_cast<std::uint16_t>(entry.addr & (pool_->frame_bytes() - 1));
        batch.push_back(Frame(*pool_, index, offset, entry.len, continues));
        received_ += continues ? 0 : 1;
    }
    receiving_ -= whole;
    pool_->held_ += whole;
    receive_.consume(whole);
    refill();
}

std::size_t Socket::queue(std::span<Frame> batch) {
    const auto wanted =
        static_cast<std::uint32_t>(std::min<std::size_t>(batch.size(), send_.size()));
    if (send_.room(wanted) < wanted) {
        collect_sent();
    }
    std::uint32_t count = send_.room(wanted);
    while (count > 0 && batch[count - 1].continues_) {
        --count; // a packet's frames go together
    }
    for (Frame& frame : batch.first(count)) {
        ZASSERT(frame.pool_ == pool_.get(), "a socket sends frames of its own pool");
        send_.produce({
            .addr = (std::uint64_t{frame.index_} << pool_->shift_) + frame.offset_,
            .len = frame.length_,
            .options = frame.continues_ ? XDP_PKT_CONTD : 0U,
        });
        pool_->change(frame.index_, Umem::Use::held, Umem::Use::sending, slot_);
        sent_ += frame.continues_ ? 0 : 1;
        frame.pool_ = nullptr;
    }
    pool_->held_ -= count;
    sending_ += count;
    send_.publish();
    return count;
}

/// In copy mode one call sends so many packets and no more, so it is made until nothing moves.
Result<void> Socket::push() {
    if (gone_) {
        return fail(os_error(ENXIO));
    }
    if (need_wakeup_ && !send_.needs_wakeup()) {
        return {};
    }
    std::uint32_t left = send_.unconsumed();
    while (left != 0) {
        if (::sendto(fd_.get(), nullptr, 0, MSG_DONTWAIT, nullptr, 0) < 0) {
            // A queue that is full, or a lock that somebody holds: what is left is sent later.
            if (errno != EAGAIN && errno != ENOBUFS && errno != EBUSY && errno != EINTR) {
                return fail(os_error(errno));
            }
        }
        collect_sent();
        const std::uint32_t before = left;
        left = send_.unconsumed();
        if (left == before) {
            break;
        }
    }
    return {};
}

/// What became of the device: a socket whose interface was deleted has ENETDOWN for an error.
Result<void> Socket::check_device() noexcept {
    int error = 0;
    socklen_t bytes = sizeof error;
    if (::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error, &bytes) != 0) {
        error = errno;
    }
    if (error != 0) {
        gone_ = true;
    }
    return gone_ ? Result<void>(fail(os_error(ENXIO))) : Result<void>();
}

Task<Result<void>> Socket::wait(std::uint32_t events, TimePoint deadline) {
    if (busy_poll_) {
        (void)::recvfrom(fd_.get(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
    }
    // poll(2) says nothing of a socket whose interface has been deleted, nor of frames that have
    // been sent (Linux 6.18, xsk_poll), so both are looked at from time to time.
    const TimePoint look_again =
        io_.now() + (starving_ ? limits::starved_interval : limits::device_check_interval);
    const auto ready = co_await io_.poll(fd_, events).until(std::min(deadline, look_again));
    if (starving_) {
        refill();
    }
    if (ready) {
        co_return (*ready & POLLERR) != 0 ? check_device() : Result<void>();
    }
    if (ready.error() == Error(CoreError::timed_out) && look_again < deadline) {
        co_return check_device();
    }
    co_return fail(ready.error());
}

Task<Result<void>> Socket::wait_readable(TimePoint deadline) {
    while (receive_.available(1) == 0) {
        ZCO_CHECK(co_await wait(POLLIN, deadline));
    }
    co_return {};
}

Task<Result<void>> Socket::wait_writable() { return wait(POLLOUT, TimePoint::max()); }

Task<Result<FrameBatch>> Socket::receive(FrameBatch recycled) {
    ZCO_CHECK(io_.check_cancel());
    for (;;) {
        fetch(recycled);
        if (!recycled.empty()) {
            co_return recycled;
        }
        ZCO_CHECK(co_await wait_readable());
    }
}

Task<Result<void>> Socket::send(FrameBatch batch) {
    ZCO_CHECK(io_.check_cancel());
    std::uint32_t parts = 0;
    for (const Frame& frame : batch) {
        ++parts;
        if (parts > limits::packet_frames_max) {
            co_return fail(os_error(EMSGSIZE));
        }
        parts = frame.continues_ ? parts : 0;
    }
    std::size_t queued = 0;
    for (;;) {
        queued += queue(std::span(batch).subspan(queued));
        ZCO_CHECK(push());
        if (queued == batch.size()) {
            co_return {};
        }
        ZCO_CHECK(co_await wait_writable());
    }
}

Task<Result<void>> Socket::flush() {
    for (;;) {
        ZCO_CHECK(push());
        collect_sent();
        if (sending_ == 0) {
            co_return {};
        }
        ZCO_CHECK(co_await io_.sleep_for(limits::starved_interval));
    }
}

Result<SocketStats> Socket::stats() const {
    xdp_statistics told{};
    ZTRY(read_option(fd_, XDP_STATISTICS, told));
    // A copied packet without a frame counts as dropped as well (Linux 6.18, __xsk_rcv).
    const std::uint64_t counted_twice = zero_copy_ ? 0 : told.rx_fill_ring_empty_descs;
    return SocketStats{
        .received = received_,
        .sent = sent_,
        .lost_ring_full = told.rx_ring_full,
        .lost_no_frame = told.rx_fill_ring_empty_descs,
        .lost_other = told.rx_dropped - std::min<std::uint64_t>(told.rx_dropped, counted_twice),
        .refused_send = told.tx_invalid_descs,
    };
}

} // namespace zsync::packet::xsk
