// KernelRing: one of the rings that an AF_XDP socket shares with the kernel.
#pragma once

#include <zsync/core/result.hpp>

#include <linux/if_xdp.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace zsync::packet::xsk {

/// A ring in memory that is mapped from the socket (AF_XDP, Documentation/networking/af_xdp.rst):
/// one side produces entries and the other consumes them, by counters that run on for ever. The
/// other side's counter is read only when what is known of it does not suffice.
///
/// The producer's entries are written before its counter (release), which the consumer reads before
/// them (acquire); a consumer gives entries back by its own counter in the same way.
template <class Entry> class KernelRing {
public:
    KernelRing() noexcept = default;
    /// Maps the ring of `entries` that the socket has at `place` (XDP_PGOFF_*); `offsets` are what
    /// XDP_MMAP_OFFSETS says of it.
    static Result<KernelRing>
    map(int socket,
        std::uint64_t place,
        const xdp_ring_offset& offsets,
        std::uint32_t entries,
        bool we_produce) noexcept;
    KernelRing(KernelRing&& other) noexcept { swap(other); }
    KernelRing& operator=(KernelRing&& other) noexcept {
        swap(other);
        return *this;
    }
    KernelRing(const KernelRing&) = delete;
    KernelRing& operator=(const KernelRing&) = delete;
    ~KernelRing();

    /// \name For the producer
    /// \{
    /// Entries that can be written, if there are as many as `wanted`; else as many as there are.
    [[nodiscard]] std::uint32_t room(std::uint32_t wanted) noexcept {
        std::uint32_t free = size_ - (mine_ - theirs_);
        if (free < wanted) {
            theirs_ = std::atomic_ref(*consumer_).load(std::memory_order_acquire);
            free = size_ - (mine_ - theirs_);
        }
        return free < wanted ? free : wanted;
    }
    void produce(const Entry& entry) noexcept { entries_[mine_++ & mask_] = entry; }
    /// Shows the other side what was produced.
    void publish() noexcept { std::atomic_ref(*producer_).store(mine_, std::memory_order_seq_cst); }
    /// Entries that the other side has not consumed.
    [[nodiscard]] std::uint32_t unconsumed() noexcept {
        theirs_ = std::atomic_ref(*consumer_).load(std::memory_order_acquire);
        return mine_ - theirs_;
    }
    /// \}

    /// \name For the consumer
    /// \{
    /// Entries that can be read, `wanted` at most.
    [[nodiscard]] std::uint32_t available(std::uint32_t wanted) noexcept {
        std::uint32_t ready = theirs_ - mine_;
        if (ready < wanted) {
            theirs_ = std::atomic_ref(*producer_).load(std::memory_order_acquire);
            ready = theirs_ - mine_;
        }
        return ready < wanted ? ready : wanted;
    }
    /// The entry so many behind the next one.
    [[nodiscard]] const Entry& peek(std::uint32_t ahead) const noexcept {
        return entries_[(mine_ + ahead) & mask_];
    }
    /// Gives the next `count` entries back to the producer.
    void consume(std::uint32_t count) noexcept {
        mine_ += count;
        std::atomic_ref(*consumer_).store(mine_, std::memory_order_release);
    }
    /// \}

    [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
    /// Whether the kernel waits to be told about new entries (XDP_USE_NEED_WAKEUP).
    [[nodiscard]] bool needs_wakeup() const noexcept {
        // In one order with the entries' publication: a kernel that has just raised its flag either
        // sees them, or is told.
        return (std::atomic_ref(*flags_).load(std::memory_order_seq_cst) & XDP_RING_NEED_WAKEUP) !=
               0;
    }
    [[nodiscard]] explicit operator bool() const noexcept { return memory_ != nullptr; }

private:
    void swap(KernelRing& other) noexcept {
        std::swap(memory_, other.memory_);
        std::swap(bytes_, other.bytes_);
        std::swap(producer_, other.producer_);
        std::swap(consumer_, other.consumer_);
        std::swap(flags_, other.flags_);
        std::swap(entries_, other.entries_);
        std::swap(size_, other.size_);
        std::swap(mask_, other.mask_);
        std::swap(mine_, other.mine_);
        std::swap(theirs_, other.theirs_);
    }

    std::byte* memory_ = nullptr;
    std::size_t bytes_ = 0;
    std::uint32_t* producer_ = nullptr;
    std::uint32_t* consumer_ = nullptr;
    std::uint32_t* flags_ = nullptr;
    Entry* entries_ = nullptr;
    std::uint32_t size_ = 0;
    std::uint32_t mask_ = 0;
    std::uint32_t mine_ = 0;   ///< this side's counter
    std::uint32_t theirs_ = 0; ///< the other side's, as it was last seen
};

extern template class KernelRing<std::uint64_t>;
extern template class KernelRing<xdp_desc>;

} // namespace zsync::packet::xsk
