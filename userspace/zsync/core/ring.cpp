#include <zsync/core/assert.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/operation.hpp>
#include <zsync/core/ring.hpp>
#include <zsync/core/time_left.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <format>
#include <utility>

namespace zsync {
namespace {

/// Operations every supported kernel (6.12) has; without one of them the ring is refused.
struct RequiredOperation {
    int opcode;
    const char* name;
};
constexpr std::array required_operations{
    RequiredOperation{.opcode = IORING_OP_READ, .name = "read"},
    RequiredOperation{.opcode = IORING_OP_WRITE, .name = "write"},
    RequiredOperation{.opcode = IORING_OP_POLL_ADD, .name = "poll"},
    RequiredOperation{.opcode = IORING_OP_ACCEPT, .name = "accept"},
    RequiredOperation{.opcode = IORING_OP_CONNECT, .name = "connect"},
    RequiredOperation{.opcode = IORING_OP_SEND, .name = "send"},
    RequiredOperation{.opcode = IORING_OP_RECV, .name = "recv"},
    RequiredOperation{.opcode = IORING_OP_ASYNC_CANCEL, .name = "async_cancel"},
    RequiredOperation{.opcode = IORING_OP_SEND_ZC, .name = "send_zc"},
    RequiredOperation{.opcode = IORING_OP_WAITID, .name = "waitid"},
    RequiredOperation{.opcode = IORING_OP_FUTEX_WAIT, .name = "futex_wait"},
    RequiredOperation{.opcode = IORING_OP_LISTEN, .name = "listen"},
};

static_assert(std::to_underlying(Opcode::accept) == IORING_OP_ACCEPT);
static_assert(std::to_underlying(Opcode::statx) == IORING_OP_STATX);
static_assert(std::to_underlying(Opcode::recv) == IORING_OP_RECV);
static_assert(std::to_underlying(Opcode::mkdir) == IORING_OP_MKDIRAT);
static_assert(std::to_underlying(Opcode::socket) == IORING_OP_SOCKET);
static_assert(std::to_underlying(Opcode::send_zero_copy) == IORING_OP_SEND_ZC);
static_assert(std::to_underlying(Opcode::wait_process) == IORING_OP_WAITID);
static_assert(std::to_underlying(Opcode::futex_wait) == IORING_OP_FUTEX_WAIT);
static_assert(std::to_underlying(Opcode::listen) == IORING_OP_LISTEN);
static_assert(sizeof(OperationRequest) == sizeof(io_uring_sqe));
static_assert(offsetof(OperationRequest, address) == offsetof(io_uring_sqe, addr));
static_assert(offsetof(OperationRequest, flags) == offsetof(io_uring_sqe, msg_flags));
static_assert(offsetof(OperationRequest, target) == offsetof(io_uring_sqe, user_data));
static_assert(offsetof(OperationRequest, extra) == offsetof(io_uring_sqe, file_index));
static_assert(offsetof(OperationRequest, address3) == offsetof(io_uring_sqe, addr3));

std::string setup_failure(int error) {
    switch (error) {
    case EPERM:
        return "io_uring is forbidden here (sysctl kernel.io_uring_disabled, or a seccomp filter): "
               "allow it for this service";
    case EINVAL:
        return "this kernel's io_uring lacks SINGLE_ISSUER, DEFER_TASKRUN or NO_SQARRAY: Linux "
               "6.12 or newer is needed";
    case ENOSYS:
        return "this kernel has no io_uring: Linux 6.12 or newer is needed";
    case ENOMEM:
        return "no memory for an io_uring (RLIMIT_MEMLOCK, or the cgroup's memory limit)";
    default:
        return "io_uring_setup failed: " + os_error(error).message();
    }
}

bool only_for_a_moment(int result) {
    return result >= 0 || result == -EINTR || result == -ETIME || result == -EBUSY ||
           result == -EAGAIN;
}

} // namespace

Ring::~Ring() {
    if (made_) {
        io_uring_queue_exit(&ring_);
    }
}

Outcome<std::unique_ptr<Ring>> Ring::create(RuntimeOptions options) {
    std::unique_ptr<Ring> ring(new Ring);
    ring->options_ = options;
    io_uring_params params{};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                   IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_NO_SQARRAY | IORING_SETUP_CQSIZE |
                   IORING_SETUP_CLAMP;
    params.cq_entries = limits::ring_completion_entries;
    if (const int result = io_uring_queue_init_params(limits::ring_entries, &ring->ring_, &params);
        result < 0) {
        return fail(Error(CoreError::unsupported, -result), setup_failure(-result));
    }
    ring->made_ = true;
    ring->entries_ = reinterpret_cast<OperationRequest*>(ring->ring_.sq.sqes);
    ring->kernel_head_ = ring->ring_.sq.khead;
    ring->mask_ = ring->ring_.sq.ring_mask;
    ring->capacity_ = ring->ring_.sq.ring_entries;
    const std::unique_ptr<io_uring_probe, decltype(&io_uring_free_probe)> probe(
        io_uring_get_probe_ring(&ring->ring_), &io_uring_free_probe
    );
    if (!probe) {
        return fail(
            CoreError::unsupported,
            "io_uring_register is forbidden here (a seccomp filter): allow it for this service"
        );
    }
    for (const RequiredOperation& operation : required_operations) {
        if (io_uring_opcode_supported(probe.get(), operation.opcode) == 0) {
            return fail(
                CoreError::unsupported,
                std::format(
                    "this kernel's io_uring lacks the operation {}: Linux 6.12 or newer is needed",
                    operation.name
                )
            );
        }
    }
    // A registered ring descriptor saves a descriptor look-up in every enter; failing is harmless.
    if (options.allows(KernelFeature::registered_ring)) {
        const int registered = io_uring_register_ring_fd(&ring->ring_);
        ring->registered_error_ = registered == 1 ? 0 : registered < 0 ? -registered : ENOMEM;
    }
    // Whether memory may be pinned for them (RLIMIT_MEMLOCK) only a try tells.
    std::uint16_t group = 0;
    if (void* one = ring->provide_buffers(1, group); one != nullptr) {
        ring->withdraw_buffers(one, 1, group);
    }
    return ring;
}

bool Ring::pin(std::span<std::byte> memory, std::uint16_t& slot) noexcept {
    if (!has_pinned_table_) {
        if (io_uring_register_buffers_sparse(&ring_, limits::pinned_memories_max) != 0) {
            return false;
        }
        has_pinned_table_ = true;
        for (std::uint16_t free = limits::pinned_memories_max; free-- > 0;) {
            unpinned_.push_back(free);
        }
    }
    if (unpinned_.empty()) {
        return false;
    }
    const iovec part{.iov_base = memory.data(), .iov_len = memory.size()};
    if (io_uring_register_buffers_update_tag(&ring_, unpinned_.back(), &part, nullptr, 1) != 1) {
        return false;
    }
    slot = unpinned_.back();
    unpinned_.pop_back();
    return true;
}

void Ring::unpin(std::uint16_t slot) noexcept {
    const iovec none{};
    const int updated = io_uring_register_buffers_update_tag(&ring_, slot, &none, nullptr, 1);
    ZASSERT(updated == 1, "a slot of the ring's own table can be emptied");
    unpinned_.push_back(slot);
}

void Ring::make_room() noexcept {
    hand_over();
    do {
        ++enters_;
        ZASSERT(only_for_a_moment(io_uring_submit(&ring_)), "io_uring_submit fails for a moment");
    } while (io_uring_sq_space_left(&ring_) == 0);
}

void Ring::hand_over_early() noexcept {
    const unsigned queued = tail_ - *kernel_head_;
    const unsigned ended_before = io_uring_cq_ready(&ring_);
    make_room();
    disk_works_ = io_uring_cq_ready(&ring_) - ended_before < queued;
}

// liburing leaves alone what a cancel does not use, and the kernel refuses one with what the entry
// was given before: the flags of a multishot receive, say (EINVAL).
io_uring_sqe& Ring::cleared_entry() noexcept {
    auto& sqe = reinterpret_cast<io_uring_sqe&>(entries_[tail_ & mask_]);
    std::memset(&sqe, 0, sizeof sqe);
    return sqe;
}

void Ring::queue_cancel(CompletionTarget target) noexcept {
    io_uring_sqe& sqe = cleared_entry();
    io_uring_prep_cancel64(&sqe, target.data(), 0);
    io_uring_sqe_set_data64(&sqe, CompletionTarget::none().data());
    io_uring_sqe_set_flags(&sqe, IOSQE_CQE_SKIP_SUCCESS);
    entry_filled();
    --in_flight_; // its completion is counted by nobody
}

// The kernel looks a number up when it takes the entry, and holds the file from then on.
void Ring::redirect(CompletionTarget target, int fd) noexcept {
    for (unsigned at = *kernel_head_; at != tail_; ++at) {
        OperationRequest& entry = entries_[at & mask_];
        if (entry.target == target.data()) {
            entry.fd = fd;
        }
    }
}

// Null also where RLIMIT_MEMLOCK does not let the kernel pin the entries.
void* Ring::provide_buffers(std::uint32_t count, std::uint16_t& group) noexcept {
    if (!options_.allows(KernelFeature::buffer_ring)) {
        return nullptr;
    }
    group = buffer_groups_++;
    int error = 0;
    void* const provided = io_uring_setup_buf_ring(&ring_, count, group, 0, &error);
    buffers_error_ = provided == nullptr ? -error : 0;
    return provided;
}

void Ring::withdraw_buffers(void* provided, std::uint32_t count, std::uint16_t group) noexcept {
    io_uring_free_buf_ring(&ring_, static_cast<io_uring_buf_ring*>(provided), count, group);
}

// A multishot recv goes back to sleep when the socket tells that no byte is left. Only TCP tells of
// an end there; on a unix socket of Linux 6.18 a shutdown right behind the last bytes would never
// be seen.
bool Ring::has_multishot_recv(int family) const noexcept {
    return options_.allows(KernelFeature::multishot_recv) &&
           (family == AF_INET || family == AF_INET6);
}

void Ring::queue_cancel_all() noexcept {
    io_uring_sqe& sqe = cleared_entry();
    io_uring_prep_cancel64(&sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
    io_uring_sqe_set_data64(&sqe, CompletionTarget::none().data());
    io_uring_sqe_set_flags(&sqe, IOSQE_CQE_SKIP_SUCCESS);
    entry_filled();
    --in_flight_; // its completion is counted by nobody
}

void Ring::enter(bool wait, std::optional<TimePoint> deadline) noexcept {
    hand_over();
    int result = 0;
    if (!wait) {
        if (io_uring_sq_ready(&ring_) == 0 && !has_pending_work()) {
            return;
        }
        ++enters_;
        result = io_uring_submit_and_get_events(&ring_);
    } else if (!deadline) {
        ++enters_;
        result = io_uring_submit_and_wait(&ring_, 1);
    } else {
        ++enters_;
        io_uring_cqe* first = nullptr;
        __kernel_timespec timeout{};
        const auto left = time_left(*deadline, Clock::now());
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
        timeout.tv_sec = seconds.count();
        timeout.tv_nsec = std::chrono::nanoseconds(left - seconds).count();
        result = io_uring_submit_and_wait_timeout(&ring_, &first, 1, &timeout, nullptr);
    }
    ZASSERT(only_for_a_moment(result), "io_uring_enter fails for a moment");
}

/// Completions that come in the next enter.
bool Ring::has_pending_work() const noexcept {
    return (IO_URING_READ_ONCE(*ring_.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) !=
           0;
}

bool Ring::has_news() const noexcept {
    return io_uring_cq_ready(&ring_) != 0 || has_pending_work();
}

int Ring::refused(KernelFeature feature) const noexcept {
    switch (feature) {
    case KernelFeature::buffer_ring:
        return buffers_error_;
    case KernelFeature::registered_ring:
        return registered_error_;
    default:
        return 0;
    }
}

std::vector<RuntimeFeature> Ring::features() const {
    struct Optional {
        KernelFeature feature;
        const char* name;
        const char* use;
    };
    using enum KernelFeature;
    static constexpr std::array optional_features{
        Optional{
            .feature = buffer_ring,
            .name = "io_uring.buffer_ring",
            .use = "the kernel picks receive buffers"
        },
        Optional{
            .feature = multishot_recv,
            .name = "io_uring.multishot_recv",
            .use = "one request for many receives"
        },
        Optional{
            .feature = multishot_accept,
            .name = "io_uring.multishot_accept",
            .use = "one request for many connections"
        },
        Optional{
            .feature = registered_ring,
            .name = "io_uring.registered_ring",
            .use = "no descriptor look-up"
        },
        Optional{.feature = send_zc, .name = "io_uring.send_zc", .use = "zero-copy sends"},
    };
    std::vector<RuntimeFeature> features;
    features.push_back(
        {"io_uring", true, "one ring a worker: SINGLE_ISSUER, DEFER_TASKRUN, NO_SQARRAY"}
    );
    for (const Optional& optional : optional_features) {
        if (!options_.allows(optional.feature)) {
            features.push_back({optional.name, false, "switched off by ZSYNC_WITHOUT"});
        } else if (const int error = refused(optional.feature); error != 0) {
            features.push_back(
                {optional.name, false, "refused by the kernel: " + os_error(error).message()}
            );
        } else {
            features.push_back({optional.name, true, optional.use});
        }
    }
    return features;
}

} // namespace zsync
