// OperationQueue: where a worker's operations go to and come back from.
#pragma once

#include <zsync/core/executor.hpp>
#include <zsync/core/operation_request.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace zsync {

class OperationWait;
class SubmissionQueue;

/// Receives completions that no task waits for in an `OperationWait`: of multishot requests and of
/// the runtime's own.
class CompletionHandler {
public:
    /// `flags` are IORING_CQE_F_*; without IORING_CQE_F_MORE it is the request's last.
    virtual void complete(std::int32_t result, std::uint32_t flags) noexcept = 0;

protected:
    ~CompletionHandler() = default;
};

/// Handlers that a ring knows by name, because each echo passes them: it calls them directly.
enum class HandlerKind : std::uint8_t { other = 1, recv_stream = 3, send_stream = 5 };

/// Whom a completion is for; the request's user_data.
class CompletionTarget {
public:
    // NOLINTBEGIN(google-explicit-constructor): requests are made for either
    CompletionTarget(OperationWait& wait) noexcept
        : data_(reinterpret_cast<std::uintptr_t>(&wait)) {}
    CompletionTarget(CompletionHandler& handler, HandlerKind kind = HandlerKind::other) noexcept
        : data_(reinterpret_cast<std::uintptr_t>(&handler) | static_cast<std::uintptr_t>(kind)) {}
    // NOLINTEND(google-explicit-constructor)
    explicit CompletionTarget(std::uint64_t data) noexcept : data_(data) {}

    [[nodiscard]] std::uint64_t data() const noexcept { return data_; }
    [[nodiscard]] bool is_wait() const noexcept { return (data_ & tag_mask) == 0; }
    [[nodiscard]] bool is_handler() const noexcept { return (data_ & handler_bit) != 0; }
    /// Of a handler.
    [[nodiscard]] HandlerKind handler_kind() const noexcept {
        return static_cast<HandlerKind>(data_ & tag_mask);
    }
    [[nodiscard]] OperationWait& wait() const noexcept {
        return *std::bit_cast<OperationWait*>(data_);
    }
    [[nodiscard]] CompletionHandler& handler() const noexcept {
        return *std::bit_cast<CompletionHandler*>(data_ & ~tag_mask);
    }
    /// Nobody: the completion is dropped.
    static CompletionTarget none() noexcept { return CompletionTarget(none_tag); }

private:
    static constexpr std::uint64_t tag_mask = 7;
    static constexpr std::uint64_t handler_bit = 1;
    static constexpr std::uint64_t none_tag = 2;
    std::uint64_t data_;
};

/// The kernel's ring, or what stands in for it: `Ring`, `EpollQueue`, `SimulatedQueue`. Belongs to
/// one thread. Requests are only queued; `enter` hands them over.
class OperationQueue {
public:
    OperationQueue() = default;
    OperationQueue(const OperationQueue&) = delete;
    OperationQueue& operator=(const OperationQueue&) = delete;
    virtual ~OperationQueue() = default;

    /// The target must live until its last completion.
    virtual void queue(const OperationRequest& request, CompletionTarget target) noexcept = 0;
    /// Where requests may be written without a call; null where there is no ring.
    [[nodiscard]] virtual SubmissionQueue* submission() noexcept { return nullptr; }
    /// Asks for the end of a request; its own completion tells what came of that.
    virtual void queue_cancel(CompletionTarget target) noexcept = 0;
    /// Asks for the end of all requests.
    virtual void queue_cancel_all() noexcept = 0;
    /// The number that a request names is about to be closed by somebody who does not wait for the
    /// request's end: what would still look it up goes on by `fd`, another descriptor of the same
    /// file, or where that is -1 fails with EBADF. A file that the kernel holds by itself stays.
    virtual void redirect(CompletionTarget target, int fd) noexcept = 0;
    /// Hands over what is queued and, if `wait`, sleeps until a completion or `deadline`.
    virtual void enter(bool wait, std::optional<TimePoint> deadline) noexcept = 0;
    /// Whether `enter` without waiting, and `deliver`, would find something; asks the kernel
    /// nothing. True where that cannot be told.
    [[nodiscard]] virtual bool has_news() const noexcept { return true; }
    /// Delivers completions; tasks may run meanwhile. Returns how many.
    virtual unsigned deliver() noexcept = 0;

    /// Memory for `count` provided buffers (struct io_uring_buf) that requests of `group` pick
    /// from, as io_uring_setup_buf_ring(3) gives it; null where a request must bring its own.
    [[nodiscard]] virtual void*
    provide_buffers(std::uint32_t /*count*/, std::uint16_t& /*group*/) noexcept {
        return nullptr;
    }
    virtual void withdraw_buffers(
        void* /*provided*/, std::uint32_t /*count*/, std::uint16_t /*group*/
    ) noexcept {}
    /// Whether one request may receive again and again from a socket of this family.
    [[nodiscard]] virtual bool has_multishot_recv(int /*family*/) const noexcept { return false; }
    /// The same for recvmsg(2) into provided buffers, of any socket.
    [[nodiscard]] virtual bool has_multishot_recvmsg() const noexcept { return false; }
    /// Whether one request may accept again and again.
    [[nodiscard]] virtual bool has_multishot_accept() const noexcept { return false; }

    /// Requests whose last completion has not been delivered.
    [[nodiscard]] virtual std::uint64_t in_flight() const noexcept = 0;
    /// System calls made to hand over and wait.
    [[nodiscard]] virtual std::uint64_t enters() const noexcept = 0;
    [[nodiscard]] virtual std::vector<RuntimeFeature> features() const = 0;
    [[nodiscard]] virtual TimePoint now() const noexcept { return Clock::now(); }

    /// Whether time and order are made up here. Then `choose` says which of so many ready tasks is
    /// next, and calls that would go to other threads are made where they are.
    [[nodiscard]] virtual bool is_simulated() const noexcept { return false; }
    [[nodiscard]] virtual std::size_t choose(std::size_t /*count*/) noexcept { return 0; }
};

} // namespace zsync
