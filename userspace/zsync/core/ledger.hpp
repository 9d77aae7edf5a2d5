// The ledger: what tasks have made and not given back when their executor ends.
#pragma once

#include <zsync/core/result.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <source_location>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace zsync {

class BufferPool;
class Executor;
class TaskRecord;
class Worker;
struct PromiseBase;

/// What is done about a leak.
enum class LeakAction : std::uint8_t {
    off,    ///< nobody looks
    report, ///< it is written to standard error
    fatal,  ///< and the process aborts
};

/// How the ledger is kept. `ZSYNC_LEAKS` has the words, separated by commas: `off`, `report` (the
/// default) or `fatal`, and `trace`.
///
/// When an executor ends, its tasks must have ended, and so must every request to the kernel;
/// chunks must be back in their pools and pools gone; descriptors that its tasks opened must be
/// closed, and coroutine frames and task records freed. What is left is told with what is known of
/// it: where and by which task a descriptor was opened or a pool made, where a stream was made and
/// those that a pool's chunks came from, where a frame waits. That costs next to nothing and is
/// always on.
///
/// With `trace` the ledger also remembers where everything else was made: file and line, task, and
/// for what a task awaited, its chain of awaits. That costs a lock and a table entry for each frame
/// and descriptor, and streams ask for every chunk, as without `buffer_ring`: for tests, and to
/// find a leak of which the rest does not tell enough.
struct LeakPolicy {
    /// Fails with `invalid_argument` on a word that is not known. Null is the default.
    static Outcome<LeakPolicy> parse(const char* words);
    static Outcome<LeakPolicy> from_environment();

    LeakAction action = LeakAction::report;
    bool trace = false;
};

/// What `allocate_frame` is asked for.
enum class FrameUse : std::uint8_t { coroutine, task, operation };

/// Process-wide. Its functions may be called by every thread.
class Ledger {
public:
    /// Replaces what the environment says. Before the first executor is made.
    static void set(LeakPolicy policy) noexcept;
    [[nodiscard]] static LeakPolicy policy() noexcept;
    /// Whether it remembers where things were made.
    [[nodiscard]] static bool traces() noexcept { return traces_.load(std::memory_order_relaxed); }

    /// \name For the runtime's own parts
    /// \{

    /// Of one executor.
    struct Account {
        std::uint16_t slot = 0;
        std::int64_t frames_before = 0;
        const void* thread = nullptr; ///< that made the executor
    };
    static void open(Executor& executor, Account& account) noexcept;
    /// Reports what is left. `requests` tells of requests that the kernel still has.
    static void
    settle(Executor& executor, std::string_view kind, const std::vector<std::string>& requests);
    static void close(Account& account) noexcept;

    static void frame_made(const void* frame, FrameUse use) noexcept;
    static void frame_freed(const void* frame) noexcept;
    static void task_made(const TaskRecord& task, const std::source_location& made) noexcept;
    static void chain_of_descriptor(int fd, const PromiseBase& promise) noexcept;
    static void chunk_taken(const std::byte* buffer, const PromiseBase& promise) noexcept;
    static void chunk_returned(const std::byte* buffer) noexcept;
    static void request_made(const void* request, const std::source_location& made) noexcept;
    static void request_ended(const void* request) noexcept;
    static void pool_made(
        BufferPool& pool, const Executor& executor, const std::source_location& made
    ) noexcept;
    static void pool_ended(const BufferPool& pool) noexcept;
    /// Chunks that are not in the pools of an executor, by the task that received each.
    [[nodiscard]] static std::unordered_map<std::uint32_t, std::uint64_t>
    held_chunks(const Executor& executor);
    /// Where the chunks of a pool, or a request, were made, a line each. Where nobody traces that
    /// is where the streams of the pool were made, and nothing of a request.
    [[nodiscard]] static std::vector<std::string> chunks_of(const BufferPool& pool);
    [[nodiscard]] static std::string made(const void* request);
    /// Where and by which task a descriptor was opened; empty where no task did.
    [[nodiscard]] static std::string opened(int fd);
    /// Of a stream: what it is, who opened its descriptor, and, where nobody traces, where it was
    /// `made`.
    [[nodiscard]] static std::string stream(std::string_view kind, int fd, std::string_view made);
    /// \}

private:
    static inline constinit std::atomic<bool> traces_{false};
};

} // namespace zsync
