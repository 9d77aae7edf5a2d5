// PinnedMemory: memory whose pages the kernel knows.
#pragma once

#include <zsync/core/io.hpp>
#include <zsync/core/result.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace zsync {

class Ring;

/// A part of a `PinnedMemory`, as a buffer for operations.
class PinnedSpan {
public:
    PinnedSpan(std::span<std::byte> bytes, const Ring* ring, std::uint16_t slot) noexcept
        : bytes_(bytes), ring_(ring), slot_(slot) {}
    [[nodiscard]] std::byte* data() const noexcept { return bytes_.data(); }
    [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }
    /// The ring that knows the pages, and as which of its buffers; null for none.
    [[nodiscard]] const Ring* ring() const noexcept { return ring_; }
    [[nodiscard]] std::uint16_t slot() const noexcept { return slot_; }

private:
    std::span<std::byte> bytes_;
    const Ring* ring_;
    std::uint16_t slot_;
};

/// Memory that is registered with a worker's ring (io_uring_register_buffers(3)): a zero-copy send
/// out of it does not look its pages up and pin them each time, which is most of what such a send
/// costs.
///
///     ZCO_TRY(auto memory, PinnedMemory::create(io, 1 << 20));
///     auto sent = co_await io.send_zero_copy(socket, memory->part(0, 65536));
///
/// Must end before its worker, after the operations on it.
class PinnedMemory {
public:
    /// `bytes` of zeros. Where there is no ring, or the kernel pins no more (RLIMIT_MEMLOCK,
    /// `limits::pinned_memories_max`), it is memory as any other: `is_pinned` tells. Fails with the
    /// system's error when there is none.
    static Result<std::unique_ptr<PinnedMemory>> create(Io io, std::size_t bytes);
    PinnedMemory(const PinnedMemory&) = delete;
    PinnedMemory& operator=(const PinnedMemory&) = delete;
    ~PinnedMemory();

    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {memory_, size_}; }
    /// Bytes from `offset` on, as a buffer.
    [[nodiscard]] PinnedSpan part(std::size_t offset, std::size_t length) const noexcept {
        return {bytes().subspan(offset, length), ring_, slot_};
    }
    [[nodiscard]] bool is_pinned() const noexcept { return ring_ != nullptr; }

private:
    PinnedMemory(std::byte* memory, std::size_t size) noexcept : memory_(memory), size_(size) {}

    std::byte* memory_;
    std::size_t size_;
    Ring* ring_ = nullptr;
    std::uint16_t slot_ = 0;
};

} // namespace zsync
