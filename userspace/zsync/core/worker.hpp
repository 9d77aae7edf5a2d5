// Worker: the thread that runs tasks.
#pragma once

#include <zsync/core/ring.hpp>
#include <zsync/core/task.hpp>
#include <zsync/core/timer_wheel.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <type_traits>
#include <vector>

namespace zsync {

class Io;
class OffloadPool;

/// One thread's runtime: a ring, a timer wheel, a queue of tasks that are ready, and the registry
/// of all its tasks. Everything in it belongs to the thread that calls `run`.
class Worker {
public:
    static Outcome<std::unique_ptr<Worker>> create();
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;
    ~Worker();

    [[nodiscard]] Io io() noexcept;

    /// Runs `root`, and everything spawned in it, to its end.
    template <class T> T run(std::string_view name, Task<T> root) {
        typename Task<T>::Handle handle = root.release();
        run_root(name, handle, handle.promise());
        if constexpr (std::is_void_v<T>) {
            handle.destroy();
        } else {
            T result = handle.promise().take();
            handle.destroy();
            return result;
        }
    }

    /// Every live task, parents before children.
    [[nodiscard]] std::vector<TaskInfo> tasks() const;
    [[nodiscard]] std::uint64_t task_count() const noexcept { return task_count_; }
    [[nodiscard]] TaskRecord* current() const noexcept { return current_; }
    [[nodiscard]] Ring& ring() noexcept { return ring_; }
    [[nodiscard]] const Ring& ring() const noexcept { return ring_; }
    [[nodiscard]] TimerWheel& timers() noexcept { return timers_; }
    /// Turns of the loop so far: each is one wake-up or one pass over ready tasks.
    [[nodiscard]] std::uint64_t turns() const noexcept { return turns_; }

    /// \name For the runtime's own parts
    /// \{
    TaskRecord& register_task(
        TaskRecord* parent,
        std::string_view name,
        std::coroutine_handle<> root,
        PromiseBase& promise,
        TaskRecord::Finish finish
    );
    void unregister_task(TaskRecord& record) noexcept;
    void make_ready(TaskRecord& record, std::coroutine_handle<> next) noexcept;
    void resume(TaskRecord& record, std::coroutine_handle<> next) noexcept;
    [[nodiscard]] OffloadPool& offload_pool();
    /// \}

private:
    explicit Worker(Ring ring) noexcept;
    void run_root(std::string_view name, std::coroutine_handle<> root, PromiseBase& promise);
    void turn() noexcept;
    void run_ready() noexcept;

    Ring ring_;
    TimerWheel timers_;
    TaskRecord* current_ = nullptr;
    TaskRecord* ready_first_ = nullptr;
    TaskRecord* ready_last_ = nullptr;
    TaskRecord* registry_first_ = nullptr;
    TaskRecord* registry_last_ = nullptr;
    std::uint64_t task_count_ = 0;
    std::uint64_t next_task_id_ = 1;
    std::uint64_t turns_ = 0;
    std::unique_ptr<OffloadPool> offload_pool_;
};

} // namespace zsync
