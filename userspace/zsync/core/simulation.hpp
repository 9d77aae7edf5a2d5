// Simulation: the same program, the same decisions, for as long as the seed is the same.
#pragma once

#include <zsync/core/operation_queue.hpp>
#include <zsync/core/syscalls.hpp>
#include <zsync/core/worker.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <vector>

namespace zsync {

/// How often a simulation does what a kernel may do, each from 0 to 1.
struct SimulationFaults {
    double delayed = 0.3;     ///< an operation that could complete is left for a later turn
    double shortened = 0.2;   ///< fewer bytes are moved than asked for, where that is allowed
    double interrupted = 0.1; ///< EINTR
    double split = 0.3;       ///< a completion is delivered a turn after others of its batch
    double late_cancel = 0.5; ///< a cancel comes too late for an operation that can complete
    double no_buffers = 0.0;  ///< ENOBUFS from a send
};

/// An OperationQueue on real descriptors and a clock of its own, both under one random generator:
/// the order in which operations are tried, what goes wrong with them, the order of completions and
/// of ready tasks. The clock stands still while anything can go on and else jumps to the next
/// deadline. Deterministic as long as all who take part are tasks of its worker.
///
/// A wait that nothing can end completes with EDEADLK.
class SimulatedQueue final : public OperationQueue {
public:
    explicit SimulatedQueue(std::uint64_t seed, SimulationFaults faults = {});
    ~SimulatedQueue() override;

    void queue(const OperationRequest& request, CompletionTarget target) noexcept override;
    void queue_cancel(CompletionTarget target) noexcept override;
    void enter(bool wait, std::optional<TimePoint> deadline) noexcept override;
    unsigned deliver() noexcept override;

    [[nodiscard]] std::uint64_t in_flight() const noexcept override {
        return pending_.size() + ended_.size();
    }
    [[nodiscard]] std::uint64_t enters() const noexcept override { return enters_; }
    [[nodiscard]] std::vector<RuntimeFeature> features() const override;
    [[nodiscard]] TimePoint now() const noexcept override { return now_; }
    [[nodiscard]] bool is_simulated() const noexcept override { return true; }
    [[nodiscard]] std::size_t choose(std::size_t count) noexcept override;

    /// A digest of every decision so far: equal for equal seeds.
    [[nodiscard]] std::uint64_t digest() const noexcept { return digest_; }

private:
    struct Pending {
        OperationRequest request;
        CompletionTarget target;
        Progress progress{};
        std::uint32_t delays = 0;
    };
    struct Ended {
        CompletionTarget target;
        std::int32_t result;
    };

    [[nodiscard]] std::uint64_t random(std::uint64_t below) noexcept;
    [[nodiscard]] bool happens(double probability) noexcept;
    /// False when it has to wait.
    bool try_one(Pending& pending) noexcept;
    bool try_all(bool may_delay) noexcept;
    void end(CompletionTarget target, std::int32_t result) noexcept;

    std::mt19937_64 generator_;
    SimulationFaults faults_;
    TimePoint now_;
    std::vector<Pending> pending_;
    std::vector<Ended> ended_;
    std::uint64_t enters_ = 0;
    std::uint64_t digest_ = 0;
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
    [[nodiscard]] std::uint64_t digest() const noexcept { return queue_->digest(); }

private:
    SimulatedQueue* queue_;
    std::unique_ptr<Worker> worker_;
};

} // namespace zsync
