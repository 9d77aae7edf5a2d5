// Offload: blocking calls on other threads, awaited.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/operation_queue.hpp>
#include <zsync/core/result.hpp>
#include <zsync/core/suspension.hpp>

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace zsync {

class Worker;

/// One blocking call on its way to a thread and back. Embedded in what awaits it.
class OffloadCall {
public:
    virtual void run() noexcept = 0;      ///< on the pool's thread
    virtual void returned() noexcept = 0; ///< on the worker's thread

    OffloadCall* next = nullptr; ///< the pool's own link

protected:
    ~OffloadCall() = default;
};

/// A few threads that run blocking calls for one worker; started when first needed, joined with it.
class OffloadPool final : private CompletionHandler {
public:
    explicit OffloadPool(Worker& worker);
    OffloadPool(const OffloadPool&) = delete;
    OffloadPool& operator=(const OffloadPool&) = delete;
    ~OffloadPool();

    /// False when `limits::offload_queue_max` calls are waiting already.
    [[nodiscard]] bool submit(OffloadCall& call);
    /// Takes back a call that no thread has begun. False when it is too late.
    [[nodiscard]] bool withdraw(OffloadCall& call) noexcept;

private:
    void serve();
    void complete(std::int32_t result, std::uint32_t flags) noexcept override;
    void listen() noexcept;

    Worker& worker_;
    Fd event_;
    std::uint64_t event_count_ = 0; ///< the ring reads the eventfd into it
    std::mutex mutex_;
    std::condition_variable available_;
    OffloadCall* waiting_first_ = nullptr;
    OffloadCall* waiting_last_ = nullptr;
    OffloadCall* returned_ = nullptr;
    std::uint32_t waiting_count_ = 0;
    std::uint32_t idle_threads_ = 0;
    bool stopping_ = false;
    std::vector<std::jthread> threads_;
};

/// The part of `OffloadWait` that does not depend on the call.
class OffloadWaitBase : public Suspension, public OffloadCall, public Awaitable {
public:
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    bool suspend(PromiseBase& promise);
    void interrupt(CoreError reason) noexcept final;
    [[nodiscard]] std::string_view kind() const noexcept final { return "offload"; }
    void returned() noexcept final { resume_inline(); }

protected:
    OffloadWaitBase() noexcept = default;
    ~OffloadWaitBase() = default;
    [[nodiscard]] const std::optional<Error>& refused() const noexcept { return refused_; }

private:
    [[nodiscard]] OffloadPool& pool() const;
    [[nodiscard]] static bool runs_here(const TaskRecord& record) noexcept;

    std::optional<Error> refused_;
};

template <class T> struct OffloadResultOf {
    using Type = Result<T>;
};
template <class T, class E> struct OffloadResultOf<std::expected<T, E>> {
    using Type = std::expected<T, E>;
};

/// Awaits to `Result<T>`, or to the call's own `Result` or `Outcome`.
template <class F> class OffloadWait final : public OffloadWaitBase {
    using Value = std::invoke_result_t<F&>;
    using Returned = OffloadResultOf<Value>::Type;

public:
    explicit OffloadWait(F call) : call_(std::move(call)) {}

    void run() noexcept override {
        if constexpr (std::is_void_v<Value>) {
            call_();
            value_.emplace();
        } else {
            value_.emplace(call_());
        }
    }
    [[nodiscard]] Returned await_resume() {
        if (refused()) {
            return std::unexpected(*refused());
        }
        return *std::move(value_);
    }

private:
    F call_;
    std::optional<Returned> value_;
};

} // namespace zsync
