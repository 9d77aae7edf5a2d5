// Worker: the thread that runs tasks.
#pragma once

#include <zsync/core/executor.hpp>
#include <zsync/core/fiber.hpp>
#include <zsync/core/frame_pool.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/stall_detector.hpp>
#include <zsync/core/task.hpp>
#include <zsync/core/task_order.hpp>
#include <zsync/core/timer_wheel.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace zsync {

class ComputePool;
class Inbox;
class OffloadPool;
class OperationQueue;
class Ring;
class StandingRequest;
class WorkerAddress;

/// What a worker has done since it was made.
struct WorkerStats {
    std::uint64_t turns = 0;
    std::uint64_t enters = 0;    ///< system calls to hand over requests and to wait
    std::uint64_t resumes = 0;   ///< times that a task was given the processor
    std::uint64_t stalls = 0;    ///< while watched
    std::uint64_t tasks = 0;     ///< live now
    std::uint64_t timers = 0;    ///< armed now
    std::uint64_t in_flight = 0; ///< requests that the kernel has now
    JobStats jobs;               ///< of real-time tasks: ended, late, over their budget
    std::uint64_t refused = 0;   ///< real-time tasks that were not admitted
    Duration busy{};             ///< not waiting; a busy poll is no wait
    FramePoolStats frames;       ///< coroutine frames and task records, of the calling thread
    FiberPoolStats fibers;
};

/// One thread's runtime: a ring, a timer wheel, a queue of tasks that are ready, and the tree of
/// all its tasks, which are coroutines and fibers side by side. Everything in it belongs to one
/// thread, which makes it and calls `run`.
class Worker final : public Executor {
public:
    /// A worker on a ring of the kernel's, or on epoll where that is missing or forbidden, or as
    /// the environment says (`RuntimeOptions`). `features` tells which, and why.
    ///
    /// With `RunOrder::urgency` tasks may be real-time tasks (`RealTimeTask`); timers are exact to
    /// a quarter of a microsecond, and between two tasks it looks whether something more urgent has
    /// become ready.
    static Outcome<std::unique_ptr<Worker>> create(RunOrder order = RunOrder::arrival);
    /// A worker on another queue.
    explicit Worker(std::unique_ptr<OperationQueue> queue, RunOrder order = RunOrder::arrival);
    ~Worker() override;

    /// For coroutines.
    [[nodiscard]] Io io() noexcept { return {*this, TaskKind::coroutine}; }
    /// The same ring for fibers: what this `Io` starts has a stack of its own and may `wait()`.
    [[nodiscard]] Io fiber_io() noexcept { return {*this, TaskKind::fiber}; }

    /// Runs `root` as a coroutine, and everything started in it, to its end.
    template <class T> T run(TaskName name, Task<T> root) {
        return io().run(std::move(name), std::move(root));
    }

    /// From here on charges tasks with the time that they run, and reports each that holds the
    /// thread for longer than `limit` at a stretch, once it has come to an end: it blocks, or
    /// computes without a wait. Sampled every `limits::stall_tick_us` while the worker is busy
    /// (`StallDetector`); resumes cost nothing for it. Called on the worker's own thread; not in
    /// a simulation, which has a clock of its own.
    void watch(Duration limit, StallDetector::Report report);
    /// From here on the worker looks for so long whether something comes before it sleeps: nobody
    /// pays a system call to wake it then, and it is there a microsecond after a message instead of
    /// tens of them. Costs the processor, so it is for workers that have one to themselves
    /// (`WorkerOptions::busy_poll`). On a ring; 0, or less: sleeps at once.
    void busy_poll(Duration limit) noexcept { busy_poll_ = limit; }
    [[nodiscard]] WorkerStats stats() const noexcept;
    /// The deepest stacks of fibers that have ended, by the task's name. While watched.
    [[nodiscard]] std::vector<StackMark> stack_marks() const;

    /// Where `io.compute` computes from here on, instead of `ComputePool::shared()`; it must
    /// outlive the run.
    void compute_on(ComputePool& pool) noexcept { compute_pool_ = &pool; }
    [[nodiscard]] ComputePool& compute_pool();

    /// For tasks of other workers, while this one runs. Asked for on its own thread, from a task.
    /// EMFILE where no descriptor is left.
    [[nodiscard]] Result<WorkerAddress> address();

    [[nodiscard]] OperationQueue& queue() noexcept { return *queue_; }
    /// Turns of the loop so far: each is one wake-up or one pass over ready tasks.
    [[nodiscard]] std::uint64_t turns() const noexcept { return turns_; }
    [[nodiscard]] std::vector<RuntimeFeature> features() const override;
    [[nodiscard]] TimePoint now() const noexcept override;

    /// \name For the runtime's own parts
    /// \{
    [[nodiscard]] bool start(TaskRecord& record, Concurrency concurrency) noexcept override;
    void run_root(TaskRecord& root) noexcept override;
    void submit(OperationWait& wait) noexcept override;
    void cancel(OperationWait& wait) noexcept override;
    void park(TaskRecord& record) noexcept override;
    void unpark(TaskRecord& record) noexcept override { make_ready(record); }
    void add_timer(TimedSuspension& timer, TimePoint deadline) noexcept override {
        timers_.add(timer, deadline);
    }
    void remove_timer(TimedSuspension& timer) noexcept override { timers_.remove(timer); }
    /// The next fiber that starts gets a stack of this size, whole pages.
    void set_next_stack(std::size_t bytes) noexcept { next_stack_bytes_ = bytes; }
    /// Runs a task until it waits again. The current task stays set.
    static void resume(TaskRecord& record, PromiseBase& leaf) noexcept;
    /// The wait has ended: its task goes on at once, from its worker's loop.
    static void resume_waiting(Suspension& wait) noexcept;
    [[nodiscard]] OffloadPool& offload_pool();
    /// Where other threads leave messages for it, for as long as its root task runs. Null where no
    /// descriptor is left. Made when first asked for, on the worker's own thread.
    [[nodiscard]] const std::shared_ptr<Inbox>& inbox();
    /// Null when tasks run in order of arrival.
    [[nodiscard]] TaskOrder* task_order() noexcept { return order_.get(); }
    /// Processor time of the current task until now; while tasks are ordered by urgency.
    [[nodiscard]] CycleClock::Cycles cycles_of_current() const noexcept;
    /// file:line of the innermost await of a task; `its end` when no task has this id any more.
    [[nodiscard]] std::string place_of_task(std::uint64_t id) const;
    /// The task has ended; what is kept of it beyond that.
    void remember(const TaskRecord& ended) noexcept {
        resumes_of_ended_ += ended.resumes_;
        if (ended.kind_ == TaskKind::fiber && detector_ && TaskRecord::current_ == &ended) {
            fibers_->name_ended(ended.name());
        }
    }
    /// Whose children the tasks are that other workers start here; null when it is ending.
    [[nodiscard]] TaskRecord* host_of_guests() noexcept;
    [[nodiscard]] Ring* ring() noexcept { return ring_; }
    [[nodiscard]] bool is_simulated() const noexcept { return simulated_; }
    /// \}

private:
    friend class StandingRequest;
    /// Requests of streams that nobody has ended.
    [[nodiscard]] std::uint64_t standing_count() const noexcept;
    void settle_and_stop() noexcept;
    void bring_any_first() noexcept;
    [[nodiscard]] bool give_stack(TaskRecord& record) noexcept;
    void resume_fiber(TaskRecord& record) noexcept;
    void resume_otherwise(TaskRecord& record) noexcept;
    static void resume_coroutine(TaskRecord& record, PromiseBase& leaf) noexcept;
    void turn() noexcept;
    void turn_by_urgency() noexcept;
    void run_ready() noexcept;
    template <bool is_simple> std::uint32_t run_ready_of(std::uint32_t left) noexcept;
    std::uint32_t run_ready_coroutines(std::uint32_t left) noexcept;
    void run_first() noexcept;
    void bring_most_urgent_first() noexcept;
    template <bool watched> void wait_and_deliver() noexcept;
    void wait_and_deliver_watched() noexcept;
    [[nodiscard]] bool finds_news_polling() noexcept;
    [[nodiscard]] std::uint64_t resumes_of_live() const noexcept;
    [[nodiscard]] TimePoint look_at_clock() noexcept override;
    void describe(const TaskRecord& record, TaskInfo& info) const override;
    void drain() noexcept;

    StandingRequest* standing_ = nullptr;
    Ring* ring_; ///< the queue, when it is the kernel's
    bool simulated_;
    TimerWheel timers_;
    std::uint64_t turns_ = 0;
    CycleClock::Cycles busy_cycles_ = 0;
    CycleClock::Cycles busy_since_ = 0;
    std::uint64_t resumes_of_ended_ = 0;
    std::unique_ptr<StallDetector> detector_; ///< null while nobody watches
    CycleClock::Cycles stretch_began_ = 0;    ///< when the current task was given the processor
    /// Null when tasks run in order of arrival.
    std::unique_ptr<TaskOrder> order_;
    /// What of the ready list has not been put in order; the rest of it is.
    TaskRecord** unordered_ = &ready_.first;
    bool ordered_now_ = false; ///< the task to be resumed is the most urgent one
    Duration busy_poll_{};
    std::unique_ptr<OperationQueue> queue_;
    std::unique_ptr<FiberPool> fibers_;
    std::unique_ptr<OffloadPool> offload_pool_;
    ComputePool* compute_pool_ = nullptr; ///< null: the shared one
    std::shared_ptr<Inbox> inbox_;        ///< null until another thread has to be told of it
    std::size_t next_stack_bytes_ = limits::fiber_stack_bytes;
};

} // namespace zsync
