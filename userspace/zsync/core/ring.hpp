// Ring: one io_uring, used by one thread.
#pragma once

#include <zsync/core/limits.hpp>
#include <zsync/core/operation_queue.hpp>
#include <zsync/core/runtime_options.hpp>
#include <zsync/core/submission_queue.hpp>

#include <liburing.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <pthread.h>
#include <span>
#include <vector>

namespace zsync {

/// An io_uring set up for one thread: SINGLE_ISSUER, DEFER_TASKRUN, NO_SQARRAY. One
/// `io_uring_enter` a turn submits and waits. Included by the runtime's own sources only: it brings
/// liburing's header.
class Ring final : public OperationQueue, public SubmissionQueue {
public:
    /// Fails with `unsupported` where the kernel is older than 6.12 or forbids io_uring.
    static Outcome<std::unique_ptr<Ring>> create(RuntimeOptions options = {});
    ~Ring() override;

    void queue(const OperationRequest& request, CompletionTarget target) noexcept override {
        queue_now(request, target);
    }
    /// The same for a transfer from or to a place in a file. A disk has nothing to do while the
    /// kernel takes what has been queued, so it is given part of much early.
    void queue_of_file(const OperationRequest& request, CompletionTarget target) noexcept {
        queue_now(request, target);
        const unsigned enough =
            disk_works_ ? limits::early_disk_transfers : limits::early_file_transfers;
        if (tail_ - *kernel_head_ >= enough) [[unlikely]] {
            hand_over_early();
        }
    }
    [[nodiscard]] SubmissionQueue* submission() noexcept override { return this; }
    void queue_cancel(CompletionTarget target) noexcept override;
    void queue_cancel_all() noexcept override;
    void redirect(CompletionTarget target, int fd) noexcept override;
    void enter(bool wait, std::optional<TimePoint> deadline) noexcept override;
    [[nodiscard]] bool has_news() const noexcept override;
    unsigned deliver() noexcept override;

    [[nodiscard]] void*
    provide_buffers(std::uint32_t count, std::uint16_t& group) noexcept override;
    void
    withdraw_buffers(void* provided, std::uint32_t count, std::uint16_t group) noexcept override;
    [[nodiscard]] bool has_multishot_recv(int family) const noexcept override;
    [[nodiscard]] bool has_multishot_recvmsg() const noexcept override {
        return options_.allows(KernelFeature::multishot_recv);
    }
    [[nodiscard]] bool has_multishot_accept() const noexcept override {
        return options_.allows(KernelFeature::multishot_accept);
    }

    [[nodiscard]] std::uint64_t in_flight() const noexcept override { return in_flight_; }
    [[nodiscard]] std::uint64_t enters() const noexcept override { return enters_; }
    [[nodiscard]] std::vector<RuntimeFeature> features() const override;
    [[nodiscard]] io_uring& raw() noexcept { return ring_; }
    /// Whether this is the thread that made it, for which alone the kernel does anything.
    [[nodiscard]] bool is_here() const noexcept { return pthread_equal(thread_, pthread_self()); }
    /// What may be used of it.
    [[nodiscard]] const RuntimeOptions& options() const noexcept { return options_; }
    /// Registers memory as one of the ring's buffers; false when the kernel takes no more.
    [[nodiscard]] bool pin(std::span<std::byte> memory, std::uint16_t& slot) noexcept;
    void unpin(std::uint16_t slot) noexcept;

private:
    Ring() = default;

    void make_room() noexcept override;
    void hand_over_early() noexcept;
    [[nodiscard]] io_uring_sqe& cleared_entry() noexcept;
    [[nodiscard]] bool has_pending_work() const noexcept;
    [[nodiscard]] int refused(KernelFeature feature) const noexcept;

    /// Shows liburing the entries filled.
    void hand_over() noexcept { ring_.sq.sqe_tail = tail_; }

    io_uring ring_{};
    std::uint64_t enters_ = 0;
    RuntimeOptions options_;
    std::vector<std::uint16_t> unpinned_; ///< free slots, once there is a table of them
    bool has_pinned_table_ = false;
    bool disk_works_ = false;  ///< some of what was handed over early last had not ended at once
    int registered_error_ = 0; ///< why its descriptor is not registered; an errno
    int buffers_error_ = 0;    ///< why buffers could not be provided, when that was last tried
    std::uint16_t buffer_groups_ = 0;
    bool made_ = false;
    pthread_t thread_ = pthread_self();
};

} // namespace zsync
