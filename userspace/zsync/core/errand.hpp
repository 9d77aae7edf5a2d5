// Errand: a wait that another worker ends.
#pragma once

#include <zsync/core/inbox.hpp>
#include <zsync/core/result.hpp>
#include <zsync/core/suspension.hpp>

#include <optional>
#include <utility>

namespace zsync {

/// What a task waits for while another worker carries it out: a message goes there and comes back.
/// It lies in the waiting frame all the while, and belongs to the thread that it has last been
/// posted to. A cancel goes there as a second message; the wait then ends when both are back, so
/// nothing refers to the frame any more.
class ErrandWait : public Suspension, public Awaitable {
public:
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    bool suspend(PromiseBase& promise) noexcept;
    void interrupt(CoreError reason) noexcept final;

protected:
    /// `there` lives as long as the wait.
    explicit ErrandWait(Inbox& there) noexcept : there_(there) {}
    ~ErrandWait() = default;

    /// \name On the other worker's thread
    /// \{
    /// It has arrived. `end_there` follows, at once or later.
    virtual void begin_there(Worker& worker) noexcept = 0;
    /// It is to end soon. It may have ended already.
    virtual void cancel_there() noexcept = 0;
    /// Goes home; not touched there any more.
    void end_there() noexcept { home_->post_to_waiting(request_); }
    /// Nothing came of it.
    void refuse(Error error) noexcept { refused_ = error; }
    /// The cancel was what ended it; else it stays pending for the waiting task.
    void took_cancel() noexcept { took_cancel_ = true; }
    /// \}

    [[nodiscard]] const std::optional<Error>& refused() const noexcept { return refused_; }

private:
    class Leg final : public Message {
    public:
        Leg(ErrandWait& errand, void (ErrandWait::*there)(Worker&) noexcept) noexcept
            : errand_(errand), there_(there) {}
        void arrive(Worker& worker) noexcept override {
            if (there_ == nullptr) {
                errand_.came_back();
            } else {
                const auto act = std::exchange(there_, nullptr);
                (errand_.*act)(worker);
            }
        }

    private:
        ErrandWait& errand_;
        void (ErrandWait::*there_)(Worker&) noexcept; ///< null on its way home
    };

    void arrived(Worker& worker) noexcept { begin_there(worker); }
    void cancel_arrived(Worker& /*worker*/) noexcept {
        cancel_there();
        home_->post_to_waiting(cancel_);
    }
    void came_back() noexcept;
    bool ends_at_once(CoreError reason) noexcept;

    Inbox& there_;
    Inbox* home_ = nullptr;
    Leg request_{*this, &ErrandWait::arrived};
    Leg cancel_{*this, &ErrandWait::cancel_arrived};
    std::optional<Error> refused_;
    unsigned legs_out_ = 0;
    bool cancel_sent_ = false;
    bool took_cancel_ = false;
};

} // namespace zsync
