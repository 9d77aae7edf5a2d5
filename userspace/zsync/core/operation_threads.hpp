// OperationThreads: where operations block that cannot be polled for.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/operation_request.hpp>
#include <zsync/core/pool_thread.hpp>
#include <zsync/core/syscalls.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>

namespace zsync {

/// One operation on its way to a thread and back.
struct OperationJob {
    OperationRequest request;
    std::int32_t result = 0;
    OperationJob* next = nullptr;
    Interrupt* running = nullptr; ///< of the thread that carries it out
};

/// A few threads that carry out operations which only block: files and names, and splices of them.
/// What waits for a thread is bounded by the tasks that wait for it. Started when first needed.
class OperationThreads {
public:
    OperationThreads() noexcept;
    OperationThreads(const OperationThreads&) = delete;
    OperationThreads& operator=(const OperationThreads&) = delete;
    ~OperationThreads();

    /// Readable when a job has ended. Negative when no descriptor was left to make one.
    [[nodiscard]] int event() const noexcept { return event_.get(); }
    /// False when there is no thread and none can be had: carry it out yourself.
    [[nodiscard]] bool submit(OperationJob& job) noexcept;
    /// Ends a job early. True when no thread had begun it: it is the caller's again.
    [[nodiscard]] bool stop(OperationJob& job) noexcept;
    /// A job has ended that another thread had. On that thread.
    void end(OperationJob& job, std::int32_t result) noexcept;
    /// Takes the jobs that have ended, as a list.
    [[nodiscard]] OperationJob* take_ended() noexcept;

private:
    struct Member {
        OperationThreads* pool = nullptr;
        Interrupt interrupt;
        PoolThread thread;
    };
    void serve(Member& member) noexcept;
    void put_ended(OperationJob& job, std::int32_t result) noexcept;
    bool add_thread() noexcept;

    Fd event_;
    std::mutex mutex_;
    HomeProcess home_;
    PoolCondition available_;
    OperationJob* first_ = nullptr;
    OperationJob** end_ = &first_;
    OperationJob* ended_ = nullptr;
    std::uint32_t waiting_ = 0;
    std::uint32_t idle_ = 0;
    std::uint32_t threads_ = 0;
    bool stopping_ = false;
    std::array<std::unique_ptr<Member>, limits::operation_threads_max> members_;
};

} // namespace zsync
