// BufferPool: receive buffers that the kernel picks from.
#pragma once

#include <zsync/core/executor.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/operation_queue.hpp>
#include <zsync/core/result.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace zsync {

/// The index of no buffer of a pool.
constexpr std::uint16_t no_buffer = 0xffff;

class BufferPool;

/// Waits for a buffer of a pool that has run dry.
class BufferWaiter {
public:
    /// False when it has no use for a buffer.
    virtual bool buffer_is_free() noexcept = 0;

protected:
    ~BufferWaiter() = default;

private:
    friend class BufferPool;
    BufferWaiter* next_starved_ = nullptr;
};

/// Received bytes in a buffer of a pool, which goes back when the chunk ends. Must end before its
/// pool, on the pool's worker.
class [[nodiscard]] Chunk {
public:
    Chunk() noexcept = default;
    Chunk(BufferPool& pool, std::uint16_t buffer, std::uint32_t length) noexcept
        : pool_(&pool), length_(length), buffer_(buffer) {}
    Chunk(Chunk&& other) noexcept
        : pool_(std::exchange(other.pool_, nullptr)), length_(std::exchange(other.length_, 0)),
          buffer_(other.buffer_) {}
    Chunk& operator=(Chunk&& other) noexcept {
        Chunk old(std::move(*this));
        pool_ = std::exchange(other.pool_, nullptr);
        length_ = std::exchange(other.length_, 0);
        buffer_ = other.buffer_;
        return *this;
    }
    Chunk(const Chunk&) = delete;
    Chunk& operator=(const Chunk&) = delete;
    inline ~Chunk();

    [[nodiscard]] inline std::span<std::byte> bytes() const noexcept;
    [[nodiscard]] std::size_t size() const noexcept { return length_; }
    /// The end of the stream.
    [[nodiscard]] bool empty() const noexcept { return length_ == 0; }
    /// For streams: gives up the buffer without giving it back.
    [[nodiscard]] std::uint16_t release() noexcept {
        pool_ = nullptr;
        return buffer_;
    }
    [[nodiscard]] explicit operator bool() const noexcept { return pool_ != nullptr; }

private:
    BufferPool* pool_ = nullptr;
    std::uint32_t length_ = 0;
    std::uint16_t buffer_ = 0;
};

/// Figures of a pool.
struct BufferPoolStats {
    std::uint32_t buffers = 0; ///< in all
    std::uint32_t held = 0;    ///< in chunks and in streams' queues
    std::uint64_t ran_dry = 0; ///< times a stream had to wait for a buffer
};

/// Buffers of one size shared by any number of streams of one worker: memory is taken by data that
/// has arrived, not by connections that wait for it. On a ring the kernel picks a buffer when bytes
/// are there (io_uring_register_buf_ring(3)). Shared because the kernel may still fill a buffer for
/// a stream that has ended; must not outlive its worker, nor end before its chunks.
class BufferPool : public std::enable_shared_from_this<BufferPool> {
public:
    /// `buffers` is a power of two up to `limits::pool_buffers_max`; `buffer_bytes` is the most
    /// that one chunk holds. Fails with `invalid_argument`, or the system's error (memory, ring
    /// limits).
    static Result<std::shared_ptr<BufferPool>> create(
        Io io,
        std::uint32_t buffers,
        std::uint32_t buffer_bytes,
        std::source_location made = std::source_location::current()
    );
    BufferPool(const BufferPool&) = delete;
    BufferPool& operator=(const BufferPool&) = delete;
    ~BufferPool();

    [[nodiscard]] BufferPoolStats stats() const noexcept {
        const RuntimeLock lock;
        return {.buffers = buffers_, .held = held(), .ran_dry = ran_dry_};
    }
    /// Adds to each task the buffers that it received and that have not gone back.
    void count_held(HeldChunks& by_task) const;
    [[nodiscard]] std::uint32_t buffer_bytes() const noexcept {
        return static_cast<std::uint32_t>(buffer_bytes_);
    }

    /// \name For streams
    /// \{
    [[nodiscard]] std::byte* buffer(std::uint16_t index) const noexcept {
        return memory_ + index * buffer_bytes_;
    }
    [[nodiscard]] std::uint16_t group() const noexcept { return group_; }
    [[nodiscard]] bool is_on_ring() const noexcept { return provided_ != nullptr; }
    /// The kernel has picked a buffer.
    void picked() noexcept { ++picked_; }
    /// The task that is given a buffer; null for none.
    void note_holder(std::uint16_t index, const TaskRecord* task) noexcept {
        // Atomic, because a task on another thread may list the tasks meanwhile.
        __atomic_store_n(&holders_[index], TaskRecord::key_of(task), __ATOMIC_RELAXED);
    }
    /// The same on a worker, whose tasks nobody else lists; each chunk passes here.
    void note_holder_here(std::uint16_t index, const TaskRecord* task) noexcept {
        holders_[index] = TaskRecord::key_of(task);
    }
    /// Takes one where there is no ring; false when none is left.
    [[nodiscard]] bool take(std::uint16_t& index) noexcept;
    void give_back(std::uint32_t index) noexcept {
        if (usual_ == nullptr) [[unlikely]] {
            give_back_otherwise(static_cast<std::uint16_t>(index));
        } else {
            provide(index);
        }
    }
    [[nodiscard]] bool is_dry() const noexcept { return held() == buffers_; }
    /// Tells `stream` when a buffer is free.
    void wait_for_buffer(BufferWaiter& stream) noexcept;
    void forget(BufferWaiter& stream) noexcept;
    /// Tells those that wait for a buffer, in order of arrival, until one has use for it. Where the
    /// kernel picks buffers that is only seen when it has tried: then the next one is told, if
    /// there is a buffer still. No effect while the pool is dry.
    void wake_starved() noexcept;
    /// What streams queue filled buffers by.
    struct Filled {
        std::uint32_t length = 0;
        std::uint16_t next = 0;
    };
    [[nodiscard]] Filled& filled(std::uint16_t index) noexcept { return filled_[index]; }
    /// A stream of it is made. Few places make many streams, so the pool remembers the places: a
    /// word in each stream would be eight bytes of every connection.
    void note_stream(std::string_view kind, const std::source_location& made) noexcept;
    /// Where its streams were made that are called so, all of them where `kind` is empty.
    [[nodiscard]] std::string streams_made(std::string_view kind) const;
    /// \}

private:
    /// struct io_uring_buf.
    struct ProvidedBuffer {
        std::uint64_t address;
        std::uint32_t length;
        std::uint16_t index;
        std::uint16_t reserved;
    };

    struct StreamPlace {
        std::string_view kind{};
        const void* made = nullptr; ///< what a std::source_location holds
    };

    /// Comes back when the kernel has tried what was queued before.
    struct Echo final : CompletionHandler {
        void complete(std::int32_t result, std::uint32_t flags) noexcept override;
        std::shared_ptr<BufferPool> pool; ///< while it is on its way
    };

    BufferPool() = default;
    // Where there is no ring, tasks on threads read `usual_` without a lock: it is never written.
    void starved_changed() noexcept {
        if (provided_ != nullptr) {
            usual_ = starved_first_ == nullptr ? provided_ : nullptr;
        }
    }
    void give_back_otherwise(std::uint16_t index) noexcept;
    // io_uring_buf_ring_add(3) and _advance(3) in one.
    void provide(std::uint32_t index) noexcept {
        ProvidedBuffer* const entries = provided_;
        // The kernel reads the tail where the first entry has its unused field.
        ProvidedBuffer& entry = entries[entries[0].reserved & mask_];
        entry.address = reinterpret_cast<std::uintptr_t>(memory_ + index * buffer_bytes_);
        entry.index = static_cast<std::uint16_t>(index);
        // Its length is the same for all, and stays.
        // x86-64 lets the kernel see stores in their order: an addition in place is a release.
        std::atomic_signal_fence(std::memory_order_release);
        ++entries[0].reserved;
    }
    /// Buffers that are not to be had. On a ring what was picked less what came back, of which the
    /// tail tells the lower half, as good as all: there are fewer than it counts.
    [[nodiscard]] std::uint32_t held() const noexcept {
        if (provided_ == nullptr) {
            return picked_;
        }
        return static_cast<std::uint16_t>(picked_ + buffers_ - provided_[0].reserved);
    }

    OperationQueue* queue_ = nullptr;
    ProvidedBuffer* provided_ = nullptr;
    ProvidedBuffer* usual_ = nullptr; ///< `provided_` while no stream waits for a buffer
    std::size_t mask_ = 0;
    std::byte* memory_ = nullptr;
    std::size_t buffer_bytes_ = 0;
    std::uint16_t group_ = 0;
    std::uint32_t buffers_ = 0;
    std::uint32_t picked_ = 0; ///< so far; where there is no ring, less what came back
    std::uint64_t ran_dry_ = 0;
    std::vector<std::uint32_t> holders_; ///< who was given each of them last
    BufferWaiter* starved_first_ = nullptr;
    BufferWaiter* starved_last_ = nullptr;
    Echo echo_;
    std::vector<Filled> filled_;
    std::vector<std::uint16_t> free_; ///< where there is no ring
    std::array<StreamPlace, limits::pool_stream_places_max> streams_{};
    std::size_t stream_places_ = 0;
};

inline Chunk::~Chunk() {
    if (pool_ != nullptr) {
        pool_->give_back(buffer_);
    }
}

inline std::span<std::byte> Chunk::bytes() const noexcept {
    return {pool_ != nullptr ? pool_->buffer(buffer_) : nullptr, length_};
}

} // namespace zsync
