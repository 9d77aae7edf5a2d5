// Simulation: the same program, the same decisions, for as long as the seed is the same.
#pragma once

#include <zsync/core/limits.hpp>
#include <zsync/core/operation_queue.hpp>
#include <zsync/core/submission_queue.hpp>
#include <zsync/core/syscalls.hpp>
#include <zsync/core/worker.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <vector>

namespace zsync {

/// How often a simulation does what a kernel may do, each from 0 to 1, and when it dies.
struct SimulationFaults {
    double delayed = 0.3; ///< an operation that could complete is left for a later turn
    /// Fewer bytes are moved than asked for, where that is allowed; with MSG_WAITALL it takes a
    /// signal as well.
    double shortened = 0.2;
    double interrupted = 0.1; ///< EINTR
    double split = 0.3;       ///< a completion is delivered a turn after others of its batch
    double late_cancel = 0.5; ///< a cancel comes too late for an operation that can complete
    double no_buffers = 0.05; ///< ENOBUFS from a send, which has sent nothing
    /// ENOBUFS from a receive that picks from a pool, though the pool has buffers: some went back
    /// after the kernel had looked. Without a buffer it is ENOBUFS always.
    double no_receive_buffers = 0.1;
    double lost_more = 0.1;       ///< a multishot request ends with a completion that is no error
    bool multishot = true;        ///< one request may accept, and receive datagrams, many times
    double submission_full = 0.2; ///< what is queued is handed over before the turn is over
    /// Completions that fit; what does not overflows, ends multishot requests, and is told a turn
    /// later.
    std::uint32_t completion_entries = 16;
    /// The process dies at this step, as by SIGKILL: `_exit` with `simulated_crash_code`, a write
    /// perhaps half done, everything written before as the kernel keeps it. 0: never. To be run in
    /// a child process.
    std::uint64_t crash_at = 0;
};

/// How often it did so: a test whose mishaps never happen proves nothing.
struct SimulationMishaps {
    std::uint64_t delayed = 0;
    std::uint64_t shortened = 0;
    std::uint64_t interrupted = 0;
    std::uint64_t split = 0;
    std::uint64_t reordered = 0; ///< a completion was delivered before one that had come earlier
    std::uint64_t canceled = 0;  ///< ECANCELED
    std::uint64_t late_cancels = 0;
    std::uint64_t no_buffers = 0;
    std::uint64_t no_receive_buffers = 0;
    std::uint64_t lost_more = 0;
    std::uint64_t submission_full = 0;
    std::uint64_t overflowed = 0;
};

/// What a simulated process that has died exits with.
constexpr int simulated_crash_code = 66;

/// An OperationQueue on real descriptors and a clock of its own, both under one random generator:
/// the order in which operations are tried, what goes wrong with them, the order of completions and
/// of ready tasks. It does what a ring does, multishot requests and provided buffers included. The
/// clock stands still while anything can go on and else jumps to the next deadline. Deterministic
/// as long as all who take part are tasks of its worker. Entries are written where a ring has them,
/// so that what writes them without a call does so here too.
///
/// A wait that nothing can end completes with EDEADLK. A futex is woken when its word has changed.
class SimulatedQueue final : public OperationQueue, public SubmissionQueue {
public:
    explicit SimulatedQueue(std::uint64_t seed, SimulationFaults faults = {});
    ~SimulatedQueue() override;

    void queue(const OperationRequest& request, CompletionTarget target) noexcept override;
    [[nodiscard]] SubmissionQueue* submission() noexcept override { return this; }
    void queue_cancel(CompletionTarget target) noexcept override;
    void queue_cancel_all() noexcept override;
    void redirect(CompletionTarget target, int fd) noexcept override;
    void enter(bool wait, std::optional<TimePoint> deadline) noexcept override;
    unsigned deliver() noexcept override;
    [[nodiscard]] void*
    provide_buffers(std::uint32_t count, std::uint16_t& group) noexcept override;
    void
    withdraw_buffers(void* provided, std::uint32_t count, std::uint16_t group) noexcept override;
    [[nodiscard]] bool has_multishot_recv(int /*family*/) const noexcept override { return true; }
    [[nodiscard]] bool has_multishot_recvmsg() const noexcept override { return faults_.multishot; }
    [[nodiscard]] bool has_multishot_accept() const noexcept override { return faults_.multishot; }

    [[nodiscard]] std::uint64_t in_flight() const noexcept override { return in_flight_; }
    [[nodiscard]] std::uint64_t enters() const noexcept override { return enters_; }
    [[nodiscard]] std::vector<RuntimeFeature> features() const override;
    [[nodiscard]] TimePoint now() const noexcept override { return now_; }
    [[nodiscard]] bool is_simulated() const noexcept override { return true; }
    [[nodiscard]] std::size_t choose(std::size_t count) noexcept override;

    /// A digest of every decision so far: equal for equal seeds.
    [[nodiscard]] std::uint64_t digest() const noexcept { return digest_; }
    [[nodiscard]] const SimulationMishaps& mishaps() const noexcept { return mishaps_; }
    /// One more step at which the process may die; for calls that make their own system calls.
    void pass_step() noexcept;
    /// Steps so far: where a crash may be put in another run with the same seed.
    [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }

private:
    struct Pending {
        OperationRequest request;
        CompletionTarget target;
        Progress progress{};
        std::uint32_t delays = 0;
        bool tried = false;
    };
    struct Ended {
        CompletionTarget target;
        std::int32_t result;
        std::uint32_t flags;
    };
    /// Buffers provided to one group, as the kernel sees them.
    struct Group {
        std::vector<std::uint64_t> entries; ///< struct io_uring_buf, 16 bytes each
        std::uint16_t head = 0;
        std::uint16_t mask = 0;
        [[nodiscard]] bool empty() const noexcept;
    };

    [[nodiscard]] std::uint64_t random(std::uint64_t below) noexcept;
    [[nodiscard]] bool happens(double probability) noexcept;
    /// The same, counted.
    [[nodiscard]] bool happens(double probability, std::uint64_t& count) noexcept {
        const bool happened = happens(probability);
        count += happened ? 1 : 0;
        return happened;
    }
    void make_room() noexcept override;
    void hand_over() noexcept;
    void begin(const OperationRequest& entry) noexcept;
    void cancel(CompletionTarget target) noexcept;
    /// False when it has to wait.
    bool try_one(Pending& pending) noexcept;
    void interrupt(Pending& pending) noexcept;
    bool try_plain(Pending& pending) noexcept;
    bool try_futex(Pending& pending) noexcept;
    /// Repeats what one completion comes of, as a multishot request does.
    template <class Once> bool repeat(Pending& pending, bool multishot, Once once) noexcept;
    bool accept(Pending& pending) noexcept;
    bool accept_once(Pending& pending) noexcept;
    bool receive(Pending& pending) noexcept;
    bool receive_once(Pending& pending) noexcept;
    [[nodiscard]] bool may_go_on() noexcept;
    bool try_all(bool may_delay) noexcept;
    bool try_with_patience() noexcept;
    void end(CompletionTarget target, std::int32_t result, std::uint32_t flags = 0) noexcept;
    void end_request(
        const OperationRequest& request, CompletionTarget target, std::int32_t result
    ) noexcept;
    void take_in_overflow() noexcept;
    [[noreturn]] void die_in(const OperationRequest& request) noexcept;

    std::mt19937_64 generator_;
    SimulationFaults faults_;
    TimePoint now_;
    std::array<OperationRequest, limits::simulated_submission_entries> submitted_{};
    unsigned head_ = 0; ///< entries taken so far
    std::vector<Pending> pending_;
    std::vector<Ended> ended_;
    std::vector<Ended> overflow_;
    std::vector<std::unique_ptr<Group>> groups_; ///< by number
    SimulationMishaps mishaps_;
    std::uint64_t enters_ = 0;
    std::uint64_t steps_ = 0;
    std::uint64_t digest_ = 0;
    bool patient_ = false; ///< waits for the kernel: nothing is decided
};

/// A worker on a SimulatedQueue.
///
///     for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
///         Simulation simulation(seed);
///         simulation.worker().run("program", program(simulation.worker().io()));
///     }
class Simulation {
public:
    explicit Simulation(std::uint64_t seed, SimulationFaults faults = {});

    [[nodiscard]] Worker& worker() noexcept { return *worker_; }
    [[nodiscard]] SimulatedQueue& queue() noexcept { return *queue_; }
    [[nodiscard]] std::uint64_t digest() const noexcept { return queue_->digest(); }

private:
    SimulatedQueue* queue_;
    std::unique_ptr<Worker> worker_;
};

} // namespace zsync
