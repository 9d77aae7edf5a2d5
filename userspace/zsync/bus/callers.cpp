#include <zsync/bus/callers.hpp>
#include <zsync/bus/connection.hpp>
#include <zsync/bus/limits.hpp>
#include <zsync/core/log.hpp>

namespace zsync::bus {
namespace {

constexpr const char* bus_name = "org.freedesktop.DBus";
constexpr const char* bus_path = "/org/freedesktop/DBus";

/// An empty new owner (argument 2) of a unique name: its connection is gone.
constexpr const char* departures_rule =
    "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',"
    "interface='org.freedesktop.DBus',member='NameOwnerChanged',arg2=''";

} // namespace

Caller* Callers::admit(std::string_view name) {
    if (call_count_ >= limits::calls_max) {
        return nullptr;
    }
    auto found = callers_.find(name);
    if (found == callers_.end()) {
        found = callers_.try_emplace(std::string(name)).first;
        found->second.name = found->first;
        found->second.callers = this;
    }
    return found->second.call_count < limits::client_calls_max ? &found->second : nullptr;
}

void Callers::begin(Call& call) {
    Caller& caller = call.caller_;
    call.next_ = caller.calls;
    if (caller.calls != nullptr) {
        caller.calls->previous_ = &call;
    }
    caller.calls = &call;
    ++caller.call_count;
    ++call_count_;
    // The watch task runs after the handler's first steps, and finds nothing to do if that was all.
    calls_changed_.notify();
}

void Callers::end(Call& call) noexcept {
    Caller& caller = call.caller_;
    if (call.previous_ != nullptr) {
        call.previous_->next_ = call.next_;
    } else {
        caller.calls = call.next_;
    }
    if (call.next_ != nullptr) {
        call.next_->previous_ = call.previous_;
    }
    --call_count_;
    if (--caller.call_count == 0) {
        callers_.erase(callers_.find(caller.name));
    }
}

Task<void> Callers::watch(Io /*io*/) {
    for (;;) {
        const bool idle = call_count_ == 0;
        if (idle && !match_) {
            if (!co_await calls_changed_.wait()) {
                co_return;
            }
        } else {
            const auto woken =
                co_await calls_changed_.wait().until(Clock::now() + limits::departure_watch_linger);
            if (!woken && woken.error().is_canceled()) {
                co_return;
            }
            if (!woken && call_count_ == 0) {
                match_.reset();
            }
        }
        if (call_count_ != 0 && !match_) {
            install();
        }
    }
}

void Callers::install() {
    const int result = sd_bus_add_match_async(
        connection_.raw(), match_.out(), departures_rule, &departed, &watch_answered, this
    );
    if (result < 0) {
        log::warning(
            "departures of clients cannot be watched",
            {{.name = "ERROR", .value = os_error(-result).message()}}
        );
    }
    connection_.sent();
}

int Callers::watch_answered(sd_bus_message* message, void* userdata, sd_bus_error* /*error*/) {
    auto& self = *static_cast<Callers*>(userdata);
    if (const sd_bus_error* refused = sd_bus_message_get_error(message)) {
        if (sd_bus_is_open(self.connection_.raw()) <= 0) {
            return 0; // not refused: the connection itself has ended
        }
        log::warning(
            "the bus refused to tell of departures; calls of clients that leave run to their end",
            {{.name = "ERROR", .value = from_wire(*refused).message()}}
        );
        return 0;
    }
    // Who left before this moment will not be told of.
    for (auto& [name, caller] : self.callers_) {
        (void)sd_bus_call_method_async(
            self.connection_.raw(),
            caller.presence_check.out(),
            bus_name,
            bus_path,
            bus_name,
            "NameHasOwner",
            &presence_answered,
            &caller,
            "s",
            name.c_str()
        );
    }
    return 0;
}

int Callers::presence_answered(sd_bus_message* message, void* userdata, sd_bus_error* /*error*/) {
    auto& caller = *static_cast<Caller*>(userdata);
    int present = 1;
    if (sd_bus_message_get_error(message) == nullptr &&
        sd_bus_message_read_basic(message, 'b', &present) > 0 && present == 0) {
        left(caller);
    }
    return 0;
}

int Callers::departed(sd_bus_message* message, void* userdata, sd_bus_error* /*error*/) {
    auto& self = *static_cast<Callers*>(userdata);
    const char* name = nullptr;
    if (sd_bus_message_read_basic(message, 's', static_cast<void*>(&name)) <= 0) {
        return 0;
    }
    if (const auto found = self.callers_.find(std::string_view(name));
        found != self.callers_.end()) {
        left(found->second);
    }
    return 0;
}

void Callers::left(Caller& caller) noexcept {
    for (Call* call = caller.calls; call != nullptr; call = call->next_) {
        call->caller_left_ = true;
        call->task_.request_cancel();
    }
}

void Callers::all_left() noexcept {
    for (auto& [name, caller] : callers_) {
        left(caller);
    }
    match_.reset();
}

} // namespace zsync::bus
