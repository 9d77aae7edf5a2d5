// Umem: the packet memory that AF_XDP sockets share with the kernel.
#pragma once

#include <zsync/core/assert.hpp>
#include <zsync/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace zsync::packet::xsk {

class Umem;
class Socket;

/// A frame of a pool, with a packet or a part of one in it. Goes back to the pool when it ends, so
/// a packet is dropped by forgetting it; sending it gives it to the kernel. Must end before its
/// pool, on the pool's thread.
class [[nodiscard]] Frame {
public:
    Frame() noexcept = default;
    Frame(Frame&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), index_(other.index_),
          length_(std::exchange(other.length_, 0)), offset_(other.offset_),
          continues_(std::exchange(other.continues_, false)) {}
    Frame& operator=(Frame&& other) noexcept {
        Frame old(std::move(*this));
        pool_ = std::exchange(other.pool_, nullptr);
        index_ = other.index_;
        length_ = std::exchange(other.length_, 0);
        offset_ = other.offset_;
        continues_ = std::exchange(other.continues_, false);
        return *this;
    }
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;
    inline ~Frame();

    /// The packet's bytes, or this part's.
    [[nodiscard]] inline std::span<std::byte> bytes() const noexcept;
    [[nodiscard]] std::size_t size() const noexcept { return length_; }
    /// Bytes that it can hold from where the packet begins.
    [[nodiscard]] inline std::size_t capacity() const noexcept;
    /// Makes it `bytes` long; what is new is what lay there. False, and unchanged, past `capacity`.
    [[nodiscard]] bool resize(std::size_t bytes) noexcept {
        if (bytes > capacity()) {
            return false;
        }
        length_ = static_cast<std::uint32_t>(bytes);
        return true;
    }
    /// The packet goes on in the next frame of its batch (XDP_PKT_CONTD), for packets longer than a
    /// frame.
    [[nodiscard]] bool continues() const noexcept { return continues_; }
    void set_continues(bool continues) noexcept { continues_ = continues; }
    [[nodiscard]] explicit operator bool() const noexcept { return pool_ != nullptr; }

private:
    friend class Umem;
    friend class Socket;
    Frame(
        Umem& pool, std::uint32_t index, std::uint16_t offset, std::uint32_t length, bool continues
    ) noexcept
        : pool_(&pool), index_(index), length_(length), offset_(offset), continues_(continues) {}

    Umem* pool_ = nullptr;
    std::uint32_t index_ = 0;
    std::uint32_t length_ = 0;
    std::uint16_t offset_ = 0; ///< of the packet in the frame
    bool continues_ = false;
};

/// Where a pool's frames are. `adds_up` when each is in one place, by two ways of counting.
struct UmemBalance {
    std::uint32_t frames = 0;    ///< in all
    std::uint32_t free = 0;      ///< for whoever needs one
    std::uint32_t held = 0;      ///< in `Frame`s
    std::uint32_t receiving = 0; ///< with the kernel, to receive into, or received and not fetched
    std::uint32_t sending = 0;   ///< with the kernel, to be sent, or sent and not fetched
    std::uint32_t retired = 0;   ///< of closed zero-copy sockets, until their queue is free
    bool adds_up = false;
};

struct UmemOptions {
    std::uint32_t frames = 4096;
    /// A power of two from 2048 to 4096. The kernel keeps the first 256 bytes of a received frame
    /// free (XDP_PACKET_HEADROOM), for headers that are put before it.
    std::uint32_t frame_bytes = 2048;
};

/// The frames of any number of sockets and queues of one thread, in memory that the kernel has
/// pinned (XDP_UMEM_REG, XDP_SHARED_UMEM): a packet that came from one socket leaves by another one
/// without being copied here. Each frame is free, held in a `Frame`, or lent to the kernel by one
/// socket, which gives back all that it lent when it is closed.
///
/// Sockets of a pool must end before it, on the same thread.
class Umem : public std::enable_shared_from_this<Umem> {
public:
    /// Fails with `invalid_argument`, in words, or when there is no memory.
    static Outcome<std::shared_ptr<Umem>> create(const UmemOptions& options);
    Umem(const Umem&) = delete;
    Umem& operator=(const Umem&) = delete;
    ~Umem();

    /// An empty frame to write a packet into; none (false) when all are in use.
    [[nodiscard]] Frame take() noexcept;
    [[nodiscard]] UmemBalance balance() const noexcept;
    [[nodiscard]] std::uint32_t frames() const noexcept {
        return static_cast<std::uint32_t>(uses_.size());
    }
    [[nodiscard]] std::uint32_t frame_bytes() const noexcept { return 1U << shift_; }

private:
    friend class Frame;
    friend class Socket;

    enum class Use : std::uint8_t { free, held, receiving, sending, retired };
    struct State {
        Use use = Use::free;
        std::uint8_t socket = 0; ///< which one lent it to the kernel
    };
    /// Frames that a closed zero-copy socket's driver may still write to.
    struct Retired {
        std::uint32_t ifindex;
        std::uint32_t queue;
        std::vector<std::uint32_t> frames;
    };

    Umem() = default;
    [[nodiscard]] std::byte* at(std::uint64_t address) const noexcept { return memory_ + address; }
    [[nodiscard]] std::uint32_t index_of(std::uint64_t address) const noexcept {
        return static_cast<std::uint32_t>(address >> shift_);
    }
    void change(std::uint32_t index, Use from, Use to, std::uint8_t socket) noexcept {
        State& state = uses_[index];
        ZASSERT(state.use == from, "a frame is in one place");
        state = {.use = to, .socket = socket};
    }
    void give_back(std::uint32_t index, Use from) noexcept {
        change(index, from, Use::free, 0);
        free_.push_back(index);
        if (starving_ != 0) [[unlikely]] {
            feed_starving();
        }
    }
    void feed_starving() noexcept;
    /// Takes back what sockets have sent.
    void collect() noexcept;
    [[nodiscard]] Result<std::uint8_t> enter(Socket& socket);
    void leave(Socket& socket, std::uint8_t slot) noexcept;
    void release_retired(std::uint32_t ifindex, std::uint32_t queue) noexcept;

    std::byte* memory_ = nullptr;
    std::size_t memory_bytes_ = 0;
    unsigned shift_ = 0;
    std::uint32_t held_ = 0;
    std::uint32_t starving_ = 0; ///< sockets that want frames to receive into
    std::vector<std::uint32_t> free_;
    std::vector<State> uses_;
    std::vector<Socket*> sockets_; ///< by slot
    std::vector<Retired> retired_;
};

inline Frame::~Frame() {
    if (pool_ != nullptr) {
        --pool_->held_;
        pool_->give_back(index_, Umem::Use::held);
    }
}

inline std::span<std::byte> Frame::bytes() const noexcept {
    if (pool_ == nullptr) {
        return {};
    }
    return {pool_->at((std::uint64_t{index_} << pool_->shift_) + offset_), length_};
}

inline std::size_t Frame::capacity() const noexcept {
    return pool_ == nullptr ? 0 : pool_->frame_bytes() - offset_;
}

} // namespace zsync::packet::xsk
