// Event: something that has happened, until it is reset.
#pragma once

#include <zsync/core/wait_queue.hpp>

#include <string_view>

namespace zsync {

/// Something that has happened: `wait` goes through from `set` on, until `reset`.
class Event {
public:
    /// Awaits to `Result<void>`. Whoever waited at the time of `set` has seen it, whatever follows.
    class Wait final : public QueueWait {
    public:
        explicit Wait(Event& event) noexcept : event_(event) {}
        [[nodiscard]] bool await_ready() const noexcept { return event_.is_set(); }
        bool suspend(PromiseBase& promise) noexcept { return suspend_in(event_.waiting_, promise); }
        [[nodiscard]] Result<void> await_resume() const noexcept { return outcome(); }
        [[nodiscard]] std::string_view kind() const noexcept override { return "event"; }

    private:
        bool try_without_waiting() noexcept override { return event_.set_; }

        Event& event_;
    };

    [[nodiscard]] Wait wait() noexcept { return Wait(*this); }
    void set() noexcept {
        const RuntimeLock lock;
        set_ = true;
        waiting_.wake_all();
    }
    void reset() noexcept {
        const RuntimeLock lock;
        set_ = false;
    }
    [[nodiscard]] bool is_set() const noexcept {
        const RuntimeLock lock;
        return set_;
    }

private:
    WaitQueue waiting_;
    bool set_ = false;
};

} // namespace zsync
