// Oneshot: a channel for a single value.
#pragma once

#include <zsync/core/wait_queue.hpp>

#include <optional>
#include <string_view>
#include <utility>

namespace zsync {

/// A place for one answer. The asking task owns it and receives; the sender goes to whoever
/// answers, and one that ends without having sent tells the receiver `closed`.
///
///     Oneshot<Answer> answer;
///     ZCO_CHECK(co_await questions.send({.text = text, .answer = answer.sender()}));
///     ZCO_TRY(Answer got, co_await answer.receive());
///
/// It must outlive its sender.
template <class T> class Oneshot {
public:
    Oneshot() = default;
    Oneshot(const Oneshot&) = delete;
    Oneshot& operator=(const Oneshot&) = delete;
    ~Oneshot() { ZASSERT(!has_sender_, "a oneshot ends before its sender"); }

    class [[nodiscard]] Sender {
    public:
        Sender(Sender&& other) noexcept : oneshot_(std::exchange(other.oneshot_, nullptr)) {}
        Sender& operator=(Sender&& other) noexcept {
            Sender old(std::move(*this));
            oneshot_ = std::exchange(other.oneshot_, nullptr);
            return *this;
        }
        Sender(const Sender&) = delete;
        Sender& operator=(const Sender&) = delete;
        ~Sender() {
            if (oneshot_ != nullptr) {
                oneshot_->end_of_sender();
            }
        }

        /// Sends the value and ends the sender. False, and `value` is kept, when it was used
        /// before or nobody wants an answer any more.
        [[nodiscard]] bool send(T& value) noexcept {
            const RuntimeLock lock;
            if (oneshot_ == nullptr) {
                return false;
            }
            Oneshot& to = *std::exchange(oneshot_, nullptr);
            const bool wanted = !to.closed_;
            if (wanted) {
                to.value_.emplace(std::move(value));
            }
            to.end_of_sender();
            return wanted;
        }
        [[nodiscard]] bool send(T&& value) noexcept { return send(value); }
        /// Nobody wants an answer any more.
        [[nodiscard]] bool is_closed() const noexcept {
            const RuntimeLock lock;
            return oneshot_ == nullptr || oneshot_->closed_;
        }

    private:
        friend class Oneshot;
        explicit Sender(Oneshot& oneshot) noexcept : oneshot_(&oneshot) {}
        Oneshot* oneshot_;
    };

    /// Awaits to `Result<T>`: `closed` when no answer will come, or it was received before.
    class Receive final : public QueueWait {
    public:
        explicit Receive(Oneshot& oneshot) noexcept : oneshot_(oneshot) {}
        [[nodiscard]] bool await_ready() const noexcept {
            const RuntimeLock lock;
            return oneshot_.is_over();
        }
        bool suspend(PromiseBase& promise) noexcept {
            return suspend_in(oneshot_.waiting_, promise);
        }
        [[nodiscard]] Result<T> await_resume() const noexcept {
            if (failed()) [[unlikely]] {
                return fail(reason());
            }
            const RuntimeLock lock;
            if (!oneshot_.value_) {
                return fail(CoreError::closed);
            }
            return *std::exchange(oneshot_.value_, std::nullopt);
        }
        [[nodiscard]] std::string_view kind() const noexcept override { return "oneshot"; }

    private:
        bool try_without_waiting() noexcept override { return oneshot_.is_over(); }
        void entered() noexcept override {
            ZASSERT(oneshot_.waiting_.front() == this, "a oneshot has one receiver");
        }

        Oneshot& oneshot_;
    };

    /// The one who answers. Once.
    [[nodiscard]] Sender sender() noexcept {
        const RuntimeLock lock;
        ZASSERT(!had_sender_, "a oneshot has one sender");
        had_sender_ = has_sender_ = true;
        return Sender(*this);
    }
    [[nodiscard]] Receive receive() noexcept { return Receive(*this); }
    [[nodiscard]] std::optional<T> try_receive() noexcept {
        const RuntimeLock lock;
        return std::exchange(value_, std::nullopt);
    }
    /// No answer is wanted any more; one that was sent can still be received.
    void close() noexcept {
        const RuntimeLock lock;
        closed_ = true;
        waiting_.wake_all();
    }

private:
    [[nodiscard]] bool is_over() const noexcept {
        return value_.has_value() || closed_ || (had_sender_ && !has_sender_);
    }
    void end_of_sender() noexcept {
        const RuntimeLock lock;
        has_sender_ = false;
        waiting_.wake_all();
    }

    WaitQueue waiting_;
    std::optional<T> value_;
    bool had_sender_ = false;
    bool has_sender_ = false;
    bool closed_ = false;
};

} // namespace zsync
