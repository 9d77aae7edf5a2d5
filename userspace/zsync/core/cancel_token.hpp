// CancelToken: one cancel for whatever belongs together.
#pragma once

#include <zsync/core/wait_queue.hpp>

#include <string_view>

namespace zsync {

/// Something that a token cancels. Leaves the token at the end of its life.
class CancelTarget {
public:
    CancelTarget(const CancelTarget&) = delete;
    CancelTarget& operator=(const CancelTarget&) = delete;

protected:
    CancelTarget() noexcept = default;
    ~CancelTarget() { leave(); }
    void leave() noexcept {
        const RuntimeLock lock;
        if (link_ != nullptr) {
            *link_ = next_;
            if (next_ != nullptr) {
                next_->link_ = link_;
            }
            link_ = nullptr;
        }
    }

private:
    friend class CancelToken;
    virtual void token_canceled() noexcept = 0;

    CancelTarget* next_ = nullptr;
    CancelTarget** link_ = nullptr; ///< what points at it; null when in no token
};

/// One cancel for whatever belongs together, across tasks and scopes: it reaches tokens made under
/// it, scopes and tasks bound to it, and tasks that wait for it. Cancelling a token leaves those
/// above it alone. A token is cancelled once and stays so.
///
///     CancelToken session(server);               // ends with the server's
///     const CancelBinding binding(session, scope); // session.cancel() cancels the scope
///     ...
///     ZCO_CHECK(co_await session.canceled());
class CancelToken final : private CancelTarget {
public:
    CancelToken() noexcept = default;
    /// Under `parent`: cancelled with it, at once if it already is. Must end before it.
    explicit CancelToken(CancelToken& parent) noexcept { parent.add(*this); }
    ~CancelToken() { ZASSERT(targets_ == nullptr, "a cancel token ends before what it cancels"); }

    void cancel() noexcept {
        const RuntimeLock lock;
        canceled_ = true;
        waiting_.wake_all();
        while (targets_ != nullptr) {
            CancelTarget& target = *targets_;
            target.leave();
            target.token_canceled();
        }
    }
    [[nodiscard]] bool is_canceled() const noexcept {
        const RuntimeLock lock;
        return canceled_;
    }

    /// Awaits to `Result<void>`: success once the token is cancelled; `canceled` is about the
    /// waiting task itself.
    class Wait final : public QueueWait {
    public:
        explicit Wait(CancelToken& token) noexcept : token_(token) {}
        [[nodiscard]] bool await_ready() const noexcept { return token_.is_canceled(); }
        bool suspend(PromiseBase& promise) noexcept { return suspend_in(token_.waiting_, promise); }
        [[nodiscard]] Result<void> await_resume() const noexcept { return outcome(); }
        [[nodiscard]] std::string_view kind() const noexcept override { return "cancel token"; }

    private:
        bool try_without_waiting() noexcept override { return token_.canceled_; }

        CancelToken& token_;
    };
    [[nodiscard]] Wait canceled() noexcept { return Wait(*this); }

private:
    template <class T> friend class CancelBinding;
    void add(CancelTarget& target) noexcept {
        const RuntimeLock lock;
        if (canceled_) {
            target.token_canceled();
            return;
        }
        target.next_ = targets_;
        target.link_ = &targets_;
        if (targets_ != nullptr) {
            targets_->link_ = &target.next_;
        }
        targets_ = &target;
    }
    void token_canceled() noexcept override { cancel(); }

    CancelTarget* targets_ = nullptr;
    WaitQueue waiting_;
    bool canceled_ = false;
};

/// While it lives, cancelling the token cancels `target`: a `Scope`, `Group`, `JoinSet`, `Future`
/// or `TaskRef`.
template <class T> class CancelBinding final : private CancelTarget {
public:
    CancelBinding(CancelToken& token, T& target) noexcept : target_(target) { token.add(*this); }
    ~CancelBinding() = default;

private:
    void token_canceled() noexcept override {
        if constexpr (requires { target_.request_cancel(); }) {
            target_.request_cancel();
        } else {
            target_.cancel();
        }
    }

    T& target_;
};

} // namespace zsync
