#include <zsync/core/assert.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/ring.hpp>

#include <liburing.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <format>

namespace zsync {
namespace {

/// user_data of requests whose completion nobody waits for (cancels).
constexpr std::uint64_t ignored = 1;

/// Operations every supported kernel (6.12) has; without one of them the ring is refused.
struct RequiredOperation {
    int opcode;
    const char* name;
};
constexpr std::array required_operations{
    RequiredOperation{IORING_OP_READ, "read"},
    RequiredOperation{IORING_OP_WRITE, "write"},
    RequiredOperation{IORING_OP_POLL_ADD, "poll"},
    RequiredOperation{IORING_OP_ACCEPT, "accept"},
    RequiredOperation{IORING_OP_CONNECT, "connect"},
    RequiredOperation{IORING_OP_SEND, "send"},
    RequiredOperation{IORING_OP_RECV, "recv"},
    RequiredOperation{IORING_OP_ASYNC_CANCEL, "async_cancel"},
    RequiredOperation{IORING_OP_WAITID, "waitid"},
};

std::string setup_failure(int error) {
    switch (error) {
    case EPERM:
        return "io_uring is forbidden here (sysctl kernel.io_uring_disabled, or a seccomp filter): "
               "allow it for this service";
    case EINVAL:
        return "this kernel's io_uring lacks SINGLE_ISSUER, DEFER_TASKRUN or NO_SQARRAY: Linux "
               "6.12 "
               "or newer is needed";
    case ENOSYS:
        return "this kernel has no io_uring: Linux 6.12 or newer is needed";
    case ENOMEM:
        return "no memory for an io_uring (RLIMIT_MEMLOCK, or the cgroup's memory limit)";
    default:
        return "io_uring_setup failed: " + os_error(error).message();
    }
}

} // namespace

struct Ring::State {
    io_uring ring{};
    std::uint64_t in_flight = 0;
    std::uint64_t enters = 0;

    State() = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() { io_uring_queue_exit(&ring); }

    io_uring_sqe& next_sqe() noexcept {
        io_uring_sqe* sqe = io_uring_get_sqe(&ring);
        while (sqe == nullptr) {
            // The queue is full: hand it over early.
            ++enters;
            const int submitted = io_uring_submit(&ring);
            ZASSERT(
                submitted >= 0 || submitted == -EINTR || submitted == -EBUSY ||
                    submitted == -EAGAIN,
                "io_uring_submit fails only for a moment"
            );
            sqe = io_uring_get_sqe(&ring);
        }
        return *sqe;
    }
};

Ring::Ring(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Ring::Ring(Ring&&) noexcept = default;
Ring& Ring::operator=(Ring&&) noexcept = default;
Ring::~Ring() = default;

Outcome<Ring> Ring::create() {
    auto state = std::make_unique<State>();
    io_uring_params params{};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                   IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_NO_SQARRAY | IORING_SETUP_CQSIZE |
                   IORING_SETUP_CLAMP;
    params.cq_entries = limits::ring_completion_entries;
    if (const int result = io_uring_queue_init_params(limits::ring_entries, &state->ring, &params);
        result < 0) {
        return fail(Error(CoreError::unsupported, -result), setup_failure(-result));
    }
    const std::unique_ptr<io_uring_probe, decltype(&io_uring_free_probe)> probe(
        io_uring_get_probe_ring(&state->ring), &io_uring_free_probe
    );
    for (const RequiredOperation& operation : required_operations) {
        if (!probe || io_uring_opcode_supported(probe.get(), operation.opcode) == 0) {
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
    (void)io_uring_register_ring_fd(&state->ring);
    return Ring(std::move(state));
}

void Ring::queue(const RingRequest& request, RingOperation& operation) noexcept {
    io_uring_sqe& sqe = state_->next_sqe();
    io_uring_prep_rw(
        request.opcode,
        &sqe,
        request.fd,
        reinterpret_cast<const void*>(request.address),
        request.length,
        request.offset
    );
    sqe.rw_flags = static_cast<int>(request.flags);
    sqe.file_index = request.extra;
    io_uring_sqe_set_data(&sqe, &operation);
    ++state_->in_flight;
}

void Ring::queue_cancel(RingOperation& operation) noexcept {
    io_uring_sqe& sqe = state_->next_sqe();
    io_uring_prep_cancel(&sqe, &operation, 0);
    io_uring_sqe_set_data64(&sqe, ignored);
    io_uring_sqe_set_flags(&sqe, IOSQE_CQE_SKIP_SUCCESS);
}

void Ring::enter(bool wait, std::optional<TimePoint> deadline) noexcept {
    State& state = *state_;
    int result = 0;
    if (!wait) {
        const bool work_pending =
            (IO_URING_READ_ONCE(*state.ring.sq.kflags) & IORING_SQ_TASKRUN) != 0;
        if (io_uring_sq_ready(&state.ring) == 0 && !work_pending) {
            return;
        }
        ++state.enters;
        result = io_uring_submit_and_get_events(&state.ring);
    } else {
        ++state.enters;
        io_uring_cqe* first = nullptr;
        __kernel_timespec timeout{};
        if (deadline) {
            const auto left = std::max(Duration::zero(), *deadline - Clock::now());
            const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
            timeout.tv_sec = seconds.count();
            timeout.tv_nsec = std::chrono::nanoseconds(left - seconds).count();
        }
        result = io_uring_submit_and_wait_timeout(
            &state.ring, &first, 1, deadline ? &timeout : nullptr, nullptr
        );
    }
    ZASSERT(
        result >= 0 || result == -EINTR || result == -ETIME || result == -EBUSY ||
            result == -EAGAIN,
        "io_uring_enter fails only for a moment"
    );
}

unsigned Ring::deliver() noexcept {
    unsigned delivered = 0;
    io_uring_cqe* cqe = nullptr;
    while (io_uring_peek_cqe(&state_->ring, &cqe) == 0) {
        const std::uint64_t data = cqe->user_data;
        const std::int32_t result = cqe->res;
        const std::uint32_t flags = cqe->flags;
        io_uring_cqe_seen(&state_->ring, cqe);
        if (data == ignored) {
            continue;
        }
        ++delivered;
        --state_->in_flight;
        reinterpret_cast<RingOperation*>(data)->complete(result, flags);
    }
    return delivered;
}

std::uint64_t Ring::in_flight() const noexcept { return state_->in_flight; }
std::uint64_t Ring::enters() const noexcept { return state_->enters; }

std::vector<RingFeature> Ring::features() const {
    struct Optional {
        int opcode;
        const char* name;
        const char* use;
    };
    static constexpr std::array optional_operations{
        Optional{IORING_OP_SEND_ZC, "io_uring.send_zc", "zero-copy sends"},
        Optional{IORING_OP_FUTEX_WAIT, "io_uring.futex", "waiting on futexes"},
        Optional{IORING_OP_LISTEN, "io_uring.listen", "bind and listen on the ring"},
    };
    std::vector<RingFeature> features;
    features.push_back(
        {"io_uring", true, "one ring a worker: SINGLE_ISSUER, DEFER_TASKRUN, NO_SQARRAY"}
    );
    const std::unique_ptr<io_uring_probe, decltype(&io_uring_free_probe)> probe(
        io_uring_get_probe_ring(&state_->ring), &io_uring_free_probe
    );
    for (const Optional& operation : optional_operations) {
        const bool there = probe && io_uring_opcode_supported(probe.get(), operation.opcode) != 0;
        features.push_back(
            {operation.name, there, there ? operation.use : "this kernel's io_uring lacks it"}
        );
    }
    return features;
}

} // namespace zsync
