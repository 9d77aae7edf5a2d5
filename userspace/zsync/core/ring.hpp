// Ring: one io_uring, used by one thread.
#pragma once

#include <zsync/core/operation_queue.hpp>
#include <zsync/core/probes.hpp>
#include <zsync/core/runtime_options.hpp>

#include <liburing.h>
#include <sys/socket.h>

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
    static Outcome<std::unique_ptr<Ring>> create(RuntimeOptions options = {});
    ~Ring() override;

    void queue(const OperationRequest& request, CompletionTarget target) noexcept override {
        queue_now(request, target);
    }
    /// The same without a virtual call.
    [[gnu::always_inline]] void
    queue_now(const OperationRequest& request, CompletionTarget target) noexcept {
        OperationRequest& entry = next_entry();
        entry = request;
        entry.target = target.data();
        ZSYNC_PROBE_OPERATION(entry);
        entry_filled();
    }
    /// send(2), field by field: g++ would make the request on the stack first and then copy it.
    [[gnu::always_inline]] void queue_send(
        int fd, const std::byte* data, std::uint32_t length, CompletionTarget target
    ) noexcept {
        OperationRequest& entry = next_entry();
        entry.opcode = Opcode::send;
        entry.sqe_flags = 0;
        entry.priority = 0;
        entry.fd = fd;
        entry.offset = 0;
        entry.address = reinterpret_cast<std::uintptr_t>(data);
        entry.length = length;
        entry.flags = MSG_NOSIGNAL | MSG_WAITALL;
        entry.target = target.data();
        entry.buffer = 0;
        entry.personality = 0;
        entry.extra = 0;
        entry.address3 = 0;
        entry.reserved = 0;
        ZSYNC_PROBE_OPERATION(entry);
        entry_filled();
    }
    void queue_cancel(CompletionTarget target) noexcept override;
    void enter(bool wait, std::optional<TimePoint> deadline) noexcept override;
    unsigned deliver() noexcept override;

    [[nodiscard]] std::uint64_t in_flight() const noexcept override { return in_flight_; }
    [[nodiscard]] std::uint64_t enters() const noexcept override { return enters_; }
    [[nodiscard]] std::vector<RuntimeFeature> features() const override;
    [[nodiscard]] io_uring& raw() noexcept { return ring_; }
    /// What may be used of it.
    [[nodiscard]] const RuntimeOptions& options() const noexcept { return options_; }
    /// Names a group of provided buffers that no other pool of this ring has.
    [[nodiscard]] std::uint16_t next_buffer_group() noexcept { return buffer_groups_++; }

private:
    Ring() = default;

    /// The entry to fill; there always is one.
    [[nodiscard]] [[gnu::always_inline]] OperationRequest& next_entry() noexcept {
        const io_uring_sq& sq = ring_.sq;
        return reinterpret_cast<OperationRequest&>(sq.sqes[sq.sqe_tail & sq.ring_mask]);
    }
    /// The entry is filled. A queue that is full is handed over here, at the end: a call before the
    /// entry is filled would cost everybody the saving of registers.
    [[gnu::always_inline]] void entry_filled() noexcept {
        io_uring_sq& sq = ring_.sq;
        const unsigned tail = ++sq.sqe_tail;
        ++in_flight_;
        if (tail - __atomic_load_n(sq.khead, __ATOMIC_ACQUIRE) == sq.ring_entries) [[unlikely]] {
            submit_early();
        }
    }
    void submit_early() noexcept;

    io_uring ring_{};
    std::uint64_t in_flight_ = 0;
    std::uint64_t enters_ = 0;
    RuntimeOptions options_;
    std::uint16_t buffer_groups_ = 0;
    bool made_ = false;
};

} // namespace zsync
