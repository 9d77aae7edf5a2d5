// use_task: awaits any asynchronous operation of Asio in a task.
#pragma once

#include <zsync/asio/context.hpp>
#include <zsync/asio/error.hpp>
#include <zsync/core/assert.hpp>
#include <zsync/core/frame_pool.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/suspension.hpp>
#include <zsync/core/task_record.hpp>

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/execution/blocking.hpp>
#include <boost/asio/execution/context.hpp>
#include <boost/asio/experimental/channel_error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/query.hpp>
#include <concepts>
#include <cstddef>
#include <exception>
#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace zsync::asio {

/// A completion token: the operation becomes an awaitable of the runtime. It starts when it is
/// awaited, in a coroutine by `co_await` and in a fiber by `wait()`, on a worker that has a
/// `Context`.
///
///     ZCO_TRY(std::size_t count, co_await socket.async_read_some(buffer, use_task));
///     auto line = co_await async_read_until(socket, input, '\n', use_task).until(io.now() + 5s);
///
/// | the operation's signature | what is awaited |
/// |---|---|
/// | `void(error_code, T...)` | `Result<T>`; `Result<void>`; `Result<std::tuple<T...>>` for several
/// | | `void(std::exception_ptr, T...)` | `Outcome<...>` of the same, with the exception's words |
/// | `void(T...)` | `Result<...>` of the same; it fails only with `canceled` and `closed` |
/// | any of them in `boost::asio::as_tuple(use_task)` | `std::tuple<Result<void>, T...>`: what came
/// with a failure as well, as the bytes before the end |
///
/// Cancelling the task emits the operation's cancellation signal and then waits for its end:
/// `canceled`, or a success that came first, after which the cancel stays pending. `until` does the
/// same with `timed_out`. The signal is `terminal` unless `cancel_by` says otherwise. It reaches
/// operations of this worker's context; those of other contexts go on to their own end.
struct UseTask {
    boost::asio::cancellation_type cancel_type = boost::asio::cancellation_type::terminal;

    /// The same token with another kind of cancellation, for operations that can be ended more
    /// gently.
    [[nodiscard]] constexpr UseTask cancel_by(boost::asio::cancellation_type type) const noexcept {
        return {type};
    }
};
inline constexpr UseTask use_task{};

namespace detail {

/// What can be said of an operation without its results. Lives in the awaiting frame.
class OperationBase : public TimedSuspension, public Awaitable {
public:
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    void interrupt(CoreError reason) noexcept final {
        if (!interrupted_) {
            interrupted_ = true;
            reason_ = reason;
            emit();
        } else if (reason == CoreError::canceled) {
            reason_ = reason;
        }
    }
    [[nodiscard]] std::string_view kind() const noexcept final { return "asio operation"; }

    /// \name For the handler
    /// \{
    [[nodiscard]] Context& home() const noexcept { return *home_; }
    [[nodiscard]] boost::asio::cancellation_slot slot() noexcept { return signal_.slot(); }
    /// Whether it is one of another context, as far as that is known.
    [[nodiscard]] bool is_foreign() const noexcept { return work_.has_value(); }
    /// The results are stored. On the worker's thread.
    void ended() noexcept {
        if (starting_) {
            starting_ = false;
            return;
        }
        disarm();
        wake();
    }
    /// The handler was dropped: nobody is going to call it.
    void dropped() noexcept {
        failure_ = CoreError::closed;
        ended();
    }
    /// \}

protected:
    explicit OperationBase(boost::asio::cancellation_type type) noexcept : cancel_type_(type) {}
    ~OperationBase() = default;

    void set_deadline(TimePoint deadline) noexcept {
        due = deadline;
        has_deadline_ = true;
    }
    /// `start` hands the operation to Asio. True when a coroutine has to suspend.
    template <class Start>
    bool suspend_around(PromiseBase& promise, bool forwards_cancel, Start start) noexcept {
        home_ = Context::current();
        ZASSERT(
            home_ != nullptr && &promise.task->executor() == &home_->worker(),
            "an Asio operation is awaited on a worker that has an asio::Context"
        );
        if (!begin(promise)) {
            failure_ = CoreError::canceled;
            return false;
        }
        if (home_->has_ended()) {
            failure_ = CoreError::closed;
            end_here();
            return false;
        }
        forwards_cancel_ = forwards_cancel;
        if (!forwards_cancel) {
            // It is no work of this context, which must be there when it ends all the same.
            work_.emplace(home_->get_executor());
        }
        starting_ = true;
        start();
        if (!starting_) {
            end_here();
            return false;
        }
        starting_ = false;
        if (has_deadline_) {
            arm(due);
        }
        if (interrupted_) {
            emit();
        }
        return park();
    }
    /// Why there are no results: the operation was not started, or its handler was dropped.
    [[nodiscard]] std::optional<Error> missing() const noexcept {
        return failure_ == CoreError::os ? std::nullopt : std::optional<Error>(failure_);
    }
    /// What its code means here. Asio's own words for an operation that was stopped, of which
    /// channels have one to themselves, are the runtime's only if the runtime has stopped it.
    [[nodiscard]] Error meaning(const boost::system::error_code& code) noexcept {
        if (interrupted_ && (code == boost::system::errc::operation_canceled ||
                             code == boost::asio::experimental::error::channel_cancelled)) {
            if (reason_ != CoreError::canceled || task().take_cancel()) {
                return reason_;
            }
        }
        return to_error(code);
    }

private:
    void emit() noexcept {
        if (forwards_cancel_) {
            signal_.emit(cancel_type_);
        }
    }

    boost::asio::cancellation_signal signal_;
    std::optional<boost::asio::executor_work_guard<Context::executor_type>> work_;
    Context* home_ = nullptr;
    boost::asio::cancellation_type cancel_type_;
    CoreError failure_ = CoreError::os; ///< `os`: none
    CoreError reason_ = CoreError::canceled;
    bool has_deadline_ = false;
    bool starting_ = false; ///< until it has ended or its start is over
    bool forwards_cancel_ = false;
    bool interrupted_ = false;
};

/// Memory of operations, from the worker's own free lists; that of an operation of another context,
/// which may be freed on another thread, from the heap.
template <class T> struct FrameAllocator {
    using value_type = T;
    explicit FrameAllocator(bool of_another_context) noexcept : foreign(of_another_context) {}
    template <class U>
    // NOLINTNEXTLINE(google-explicit-constructor): allocators are rebound so
    FrameAllocator(const FrameAllocator<U>& other) noexcept : foreign(other.foreign) {}
    [[nodiscard]] T* allocate(std::size_t count) {
        const std::size_t bytes = count * sizeof(T);
        void* const memory =
            foreign ? ::operator new(bytes) : allocate_frame(bytes, FrameUse::operation);
        return static_cast<T*>(memory);
    }
    void deallocate(T* memory, std::size_t count) noexcept {
        if (foreign) {
            ::operator delete(memory, count * sizeof(T));
        } else {
            free_frame(memory, count * sizeof(T));
        }
    }
    template <class U> bool operator==(const FrameAllocator<U>& other) const noexcept {
        return foreign == other.foreign;
    }

    bool foreign;
};

/// Where Asio calls handlers of operations that have ended while they were started: at once, so
/// that a send which does not block costs no trip through the queues, but only so often and so deep
/// that other tasks have their turn and the stack has an end.
class ImmediateExecutor {
public:
    explicit ImmediateExecutor(Context& home) noexcept : home_(&home) {}

    template <class F> void execute(F&& handler) const {
        if (home_->enter_immediate()) {
            std::forward<F>(handler)();
            home_->leave_immediate();
        } else {
            boost::asio::post(*home_, std::forward<F>(handler));
        }
    }
    [[nodiscard]] boost::asio::execution_context&
    query(boost::asio::execution::context_t /*property*/) const noexcept {
        return *home_;
    }
    static constexpr boost::asio::execution::blocking_t
    query(boost::asio::execution::blocking_t /*property*/) noexcept {
        return boost::asio::execution::blocking.possibly;
    }
    bool operator==(const ImmediateExecutor&) const noexcept = default;

private:
    Context* home_;
};

/// The completion handler. Its operation outlives it: a handler that is dropped says so.
template <class Operation> class Handler {
public:
    using cancellation_slot_type = boost::asio::cancellation_slot;
    using allocator_type = FrameAllocator<void*>;
    using immediate_executor_type = ImmediateExecutor;

    explicit Handler(Operation& operation) noexcept : operation_(&operation) {}
    Handler(Handler&& other) noexcept : operation_(std::exchange(other.operation_, nullptr)) {}
    Handler& operator=(Handler&&) = delete;
    ~Handler() {
        if (operation_ != nullptr) {
            hand_over([operation = operation_] { operation->dropped(); });
        }
    }

    template <class... Values> void operator()(Values&&... values) {
        Operation* operation = std::exchange(operation_, nullptr);
        operation->store(std::forward<Values>(values)...);
        hand_over([operation] { operation->ended(); }, *operation);
    }

    [[nodiscard]] cancellation_slot_type get_cancellation_slot() const noexcept {
        return operation_->slot();
    }
    [[nodiscard]] allocator_type get_allocator() const noexcept {
        return allocator_type(operation_ != nullptr && operation_->is_foreign());
    }
    [[nodiscard]] immediate_executor_type get_immediate_executor() const noexcept {
        return immediate_executor_type(operation_->home());
    }

private:
    /// An operation of another context ends on a thread of that.
    template <class End> void hand_over(End end) { hand_over(end, *operation_); }
    template <class End> static void hand_over(End end, Operation& operation) {
        if (Context::current() == &operation.home()) [[likely]] {
            end();
        } else {
            boost::asio::post(operation.home(), end);
        }
    }

    Operation* operation_;
};

template <class... Values> struct PackedValues {
    using Type = std::tuple<Values...>;
};
template <class Value> struct PackedValues<Value> {
    using Type = Value;
};
template <> struct PackedValues<> {
    using Type = void;
};
template <class... Values> using Packed = PackedValues<Values...>::Type;

template <class Value>
using OrNothing =
    std::conditional_t<std::is_default_constructible_v<Value>, Value, std::optional<Value>>;

inline Fault fault_of(const std::exception_ptr& exception) {
    try {
        std::rethrow_exception(exception);
    } catch (const boost::system::system_error& error) {
        return {to_error(error.code()), error.what()};
    } catch (const std::exception& error) {
        return {CoreError::invalid_argument, error.what()};
    } catch (...) {
        return {CoreError::invalid_argument, "an exception that is no std::exception"};
    }
}

/// The results of an operation by its signature, and what they are awaited as.
template <class... Values> struct Completion {
    using Awaited = Result<Packed<Values...>>;
    static Awaited of_missing(Error error) { return fail(error); }
    template <class Meaning>
    static Awaited of(std::tuple<Values...>&& values, Meaning /*meaning*/) {
        return pack(std::move(values));
    }
    static Awaited pack(std::tuple<Values...>&& values) {
        if constexpr (sizeof...(Values) == 0) {
            return {};
        } else if constexpr (sizeof...(Values) == 1) {
            return std::get<0>(std::move(values));
        } else {
            return std::move(values);
        }
    }
};

template <class First, class... Values>
std::tuple<Values...> without_first(std::tuple<First, Values...>&& all) {
    return std::apply(
        [](First&, Values&... values) { return std::tuple<Values...>(std::move(values)...); }, all
    );
}

template <class... Values> struct Completion<boost::system::error_code, Values...> {
    using Awaited = Result<Packed<Values...>>;
    using Stored = std::tuple<boost::system::error_code, Values...>;
    static Awaited of_missing(Error error) { return fail(error); }
    template <class Meaning> static Awaited of(Stored&& values, Meaning meaning) {
        if (std::get<0>(values)) [[unlikely]] {
            return fail(meaning(std::get<0>(values)));
        }
        return Completion<Values...>::pack(without_first(std::move(values)));
    }
};

template <class... Values> struct Completion<std::exception_ptr, Values...> {
    using Awaited = Outcome<Packed<Values...>>;
    using Stored = std::tuple<std::exception_ptr, Values...>;
    static Awaited of_missing(Error error) { return fail(error, {}); }
    template <class Meaning> static Awaited of(Stored&& values, Meaning meaning) {
        if (std::get<0>(values)) [[unlikely]] {
            Fault fault = fault_of(std::get<0>(values));
            if (const auto code = code_of(fault.error)) {
                fault.error = meaning(*code);
            }
            return std::unexpected(std::move(fault));
        }
        if constexpr (sizeof...(Values) == 0) {
            return {};
        } else {
            return *Completion<Values...>::pack(without_first(std::move(values)));
        }
    }
};

/// `as_tuple`: success or failure, and the values in any case.
template <class First, class... Values> struct TupleCompletion {
    using Status = Completion<First>::Awaited;
    using Awaited = std::tuple<Status, OrNothing<Values>...>;
    using Stored = std::tuple<std::tuple<First, Values...>>;
    static Awaited of_missing(Error error) {
        return Awaited(Completion<First>::of_missing(error), OrNothing<Values>()...);
    }
    template <class Meaning> static Awaited of(Stored&& stored, Meaning meaning) {
        return std::apply(
            [&](First& first, Values&... values) {
                return Awaited(
                    Completion<First>::of(std::tuple<First>(std::move(first)), meaning),
                    std::move(values)...
                );
            },
            std::get<0>(stored)
        );
    }
};
template <class... Values>
struct Completion<std::tuple<boost::system::error_code, Values...>>
    : TupleCompletion<boost::system::error_code, Values...> {};
template <class... Values>
struct Completion<std::tuple<std::exception_ptr, Values...>>
    : TupleCompletion<std::exception_ptr, Values...> {};

template <class Signature> struct CompletionOf;
template <class... Values> struct CompletionOf<void(Values...)> {
    using Type = Completion<std::decay_t<Values>...>;
    using Stored = std::tuple<std::decay_t<Values>...>;
};
template <class... Values>
struct CompletionOf<void(Values...) noexcept> : CompletionOf<void(Values...)> {};

/// Whether it is known that the operation belongs to another context than the worker's.
template <class Initiation> bool is_foreign(const Initiation& initiation) {
    if constexpr (requires { initiation.get_executor(); }) {
        const auto& executor = initiation.get_executor();
        if constexpr (boost::asio::can_query_v<
                          std::decay_t<decltype(executor)>,
                          boost::asio::execution::context_t>) {
            const boost::asio::execution_context& context =
                boost::asio::query(executor, boost::asio::execution::context);
            return &context != Context::current();
        }
    }
    return false;
}

} // namespace detail

/// An operation that is awaited by `use_task`.
template <class Signature, class Initiation, class... Args>
class [[nodiscard]] Operation final : public detail::OperationBase {
    using Completion = detail::CompletionOf<Signature>::Type;
    using Stored = detail::CompletionOf<Signature>::Stored;

public:
    template <class I, class... A>
    Operation(UseTask token, I&& initiation, A&&... args)
        : OperationBase(token.cancel_type), initiation_(std::forward<I>(initiation)),
          args_(std::forward<A>(args)...) {}

    /// Past the deadline the operation is stopped and gives `timed_out`.
    [[nodiscard]] Operation&& until(TimePoint deadline) && noexcept {
        set_deadline(deadline);
        return std::move(*this);
    }

    bool suspend(PromiseBase& promise) noexcept {
        return suspend_around(promise, !detail::is_foreign(initiation_), [this] {
            std::apply(
                [this](Args&... args) {
                    std::move(initiation_)(detail::Handler<Operation>(*this), std::move(args)...);
                },
                args_
            );
        });
    }
    [[nodiscard]] Completion::Awaited await_resume() {
        if (const std::optional<Error> error = missing()) [[unlikely]] {
            return Completion::of_missing(*error);
        }
        return Completion::of(*std::move(stored_), [this](const boost::system::error_code& code) {
            return meaning(code);
        });
    }

    /// For the handler.
    template <class... Values> void store(Values&&... values) {
        stored_.emplace(std::forward<Values>(values)...);
    }

private:
    Initiation initiation_;
    std::tuple<Args...> args_;
    std::optional<Stored> stored_;
};

} // namespace zsync::asio

template <class Signature> class boost::asio::async_result<zsync::asio::UseTask, Signature> {
public:
    template <class Initiation, class... Args>
    static auto initiate(Initiation&& initiation, zsync::asio::UseTask token, Args&&... args) {
        return zsync::asio::Operation<Signature, std::decay_t<Initiation>, std::decay_t<Args>...>(
            token, std::forward<Initiation>(initiation), std::forward<Args>(args)...
        );
    }
};
