// TaskOrder: which ready task a real-time worker runs next.
#pragma once

#include <zsync/core/limits.hpp>
#include <zsync/core/result.hpp>
#include <zsync/core/timer_wheel.hpp>

#include <array>
#include <cstdint>

namespace zsync {

class TaskRecord;

/// In which order a worker runs ready tasks.
enum class RunOrder : std::uint8_t {
    arrival, ///< the one that has been ready for longest
    urgency, ///< the earliest deadline; then the highest priority; then arrival
};

/// What a real-time task asks for: a priority, or a deadline.
struct Urgency {
    std::uint8_t priority = 0; ///< 1 to 99, higher first; 0 with a deadline
    Duration deadline{};       ///< from a job's release to its end; the period by default
    Duration period{};         ///< from one job's release to the next; 0: there is one job
    Duration budget{};         ///< processor time of a job with a deadline, at most
};

/// What became of a task's jobs.
struct JobStats {
    std::uint64_t jobs = 0;     ///< that have ended
    std::uint64_t misses = 0;   ///< deadlines that passed before their job's end
    std::uint64_t overruns = 0; ///< jobs that took more processor time than their budget
};

/// The real-time tasks of one worker, what they have been promised, and which of them is next.
class TaskOrder {
public:
    struct Entry {
        TaskRecord* task = nullptr; ///< null while the place is free
        Urgency asked;
        TimePoint due; ///< of the current job
        TimePoint release;
        std::uint64_t cycles_at_release = 0;
        JobStats stats;
    };

    /// Promises a task its place, or says why not. Deadlines are promised while all can be kept:
    /// for each task, the shares of all with a deadline no later than its own, and the longest job
    /// that may have begun before it, since nothing interrupts a task between two waits, must fit
    /// into `capacity()` (earliest deadline first with blocking; Baker, 1991).
    Outcome<Entry*> admit(TaskRecord& task, const Urgency& asked);
    void leave(Entry& entry) noexcept;
    /// Null for a task that asked for nothing.
    [[nodiscard]] Entry* find(const TaskRecord& task) noexcept;
    [[nodiscard]] const Entry* find(const TaskRecord& task) const noexcept {
        return const_cast<TaskOrder*>(this)->find(task);
    }

    /// The part of a processor that there is to promise.
    void set_capacity(double capacity) noexcept { capacity_ = capacity; }
    [[nodiscard]] double capacity() const noexcept { return capacity_; }

    /// `a` is to run before `b`. Null is a task that asked for nothing.
    [[nodiscard]] static bool is_before(const Entry* a, const Entry* b) noexcept;

    [[nodiscard]] std::uint64_t refused() const noexcept { return refused_; }
    /// Of all tasks, those that have left included.
    [[nodiscard]] const JobStats& total() const noexcept { return total_; }
    [[nodiscard]] JobStats& total() noexcept { return total_; }

private:
    [[nodiscard]] Outcome<void> check(const TaskRecord& task, const Urgency& asked) const;
    [[nodiscard]] double load_with(const Urgency& asked) const noexcept;

    std::array<Entry, limits::real_time_tasks_max> entries_;
    double capacity_ = 1.0;
    std::uint64_t refused_ = 0;
    JobStats total_;
};

} // namespace zsync
