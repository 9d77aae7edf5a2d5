// within: a deadline for a whole call.
#pragma once

#include <zsync/core/callable.hpp>
#include <zsync/core/clocks.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/offload.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/task.hpp>

#include <functional>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace zsync {

namespace detail {

/// Cancels one task at its time.
class CallClock {
public:
    template <Moment At> Task<void> watch(Io io, At deadline) {
        const Result<void> slept = co_await sleep_until(io, deadline);
        if (!slept && slept.error().is_canceled()) {
            co_return;
        }
        const RuntimeLock lock;
        reason_ = slept ? Error(CoreError::timed_out) : slept.error();
        work_.request_cancel();
    }
    /// The current task is the one.
    void begin() noexcept {
        const RuntimeLock lock;
        work_ = TaskRef(*TaskRecord::current());
        if (reason_) {
            work_.request_cancel();
        }
    }
    /// After its end: why it was cancelled, if it was.
    [[nodiscard]] const std::optional<Error>& reason() const noexcept { return reason_; }

private:
    TaskRef work_;
    std::optional<Error> reason_;
};

template <class F, class... Args>
auto call_by_clock(CallClock& clock, F function, Args... args)
    -> Task<typename OffloadResultOf<CallValue<F, Args...>>::Type> {
    clock.begin();
    if constexpr (std::is_void_v<CallValue<F, Args...>>) {
        co_await make_task(std::move(function), std::move(args)...);
        co_return {};
    } else {
        co_return co_await make_task(std::move(function), std::move(args)...);
    }
}

[[nodiscard]] inline bool is_canceled(const Error& error) noexcept { return error.is_canceled(); }
[[nodiscard]] inline bool is_canceled(const Fault& fault) noexcept {
    return fault.error.is_canceled();
}

} // namespace detail

/// Makes a call, of any callable, as a task of its own, which is cancelled at `deadline`. Returns
/// when that has ended, so what it borrows is safe.
///
///     ZCO_TRY(Page page, co_await within(io, io.now() + 5s, fetch, io, address));
///
/// Awaits to the call's own `Result` or `Outcome`, else to `Result` of what it gives. What the call
/// makes of the cancel counts: `canceled` becomes `timed_out`, and a success stays one. Cancelling
/// the waiting task cancels the call, with `canceled`. The deadline waits beside the call:
/// `concurrency_unavailable`, and nothing was called, where that cannot be; `unsupported` where
/// there is no clock. For one operation `.until(deadline)` is enough, and costs no task. The
/// deadline may also be one of the wall clock or of `BootClock`.
template <Moment At, class F, class... Args>
    requires Callable<F, Args...>
auto within(Io io, At deadline, F function, Args... args)
    -> Task<typename OffloadResultOf<CallValue<F, Args...>>::Type> {
    detail::CallClock clock;
    // A deadline needs no stack.
    const Io beside = io.kind() == TaskKind::thread ? io : Io(io.executor(), TaskKind::coroutine);
    auto watching = beside.concurrent(
        "deadline", &detail::CallClock::watch<At>, std::ref(clock), beside, deadline
    );
    if (!watching) {
        co_return std::unexpected(watching.error());
    }
    auto result = co_await io.async(
        &detail::call_by_clock<F, Args...>, std::ref(clock), std::move(function), std::move(args)...
    );
    co_await watching->cancel();
    if (!result && detail::is_canceled(result.error()) && clock.reason()) {
        co_return std::unexpected(*clock.reason());
    }
    co_return result;
}

} // namespace zsync
