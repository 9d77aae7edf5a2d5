// Offload: calls on other threads, awaited.
#pragma once

#include <zsync/core/call_pool.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/pool_thread.hpp>
#include <zsync/core/result.hpp>
#include <zsync/core/suspension.hpp>

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

namespace zsync {

/// Threads for calls that block in the kernel, for one worker. They sleep most of the time, so
/// there are more of them than processors, and they are not those that compute: a disk that hangs
/// takes no processor away. Started when first needed, joined with the pool.
class OffloadPool final : public CallPool {
public:
    OffloadPool() noexcept = default;
    OffloadPool(const OffloadPool&) = delete;
    OffloadPool& operator=(const OffloadPool&) = delete;
    ~OffloadPool();

    /// False when `limits::offload_queue_max` calls are waiting already.
    [[nodiscard]] bool submit(PooledCall& call) override;
    [[nodiscard]] bool withdraw(PooledCall& call) noexcept override;

private:
    void serve() noexcept;
    bool add_thread() noexcept;

    std::mutex mutex_;
    HomeProcess home_;
    PoolCondition available_;
    CallQueue waiting_{limits::offload_queue_max};
    std::uint32_t idle_ = 0;
    std::uint32_t started_ = 0;
    bool stopping_ = false;
    std::array<PoolThread, limits::offload_threads_max> threads_;
};

/// Which threads make a call.
enum class CallKind : std::uint8_t {
    blocking, ///< it sleeps in the kernel: an `OffloadPool`
    compute,  ///< it keeps a processor busy: a `ComputePool`
};

/// The part of `OffloadWait` that does not depend on the call.
class OffloadWaitBase : public Suspension, public PooledCall, public Awaitable {
public:
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    bool suspend(PromiseBase& promise);
    void interrupt(CoreError reason) noexcept final;
    [[nodiscard]] std::string_view kind() const noexcept final {
        return kind_ == CallKind::blocking ? "offload" : "compute";
    }
    void arrive(Worker& /*worker*/) noexcept final { resume_inline(); }

protected:
    explicit OffloadWaitBase(CallKind kind) noexcept : kind_(kind) {}
    ~OffloadWaitBase() = default;
    [[nodiscard]] const std::optional<Error>& refused() const noexcept { return refused_; }

private:
    [[nodiscard]] CallPool& pool() const;
    [[nodiscard]] static bool runs_here(const TaskRecord& record) noexcept;
    [[nodiscard]] bool send();

    std::optional<Error> refused_;
    CallKind kind_;
};

template <class T> struct OffloadResultOf {
    using Type = Result<T>;
};
template <class T, class E> struct OffloadResultOf<std::expected<T, E>> {
    using Type = std::expected<T, E>;
};

/// Awaits to `Result<T>`, or to the call's own `Result` or `Outcome`.
template <class F> class OffloadWait final : public OffloadWaitBase {
    using Value = std::remove_cvref_t<std::invoke_result_t<F&>>;
    using Returned = OffloadResultOf<Value>::Type;

public:
    OffloadWait(F call, CallKind kind) : OffloadWaitBase(kind), call_(std::move(call)) {}

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
            return std::unexpected(*refused()); // NOLINT(*-optional-access): see above
        }
        return *std::move(value_); // NOLINT(*-optional-access): the call has ended
    }

private:
    F call_;
    std::optional<Returned> value_;
};

} // namespace zsync
