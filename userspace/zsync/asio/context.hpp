// Context: Boost.Asio on a worker's ring.
#pragma once

#include <boost/version.hpp>
#if BOOST_VERSION < 108800
#error "zsync/asio needs Boost 1.88 or newer (libboost1.88-dev): it plugs into Asio's event loop"
#endif
#include <boost/asio/detail/config.hpp>
#if defined(BOOST_ASIO_HAS_IO_URING_AS_DEFAULT) || !defined(BOOST_ASIO_HAS_EPOLL)
#error "zsync/asio needs Asio's epoll backend: do not define BOOST_ASIO_DISABLE_EPOLL"
#endif

#include <zsync/asio/limits.hpp>
#include <zsync/asio/ring_poll.hpp>
#include <zsync/core/future.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/result.hpp>
#include <zsync/core/task.hpp>
#include <zsync/core/worker.hpp>

#include <boost/asio/detail/call_stack.hpp>
#include <boost/asio/detail/epoll_reactor.hpp>
#include <boost/asio/detail/thread_context.hpp>
#include <boost/asio/detail/thread_info_base.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/system_error.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

namespace zsync::asio {

namespace detail {

using boost::asio::detail::epoll_reactor;
using CallStack = boost::asio::detail::
    call_stack<boost::asio::detail::thread_context, boost::asio::detail::thread_info_base>;

// Two things of Asio's are needed that it keeps private: the descriptor that its reactor waits on,
// and where a thread notes which event loops it is in. An explicit instantiation may name them, and
// does not compile where a Boost has changed them.
template <int epoll_reactor::* EpollFd, int epoll_reactor::* TimerFd> struct ReactorMembers {
    friend int epoll_fd_of(const epoll_reactor& reactor) { return reactor.*EpollFd; }
    friend int timer_fd_of(const epoll_reactor& reactor) { return reactor.*TimerFd; }
};
int epoll_fd_of(const epoll_reactor& reactor);
int timer_fd_of(const epoll_reactor& reactor);
template struct ReactorMembers<&epoll_reactor::epoll_fd_, &epoll_reactor::timer_fd_>;

template <auto* Top> struct CallStackMembers {
    friend auto& top_of(const CallStack& /*stack*/) { return *Top; }
};
auto& top_of(const CallStack& stack);
template struct CallStackMembers<&CallStack::top_>;

/// What tasks of a thread are in, by Asio's notes: no event loop at all, but with its cache of
/// memory, which saves an allocation for each cancellation slot.
class OutsideOfLoops : boost::asio::detail::thread_context {
public:
    /// Makes the note for this thread and keeps it until the thread ends.
    static void enter() { static thread_local OutsideOfLoops outside; }

private:
    OutsideOfLoops() : note_(this, cache_) {}

    boost::asio::detail::thread_info_base cache_;
    CallStack::context note_;
};

/// Takes the current loop off the thread's notes while its fiber waits: other tasks are not in it,
/// and what they post must wake it.
class LoopLeft {
public:
    LoopLeft() noexcept : loop_(top_of(CallStack())) { top_of(CallStack()) = outside_; }
    LoopLeft(const LoopLeft&) = delete;
    LoopLeft& operator=(const LoopLeft&) = delete;
    ~LoopLeft() { top_of(CallStack()) = loop_; }

    /// Notes what the thread is in before a loop is entered.
    static void note_outside() noexcept { outside_ = top_of(CallStack()); }

private:
    inline static thread_local constinit CallStack::context* outside_ = nullptr;
    CallStack::context* loop_;
};

/// Asio's epoll reactor, which asks the worker's ring when there is something to fetch instead of
/// blocking in epoll_wait(2). Run by Asio's own loop, in the fiber of a `Context`.
class RingReactor final : public epoll_reactor {
public:
    RingReactor(boost::asio::io_context& context, Worker& worker)
        : epoll_reactor(context), context_(context), poll_(worker) {}

    void
    run(long usec,
        boost::asio::detail::op_queue<boost::asio::detail::scheduler_operation>& ready) override {
        bool goes_on = false;
        {
            const LoopLeft left;
            const int fd = epoll_fd_of(*this);
            goes_on = usec == 0 ? poll_.yield(fd) : poll_.wait(fd);
        }
        if (!goes_on) {
            context_.stop();
        } else if (poll_.take_readable()) {
            epoll_reactor::run(0, ready);
        }
    }
    void interrupt() override {
        if (poll_.is_here()) {
            poll_.wake();
        } else {
            epoll_reactor::interrupt();
        }
    }
    [[nodiscard]] RingPoll& poll() noexcept { return poll_; }

private:
    boost::asio::io_context& context_;
    RingPoll poll_;
};

} // namespace detail

/// Asio's `io_context` on a worker's ring: I/O objects are made on it as on any other, their
/// handlers run in a fiber of the worker, and the process sleeps in the worker's one wait. With
/// `use_task` their operations are awaited by tasks.
///
///     Task<Result<void>> fetch(asio::Context& context) {
///         boost::asio::ip::tcp::socket socket(context);
///         ZCO_CHECK(co_await socket.async_connect(endpoint, asio::use_task));
///         ...
///     }
///     ...
///     ZCO_CHECK(co_await asio::in_context(io, fetch));
///
/// One a worker. What is made on it must end before it, and it must be joined (`in_context` does
/// that on every path). Its I/O objects belong to the worker's thread; handlers may be posted from
/// any. Handlers must not wait: all others wait for them.
class Context : public boost::asio::io_context {
public:
    /// Made in a running task of a worker, which its loop becomes a child of. Fails with
    /// `unsupported` on other executors and in a simulation, with `limit_reached` where the worker
    /// has one already, and where no descriptor is left.
    static Outcome<std::unique_ptr<Context>> create(Io io);
    ~Context();
    /// The context of this thread's worker; null where there is none.
    [[nodiscard]] static Context* current() noexcept { return current_; }

    /// Waits until nothing is left to do for Asio: every operation has ended, every handler has
    /// run. Cancelling it, or `stop()`, drops what is left: tasks that still await an operation get
    /// `closed`. Awaits to `canceled` if the waiting task was cancelled.
    [[nodiscard]] Task<Result<void>> join();

    [[nodiscard]] bool has_ended() const noexcept { return ended_; }
    [[nodiscard]] Worker& worker() noexcept { return reactor_.poll().worker(); }

    // The worker runs it.
    void run() = delete;
    void run_one() = delete;
    void run_for() = delete;
    void run_until() = delete;
    void run_one_for() = delete;
    void run_one_until() = delete;
    void poll() = delete;
    void poll_one() = delete;
    void restart() = delete;

    /// \name For `use_task`
    /// \{
    /// Takes a place for a handler that is called while its operation is started; false when the
    /// others are to have their turn first.
    [[nodiscard]] bool enter_immediate() noexcept {
        if (turn_ != worker().turns()) {
            turn_ = worker().turns();
            immediate_count_ = 0;
        }
        if (immediate_count_ == limits::immediate_per_turn_max ||
            immediate_depth_ == limits::immediate_depth_max) {
            return false;
        }
        ++immediate_count_;
        ++immediate_depth_;
        return true;
    }
    void leave_immediate() noexcept { --immediate_depth_; }
    /// \}

private:
    explicit Context(Worker& worker);
    static void drive(Context* context);
    static detail::RingReactor& add_reactor(boost::asio::io_context& context, Worker& worker);

    inline static thread_local constinit Context* current_ = nullptr;

    detail::RingReactor& reactor_;
    std::optional<boost::asio::executor_work_guard<executor_type>> work_;
    std::optional<Future<void>> loop_;
    std::uint64_t turn_ = 0;
    std::uint32_t immediate_count_ = 0;
    std::uint32_t immediate_depth_ = 0;
    bool ended_ = false;
};

/// Runs `body(context, args...)` in a context of its own, and joins it on every path: a body that
/// fails stops it first. `body` is a function that gives a `Task<Result<...>>`; its arguments are
/// kept here. A cancel that comes while it is joined drops what is left in the context and gives
/// `canceled`, whatever the body gave.
template <class Body, class... Args>
auto in_context(Io io, Body body, Args... args)
    -> decltype(body(std::declval<Context&>(), std::move(args)...)) {
    auto context = Context::create(io);
    if (!context) {
        co_return fail(context.error().error);
    }
    auto result = co_await body(**context, std::move(args)...);
    if (!result) {
        (*context)->stop();
    }
    const Result<void> joined = co_await (*context)->join();
    if (result && !joined) {
        co_return fail(joined.error());
    }
    co_return result;
}

inline Outcome<std::unique_ptr<Context>> Context::create(Io io) {
    auto* worker = dynamic_cast<Worker*>(&io.executor());
    if (worker == nullptr || worker->is_simulated()) {
        return fail(
            CoreError::unsupported,
            worker == nullptr ? "Asio runs on a Worker alone: its loop waits in the worker's ring"
                              : "Asio's timers don't know a simulation's clock"
        );
    }
    const TaskRecord* task = TaskRecord::current();
    ZASSERT(
        task != nullptr && &task->executor() == worker,
        "an Asio context is made inside a running task of its worker"
    );
    if (current_ != nullptr) {
        return fail(
            CoreError::limit_reached, "this worker has an Asio context: Context::current() is it"
        );
    }
    std::unique_ptr<Context> context;
    try {
        context.reset(new Context(*worker));
    } catch (const boost::system::system_error& error) {
        return fail(os_error(error.code().value()), error.what());
    }
    if (detail::timer_fd_of(context->reactor_) < 0) {
        context->ended_ = true;
        return fail(os_error(EMFILE), "no timerfd for Asio's timers: no descriptor is left");
    }
    current_ = context.get();
    worker->set_next_stack(limits::loop_stack_bytes);
    auto loop = Io(*worker, TaskKind::fiber).concurrent("asio", &Context::drive, context.get());
    if (!loop) {
        context->ended_ = true;
        return fail(loop.error(), "no stack for Asio's loop");
    }
    context->loop_.emplace(*std::move(loop));
    return context;
}

inline detail::RingReactor& Context::add_reactor(boost::asio::io_context& context, Worker& worker) {
    auto reactor = std::make_unique<detail::RingReactor>(context, worker);
    boost::asio::add_service<boost::asio::detail::epoll_reactor>(context, reactor.get());
    return *reactor.release();
}

// Its I/O objects are for this thread only, so the reactor takes no locks; the scheduler does.
inline Context::Context(Worker& worker)
    : io_context(BOOST_ASIO_CONCURRENCY_HINT_UNSAFE_IO), reactor_(add_reactor(*this, worker)) {
    reactor_.init_task();
    work_.emplace(get_executor());
}

inline Context::~Context() {
    ZASSERT(ended_, "an Asio context ends before it was joined");
    // Here, not in the base: handlers that are dropped look at this object.
    shutdown();
    work_.reset();
    if (current_ == this) {
        current_ = nullptr;
    }
}

inline void Context::drive(Context* context) {
    detail::OutsideOfLoops::enter();
    detail::LoopLeft::note_outside();
    (void)context->io_context::run();
    context->reactor_.poll().finish();
}

inline Task<Result<void>> Context::join() {
    work_.reset();
    if (loop_) {
        co_await *loop_;
    }
    ended_ = true;
    shutdown();
    co_return Io(worker(), TaskKind::coroutine).check_cancel();
}

} // namespace zsync::asio
