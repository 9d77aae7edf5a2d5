// Fibers: tasks with a stack of their own on a worker's thread.
#pragma once

#include <zsync/core/signal_stack.hpp>
#include <zsync/core/task_record.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace zsync {

class FiberPool;

/// A stack and the place on it where its task waits. Lives at the stack's upper end.
class Fiber final : public StackContext {
public:
    /// Goes back to the worker's loop; returns when the task's turn comes again.
    [[gnu::always_inline]] inline void leave() noexcept; // fiber_switch.hpp

    /// The most that was in use since it was mapped, or forgotten: found by what is not zero.
    [[nodiscard]] std::size_t stack_bytes_used() const noexcept;
    /// Clears what is not in use now.
    void forget_stack_bytes_used() noexcept;

private:
    friend class FiberPool;
    friend struct FiberFault;
    friend struct FiberSwitch;
    friend struct DebugLayout;
    Fiber() = default;
    [[noreturn]] static void run() noexcept;

    void* stack_pointer_ = nullptr;
    void* loop_stack_pointer_ = nullptr;
    PromiseBase* root_ = nullptr;
    Fiber* next_free_ = nullptr;
    std::byte* mapping_ = nullptr; ///< the guard, then the stack
    std::size_t stack_bytes_ = 0;
    bool ended_ = false;
    // What sanitizers want to know of a switch.
    [[maybe_unused]] void* sanitizer_fiber_ = nullptr;
    [[maybe_unused]] void* sanitizer_loop_ = nullptr;
    void* fake_stack_ = nullptr;
    void* loop_fake_stack_ = nullptr;
    const void* loop_bottom_ = nullptr;
    std::size_t loop_size_ = 0;
    unsigned valgrind_id_ = 0;
};

/// Figures of a worker's fibers.
struct FiberPoolStats {
    std::uint64_t live = 0;   ///< stacks in use
    std::uint64_t pooled = 0; ///< stacks kept for reuse
    std::uint64_t mapped = 0; ///< stacks mapped since the pool was made
};

/// How deep the stack of a task of this name has been.
struct StackMark {
    std::string task;
    std::size_t bytes = 0;
};

/// The stacks of one worker: `limits::fiber_stack_bytes` each, mapped when first needed, with a
/// guard below. A fiber that runs into its guard ends the process with the task's name.
class FiberPool {
public:
    FiberPool();
    FiberPool(const FiberPool&) = delete;
    FiberPool& operator=(const FiberPool&) = delete;
    ~FiberPool();

    /// A fiber to start a task on. Null when no stack can be mapped (memory, or vm.max_map_count).
    /// A stack of another size, whole pages, is mapped for it and not kept.
    [[nodiscard]] Fiber* acquire(std::size_t stack_bytes) noexcept;
    /// Takes back one whose task has ended, or was never begun.
    void release(Fiber& fiber) noexcept;
    /// Runs the fiber until it leaves or its task has ended; then it is taken back.
    [[gnu::always_inline]] inline void
    enter(Fiber& fiber, PromiseBase& root) noexcept; // fiber_switch.hpp
    [[nodiscard]] const FiberPoolStats& stats() const noexcept { return stats_; }
    /// The task on the current stack has ended: the mark that its stack has left is this name's.
    void name_ended(std::string_view task) { ended_name_ = task; }
    /// Of tasks that have ended, by name.
    [[nodiscard]] std::vector<StackMark> marks() const;
    /// Stands for the names beyond `limits::stack_marks_max`.
    static constexpr std::string_view other_tasks = "(others)";

private:
    static Fiber* map(std::size_t stack_bytes) noexcept;
    static void unmap(Fiber& fiber) noexcept;
    static void begin(Fiber& fiber, PromiseBase& root) noexcept;
    /// One system call.
    void mark(Fiber& ended);

    Fiber* free_ = nullptr;
    FiberPoolStats stats_;
    std::map<std::string, std::size_t, std::less<>> marks_;
    std::string ended_name_; ///< empty where nobody watches
    SignalStack signal_stack_;
};

} // namespace zsync
