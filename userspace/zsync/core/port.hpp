// Port: typed messages from the tasks of many workers to those of one.
#pragma once

#include <zsync/core/errand.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/port_queue.hpp>
#include <zsync/core/result.hpp>
#include <zsync/core/wait_queue.hpp>
#include <zsync/core/worker.hpp>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

namespace zsync {

template <class T> class Port;
template <class T> class PortSender;

/// The part of a port's state that does not depend on what is sent.
class PortBell {
public:
    /// Whether a receiver has to be told of values, and whether that is on its way.
    enum class State : std::uint8_t { silent, armed, rung, gone };

    /// On the receiving thread: who pushes from here on rings. The queue must be looked at
    /// afterwards.
    void arm() noexcept {
        State silent = State::silent;
        state_.compare_exchange_strong(silent, State::armed, std::memory_order_seq_cst);
    }
    /// After a push: true for the one that has to ring.
    [[nodiscard]] bool must_ring() noexcept {
        if (state_.load(std::memory_order_seq_cst) != State::armed) [[likely]] {
            return false;
        }
        State armed = State::armed;
        return state_.compare_exchange_strong(armed, State::rung, std::memory_order_seq_cst);
    }
    /// The ring has arrived.
    void rest() noexcept {
        State rung = State::rung;
        state_.compare_exchange_strong(rung, State::silent, std::memory_order_seq_cst);
    }
    /// Nobody rings any more.
    void remove() noexcept { state_.store(State::gone, std::memory_order_seq_cst); }

private:
    std::atomic<State> state_{State::silent};
};

/// What the two ends of a port share.
template <class T> class PortState final : public std::enable_shared_from_this<PortState<T>> {
public:
    class Receive;
    class Send;

    PortState(std::shared_ptr<Inbox> inbox, std::size_t capacity)
        : queue(capacity), inbox_(std::move(inbox)) {}
    PortState(const PortState&) = delete;
    PortState& operator=(const PortState&) = delete;

    /// \name From any thread
    /// \{
    [[nodiscard]] PortQueue<T>::Pushed push(T& value) noexcept {
        const auto pushed = queue.push(value);
        if (pushed == PortQueue<T>::Pushed::done) [[likely]] {
            ring_if_awaited();
        }
        return pushed;
    }
    void add_sender() noexcept { senders_.fetch_add(1, std::memory_order_relaxed); }
    /// The last one closes the port.
    void remove_sender() noexcept {
        if (senders_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
            queue.close();
            ring_if_awaited();
        }
    }
    /// \}

    /// \name On the receiving thread
    /// \{
    void close() noexcept {
        queue.close();
        fail_senders();
        serve();
    }
    /// The receiving end goes.
    void end() noexcept {
        bell_.remove();
        close();
        while (T* value = queue.front()) {
            value->~T();
            queue.pop();
        }
    }
    /// Gives receivers what there is; the bell is armed when some have to go on waiting.
    void serve() noexcept {
        const RuntimeLock lock;
        while (auto* receiver = static_cast<Receive*>(receivers.front())) {
            if (!receiver->try_without_waiting()) {
                bell_.arm();
                // What came before it was armed has not rung.
                if (!receiver->try_without_waiting()) {
                    return;
                }
            }
            receivers.wake(*receiver);
        }
    }
    /// \}

    PortQueue<T> queue;
    WaitQueue receivers;        ///< the receiving thread's
    Send* first_send = nullptr; ///< the same: sends that wait, the oldest first
    Send* last_send = nullptr;

private:
    class Ring final : public Message {
    public:
        explicit Ring(PortState& port) noexcept : port_(port) {}
        void arrive(Worker& /*worker*/) noexcept override {
            const std::shared_ptr<PortState> kept = std::move(port_.kept_for_ring_);
            port_.bell_.rest();
            port_.serve();
        }

    private:
        PortState& port_;
    };

    void ring_if_awaited() noexcept {
        if (bell_.must_ring()) [[unlikely]] {
            kept_for_ring_ = this->shared_from_this();
            // Refused only when the receiving worker's run is over, and nobody waits there.
            if (!inbox_->post(ring_)) {
                kept_for_ring_.reset();
            }
        }
    }
    void fail_senders() noexcept;

    std::shared_ptr<Inbox> inbox_;
    std::atomic<std::size_t> senders_{0};
    PortBell bell_;
    Ring ring_{*this};
    /// Whoever rings keeps the state until the ring has arrived: both ends may be gone by then.
    std::shared_ptr<PortState> kept_for_ring_;
};

/// Awaits to `Result<T>`: `closed` once the port is closed and empty. May be given a deadline.
template <class T> class PortState<T>::Receive final : public QueueWait {
public:
    explicit Receive(PortState& port) noexcept : port_(port) {}
    Receive(const Receive&) = delete;
    Receive& operator=(const Receive&) = delete;
    [[nodiscard]] bool await_ready() noexcept { return try_without_waiting(); }
    bool suspend(PromiseBase& promise) noexcept { return suspend_in(port_.receivers, promise); }
    [[nodiscard]] Result<T> await_resume() noexcept {
        if (this->failed()) {
            return fail(this->reason());
        }
        return *std::move(value_);
    }
    [[nodiscard]] std::string_view kind() const noexcept override { return "port"; }

private:
    friend class PortState;
    void entered() noexcept override { port_.serve(); }
    bool try_without_waiting() noexcept override {
        // Closed or not is asked first: what was pushed before it is seen afterwards.
        const bool closed = port_.queue.is_closed();
        if (T* first = port_.queue.front()) [[likely]] {
            value_.emplace(std::move(*first));
            first->~T();
            port_.queue.pop();
            return true;
        }
        if (!port_.queue.empty()) {
            return false; // it is being written, and rings
        }
        if (Send* send = port_.first_send) {
            value_.emplace(send->take());
            return true;
        }
        if (closed) {
            this->refuse(CoreError::closed);
            return true;
        }
        return false;
    }

    PortState& port_;
    std::optional<T> value_;
};

/// Awaits to `Result<void>`. When that is an error, the value has not been sent.
template <class T> class PortState<T>::Send final : public ErrandWait {
    using Pushed = PortQueue<T>::Pushed;

public:
    Send(PortState& port, T&& value) noexcept
        : ErrandWait(*port.inbox_), port_(port), value_(std::move(value)) {}
    [[nodiscard]] bool await_ready() noexcept {
        const Pushed pushed = port_.push(value_);
        if (pushed == Pushed::closed) [[unlikely]] {
            this->refuse(CoreError::closed);
        }
        return pushed != Pushed::full;
    }
    [[nodiscard]] Result<void> await_resume() const noexcept {
        if (this->refused()) [[unlikely]] {
            return fail(*this->refused());
        }
        return {};
    }
    [[nodiscard]] std::string_view kind() const noexcept override { return "port room"; }
    /// The value that could not be sent. After the wait.
    [[nodiscard]] T take_back() noexcept { return std::move(value_); }

private:
    friend class PortState;
    void begin_there(Worker& /*worker*/) noexcept override {
        const Pushed pushed = port_.push(value_);
        if (pushed == Pushed::full) {
            join_queue();
            return;
        }
        if (pushed == Pushed::closed) {
            this->refuse(CoreError::closed);
        }
        this->end_there();
    }
    void cancel_there() noexcept override {
        if (waiting_) {
            this->took_cancel();
            leave_with(CoreError::canceled);
        }
    }

    void join_queue() noexcept {
        waiting_ = true;
        previous_ = port_.last_send;
        (previous_ != nullptr ? previous_->next_ : port_.first_send) = this;
        port_.last_send = this;
        // Nobody is to come before those who wait. It is still full: only this thread takes.
        port_.queue.set_crowded(true);
    }
    void leave_queue() noexcept {
        waiting_ = false;
        (previous_ != nullptr ? previous_->next_ : port_.first_send) = next_;
        (next_ != nullptr ? next_->previous_ : port_.last_send) = previous_;
        if (port_.first_send == nullptr) {
            port_.queue.set_crowded(false);
        }
    }
    void leave_with(CoreError reason) noexcept {
        leave_queue();
        this->refuse(reason);
        this->end_there();
    }
    /// Its value goes to a receiver.
    T take() noexcept {
        T value = std::move(value_);
        leave_queue();
        this->end_there();
        return value;
    }

    PortState& port_;
    T value_;
    // The receiving thread's.
    Send* previous_ = nullptr;
    Send* next_ = nullptr;
    bool waiting_ = false;
};

template <class T> void PortState<T>::fail_senders() noexcept {
    while (first_send != nullptr) {
        first_send->leave_with(CoreError::closed);
    }
}

/// Sends to a port from any worker; each copy counts as a sender. Sending is a few instructions
/// without a lock, and a system call only when the receiving worker sleeps. `try_send` also works
/// outside of tasks, on any thread.
template <class T> class PortSender {
public:
    explicit PortSender(std::shared_ptr<PortState<T>> port) noexcept : port_(std::move(port)) {
        port_->add_sender();
    }
    PortSender(const PortSender& other) noexcept : PortSender(other.port_) {}
    PortSender(PortSender&& other) noexcept : port_(std::move(other.port_)) {}
    PortSender& operator=(PortSender other) noexcept {
        std::swap(port_, other.port_);
        return *this;
    }
    ~PortSender() {
        if (port_ != nullptr) {
            port_->remove_sender();
        }
    }

    /// Puts a value; where the port is full, waits until that very value has been taken. One task's
    /// values arrive in order. The sender must outlive the wait. `closed` when the port is closed
    /// or its receiving end is gone. In tasks that wait on a thread of their own `unsupported`
    /// where it would wait.
    [[nodiscard]] auto send(T value) const noexcept {
        return typename PortState<T>::Send(*port_, std::move(value));
    }
    /// The same without waiting. False when the port is full or closed; `value` is kept then.
    [[nodiscard]] bool try_send(T& value) const noexcept {
        return port_->push(value) == PortQueue<T>::Pushed::done;
    }

private:
    std::shared_ptr<PortState<T>> port_; ///< shared: senders and receivers end in any order
};

/// A bounded queue to the tasks of one worker, its receiving end. Made and used by that worker;
/// senders are handed to others:
///
///     ZCO_TRY(Port<Job> jobs, Port<Job>::create(io, 64));
///     scope.spawn("producer", there.task("producer", produce, jobs.sender()));
///     while (Result<Job> job = co_await jobs.receive()) { use(*job); }
///
/// Memory is taken once. It is closed by `close`, or when the last sender has gone; senders get
/// `closed` from then on, receivers what is in it first, then `closed`.
template <class T> class Port {
public:
    /// `capacity`, 1 to `limits::channel_capacity_max`, is rounded up to a power of two; others are
    /// an `invalid_argument`. `io` is of the worker that receives; `unsupported` for tasks on
    /// threads. EMFILE where no descriptor is left.
    static Result<Port> create(Io io, std::size_t capacity) {
        if (io.kind() == TaskKind::thread) {
            return fail(CoreError::unsupported);
        }
        if (capacity < 1 || capacity > limits::channel_capacity_max) {
            return fail(CoreError::invalid_argument);
        }
        const std::shared_ptr<Inbox>& inbox = static_cast<Worker&>(io.executor()).inbox();
        if (!inbox) {
            return fail(os_error(EMFILE));
        }
        return Port(std::make_shared<PortState<T>>(inbox, capacity));
    }
    Port(Port&&) noexcept = default;
    Port& operator=(Port&& other) noexcept {
        Port old(std::move(*this));
        state_ = std::exchange(other.state_, nullptr);
        return *this;
    }
    Port(const Port&) = delete;
    Port& operator=(const Port&) = delete;
    /// No task may be waiting in `receive`. Closes; values that nobody has received are destroyed.
    ~Port() {
        if (state_ != nullptr) {
            state_->end();
        }
    }

    [[nodiscard]] PortSender<T> sender() const noexcept { return PortSender<T>(state_); }
    [[nodiscard]] auto receive() noexcept { return typename PortState<T>::Receive(*state_); }
    void close() noexcept { state_->close(); }
    [[nodiscard]] std::size_t size() const noexcept { return state_->queue.size(); }
    [[nodiscard]] std::size_t capacity() const noexcept { return state_->queue.capacity(); }

private:
    explicit Port(std::shared_ptr<PortState<T>> state) noexcept : state_(std::move(state)) {}

    std::shared_ptr<PortState<T>> state_;
};

} // namespace zsync
