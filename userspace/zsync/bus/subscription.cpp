#include <zsync/bus/connection.hpp>

namespace zsync::bus {

Subscription::Subscription(Connection& connection) : connection_(connection) {
    connection_.subscriptions_.insert(this);
}

Subscription::~Subscription() { connection_.subscriptions_.erase(this); }

int Subscription::received(sd_bus_message* message, void* userdata, sd_bus_error* /*error*/) {
    auto& self = *static_cast<Subscription*>(userdata);
    if (self.messages_.size() >= limits::subscription_signals_max) {
        self.messages_.pop_front();
        ++self.dropped_;
    }
    self.messages_.push_back(Message::share(message));
    self.arrived_.notify();
    return 0;
}

int Subscription::installed(sd_bus_message* message, void* userdata, sd_bus_error* /*error*/) {
    auto& self = *static_cast<Subscription*>(userdata);
    if (const sd_bus_error* error = sd_bus_message_get_error(message)) {
        self.refused_ = from_wire(*error);
    }
    self.answered_.notify();
    return 0;
}

Task<Outcome<Message>> Subscription::next_message() {
    while (messages_.empty()) {
        if (ended_) {
            co_return fail(BusError::connection_lost, "");
        }
        ZCO_CHECK(co_await arrived_.wait());
    }
    Message message = std::move(messages_.front());
    messages_.pop_front();
    co_return message;
}

Task<CallResult<std::unique_ptr<Subscription>>> Connection::subscribe(std::string match_rule) {
    if (!is_open()) {
        co_return std::unexpected(CallError(BusError::connection_lost));
    }
    auto subscription = std::make_unique<Subscription>(*this);
    const int result = sd_bus_add_match_async(
        bus_.get(),
        subscription->slot_.out(),
        match_rule.c_str(),
        &Subscription::received,
        &Subscription::installed,
        subscription.get()
    );
    if (result < 0) {
        co_return std::unexpected(CallError(Error(CoreError::invalid_argument, -result)));
    }
    sent();
    ZCO_CHECK(co_await subscription->answered_.wait().until(Clock::now() + limits::call_timeout));
    if (std::optional<CallError>& refused = subscription->refused_) {
        co_return std::unexpected(*std::move(refused));
    }
    co_return subscription;
}

} // namespace zsync::bus
