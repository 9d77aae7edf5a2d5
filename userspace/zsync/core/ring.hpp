// Ring: one io_uring, used by one thread.
#pragma once

#include <zsync/core/operation_queue.hpp>

#include <liburing.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace zsync {

/// An io_uring set up for one thread: SINGLE_ISSUER, DEFER_TASKRUN, NO_SQARRAY. One
/// `io_uring_enter` a turn submits and waits. Included by the runtime's own sources only: it brings
/// liburing's header.
class Ring final : public OperationQueue {
public:
    /// Fails with `unsupported` where the kernel is older than 6.12 or forbids io_uring.
    static Outcome<std::unique_ptr<Ring>> create();
    ~Ring() override;

    void queue(const OperationRequest& request, CompletionTarget target) noexcept override {
        io_uring_sqe& sqe = next_sqe();
        sqe.opcode = request.opcode;
        sqe.flags = request.sqe_flags;
        sqe.ioprio = request.priority;
        sqe.fd = request.fd;
        sqe.off = request.offset;
        sqe.addr = request.address;
        sqe.len = request.length;
        sqe.rw_flags = static_cast<int>(request.flags);
        sqe.user_data = target.data();
        sqe.buf_index = request.buffer;
        sqe.personality = 0;
        sqe.file_index = request.extra;
        sqe.addr3 = request.address3;
        sqe.__pad2[0] = 0;
        ++in_flight_;
    }
    void queue_cancel(CompletionTarget target) noexcept override;
    void enter(bool wait, std::optional<TimePoint> deadline) noexcept override;
    unsigned deliver() noexcept override;

    [[nodiscard]] std::uint64_t in_flight() const noexcept override { return in_flight_; }
    [[nodiscard]] std::uint64_t enters() const noexcept override { return enters_; }
    [[nodiscard]] std::vector<RuntimeFeature> features() const override;
    [[nodiscard]] io_uring& raw() noexcept { return ring_; }
    /// Names a group of provided buffers that no other pool of this ring has.
    [[nodiscard]] std::uint16_t next_buffer_group() noexcept { return buffer_groups_++; }

private:
    Ring() = default;

    [[nodiscard]] io_uring_sqe& next_sqe() noexcept {
        io_uring_sq& sq = ring_.sq;
        if (sq.sqe_tail - __atomic_load_n(sq.khead, __ATOMIC_ACQUIRE) == sq.ring_entries)
            [[unlikely]] {
            submit_early();
        }
        return sq.sqes[sq.sqe_tail++ & sq.ring_mask];
    }
    void submit_early() noexcept;

    io_uring ring_{};
    std::uint64_t in_flight_ = 0;
    std::uint64_t enters_ = 0;
    std::uint16_t buffer_groups_ = 0;
    bool made_ = false;
};

} // namespace zsync
