// EpollQueue: a worker's operations without io_uring.
#pragma once

#include <zsync/core/futex_threads.hpp>
#include <zsync/core/operation_queue.hpp>
#include <zsync/core/operation_threads.hpp>
#include <zsync/core/runtime_options.hpp>
#include <zsync/core/syscalls.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace zsync {

/// What stands in for the ring where the kernel has none or forbids it: an operation is tried with
/// a plain system call, waits in epoll when it would block, and is tried again when its descriptor
/// is ready. What can only block goes to a few threads. Results are those of a ring; a request for
/// many completions gets one, without IORING_CQE_F_MORE. Operations in the same direction on one
/// descriptor are served in the order they were queued.
class EpollQueue final : public OperationQueue {
public:
    /// `reason` is why there is no ring, for `features`.
    static Outcome<std::unique_ptr<EpollQueue>> create(RuntimeOptions options, std::string reason);
    ~EpollQueue() override;

    void queue(const OperationRequest& request, CompletionTarget target) noexcept override;
    void queue_cancel(CompletionTarget target) noexcept override;
    void queue_cancel_all() noexcept override;
    void redirect(CompletionTarget target, int fd) noexcept override;
    void enter(bool wait, std::optional<TimePoint> deadline) noexcept override;
    unsigned deliver() noexcept override;

    [[nodiscard]] std::uint64_t in_flight() const noexcept override { return in_flight_; }
    [[nodiscard]] std::uint64_t enters() const noexcept override { return enters_; }
    [[nodiscard]] std::vector<RuntimeFeature> features() const override;

private:
    struct Pending;
    struct List {
        Pending* first = nullptr;
        Pending* last = nullptr;
        void push(Pending& pending) noexcept;
        void remove(Pending& pending) noexcept;
        [[nodiscard]] Pending* pop() noexcept;
    };
    struct Descriptor {
        List waiters;
        std::uint32_t armed = 0; ///< events epoll is asked to tell of, once
        bool registered = false;
    };

    EpollQueue(RuntimeOptions options, std::string reason, Fd epoll) noexcept;
    void begin(Pending& pending) noexcept;
    void place(Pending& pending, const Attempt& tried) noexcept;
    void wait_for(Pending& pending, int fd, std::uint32_t events) noexcept;
    void send_to_thread(Pending& pending) noexcept;
    void make_threads() noexcept;
    void complete(Pending& pending, std::int32_t result) noexcept;
    bool arm(int fd, Descriptor& descriptor) noexcept;
    void leave_descriptor(Pending& pending) noexcept;
    void ready(int fd) noexcept;
    void take_ended() noexcept;
    void try_again() noexcept;
    void poll(bool wait, std::optional<TimePoint> deadline) noexcept;
    int wait_in_epoll(bool wait, std::optional<TimePoint> deadline) noexcept;
    [[nodiscard]] Descriptor& descriptor(int fd);

    RuntimeOptions options_;
    std::string reason_;
    Fd epoll_;
    List queued_; ///< since the last `enter`
    List later_;  ///< to be tried again, with nothing to wait for
    List ended_;  ///< to be delivered
    TimePoint again_at_;
    std::vector<Descriptor> descriptors_; ///< by number
    /// All that neither is new nor has ended.
    std::unordered_map<std::uint64_t, Pending*> waiting_;
    std::unique_ptr<OperationThreads> threads_;
    std::unique_ptr<FutexThreads> futexes_;
    std::uint64_t polling_ = 0;    ///< operations that wait in epoll
    std::uint64_t on_threads_ = 0; ///< operations that threads have
    std::uint64_t in_flight_ = 0;
    std::uint64_t enters_ = 0;
    bool has_pwait2_;
};

} // namespace zsync
