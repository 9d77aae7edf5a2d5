// AcceptStream: the connections that arrive at a listener.
#pragma once

#include <zsync/core/io.hpp>
#include <zsync/core/operation_queue.hpp>
#include <zsync/core/standing_request.hpp>

#include <cstdint>
#include <memory>
#include <source_location>
#include <string>
#include <vector>

namespace zsync {

class AcceptNext;
class AcceptStream;
class Worker;

/// Figures of a stream; they count on until the kernel's last word, after the stream has ended.
struct AcceptStats {
    std::uint64_t accepted = 0; ///< given to `next`
    std::uint64_t aborted = 0;  ///< gone before they could be accepted (ECONNABORTED)
    /// Times that no descriptor or memory was left: the connection waited in the listener.
    std::uint64_t starved = 0;
    std::uint64_t closed = 0; ///< accepted when nobody was left to take them, and closed
};

/// What a stream and the kernel share. Outlives the stream until the kernel's last completion.
class AcceptStreamState final : public StandingRequest {
public:
    /// `worker` is null on threads.
    AcceptStreamState(Worker* worker, int listener, const std::source_location& made);
    void complete(std::int32_t result, std::uint32_t flags) noexcept override;
    [[nodiscard]] bool is_standing() const noexcept override { return armed_ && !abandoned_; }
    [[nodiscard]] std::string describe() const override;
    void stop() noexcept override;

private:
    friend class AcceptNext;
    friend class AcceptStream;

    [[nodiscard]] bool has_something() const noexcept {
        return first_ != arrived_.size() || error_ != 0;
    }
    void arm() noexcept;
    void wait_until_ready() noexcept;
    void queue(Fd client) noexcept;
    void failed(int error) noexcept;
    [[nodiscard]] Fd take() noexcept;
    void wake_waiter() noexcept;
    void abandon() noexcept;

    std::shared_ptr<AcceptStats> stats_ = std::make_shared<AcceptStats>();
    std::vector<Fd> arrived_; ///< while nobody waited, from `first_` on
    std::size_t first_ = 0;
    AcceptNext* waiter_ = nullptr;
    Worker* worker_;
    std::source_location made_;
    TimePoint again_at_; ///< no descriptor was left: not before then
    int fd_;
    int error_ = 0;
    bool multishot_;
    bool armed_ = false;    ///< the kernel has a request
    bool polling_ = false;  ///< it is one for readiness
    bool stopping_ = false; ///< it has been asked to end: too many have arrived
    bool abandoned_ = false;
};

/// Awaits to `Result<Fd>`; see `AcceptStream::next`.
class AcceptNext final : public TimedSuspension, public Awaitable {
public:
    explicit AcceptNext(AcceptStreamState& state) noexcept : state_(state) {}
    [[nodiscard]] bool await_ready() const noexcept { return state_.has_something(); }
    bool suspend(PromiseBase& promise) noexcept;
    [[nodiscard]] Result<Fd> await_resume() noexcept;
    [[nodiscard]] AcceptNext&& until(TimePoint deadline) && noexcept {
        deadline_ = deadline;
        return std::move(*this);
    }
    void interrupt(CoreError reason) noexcept override;
    void expired() noexcept override;
    [[nodiscard]] std::string_view kind() const noexcept override { return "accept stream"; }

private:
    friend class AcceptStreamState;
    void go_on() noexcept;
    bool accept_here(PromiseBase& promise) noexcept;

    AcceptStreamState& state_;
    TimePoint deadline_ = TimePoint::max();
    CoreError failure_ = CoreError::os; ///< `os`: none but the listener's own
};

/// The connections that arrive at a listener. On a ring one request serves all of them (multishot
/// accept); elsewhere each is asked for.
///
///     AcceptStream connections(io, listener);
///     for (;;) {
///         ZCO_TRY(Fd client, co_await connections.next());
///         clients.spawn("client", serve(io, std::move(client)));
///     }
///
/// Lets through what does not concern the listener: a connection that was aborted before it could
/// be accepted is passed over, and where no descriptor is left (EMFILE, ENFILE) the connection
/// stays in the listener's queue and is asked for every `limits::accept_pause_ms`, until there is
/// one. All else, such as a descriptor that does not listen, is given by `next`.
///
/// Cancelling `next` loses no connection: what arrives is given to the next call. Ending the stream
/// closes what the kernel had accepted by then; `stats` counts them. At most about
/// `limits::accept_stream_queue_max` are accepted ahead of `next`, the others stay in the listener.
class AcceptStream {
public:
    /// The listener must stay open for as long as the stream lives.
    AcceptStream(
        Io io, FdRef listener, std::source_location made = std::source_location::current()
    );
    AcceptStream(AcceptStream&& other) noexcept = default;
    AcceptStream& operator=(AcceptStream&&) = delete;
    ~AcceptStream() {
        if (state_) {
            state_.release()->abandon();
        }
    }

    /// The next connection, close-on-exec. One task at a time.
    [[nodiscard]] AcceptNext next() noexcept { return AcceptNext(*state_); }
    [[nodiscard]] std::shared_ptr<const AcceptStats> stats() const noexcept {
        return state_->stats_;
    }

private:
    std::unique_ptr<AcceptStreamState> state_;
};

} // namespace zsync
