#include <zsync/bus/connection.hpp>
#include <zsync/core/log.hpp>

#include <cerrno>
#include <cstdlib>
#include <format>
#include <poll.h>

namespace zsync::bus {
namespace {

constexpr const char* system_address = "unix:path=/run/dbus/system_bus_socket";
constexpr std::uint64_t no_timeout = UINT64_MAX;

/// The standard's own variable, as every other program reads it.
std::string address_of_system_bus() {
    const char* address =
        std::getenv("DBUS_SYSTEM_BUS_ADDRESS"); // NOLINT(concurrency-mt-unsafe): nobody sets it
    return address != nullptr ? address : system_address;
}

Fault unreachable(const std::string& address, int error) {
    return {
        Error(BusError::unreachable, error),
        std::format(
            "no bus at {}: {}; start dbus, or give another address with --bus",
            address,
            os_error(error).message()
        )
    };
}

} // namespace

Connection::Connection(Io io, Scope& scope, Settings settings)
    : io_(io), scope_(scope), settings_(std::move(settings)), callers_(*this) {
    if (settings_.address.empty()) {
        settings_.address = address_of_system_bus();
    }
}

Connection::~Connection() { ZASSERT(!bus_, "a connection ends before its scope is joined"); }

Outcome<void> Connection::start_connecting() {
    sd_bus* bus = nullptr;
    int result = sd_bus_new(&bus);
    bus_.reset(bus);
    result = result < 0 ? result : sd_bus_set_address(bus, settings_.address.c_str());
    if (result < 0) {
        return fail(
            Error(BusError::unreachable, -result),
            std::format("'{}' is not a D-Bus address", settings_.address)
        );
    }
    result = sd_bus_set_bus_client(bus, 1);
    result = result < 0 ? result : sd_bus_start(bus);
    if (result < 0) {
        return std::unexpected(unreachable(settings_.address, -result));
    }
    return {};
}

Task<Outcome<void>> Connection::finish_connecting() {
    const TimePoint deadline = Clock::now() + limits::connect_timeout;
    while (sd_bus_is_ready(bus_.get()) <= 0) {
        int result = sd_bus_process(bus_.get(), nullptr);
        if (result > 0) {
            continue;
        }
        const int events = result < 0 ? result : sd_bus_get_events(bus_.get());
        if (events < 0) {
            co_return std::unexpected(unreachable(settings_.address, -events));
        }
        const auto ready =
            co_await io_.poll(FdRef(sd_bus_get_fd(bus_.get())), static_cast<std::uint32_t>(events))
                .until(deadline);
        if (!ready && ready.error() == Error(CoreError::timed_out)) {
            co_return std::unexpected(unreachable(settings_.address, ETIMEDOUT));
        }
        ZCO_CHECK(ready);
    }
    co_return {};
}

Task<Outcome<void>> Connection::open() {
    ZASSERT(!bus_, "a connection is opened once, and again only when it is lost");
    closing_ = false;
    Outcome<void> opened = start_connecting();
    if (opened) {
        opened = co_await finish_connecting();
    }
    if (opened) {
        opened = register_all();
    }
    if (!opened) {
        disconnect();
        co_return opened;
    }
    server_ = scope_.spawn("bus", serve());
    for (const std::string& name : names_) {
        if (Outcome<void> owned = co_await request_name(name); !owned) {
            // Half a service is none: the next attempt begins anew.
            server_.request_cancel();
            (void)co_await lost();
            co_return owned;
        }
    }
    co_return {};
}

Task<Result<void>> Connection::lost() {
    while (bus_) {
        ZCO_CHECK(co_await lost_.wait());
    }
    co_return fail(lost_reason_);
}

std::string Connection::unique_name() const {
    const char* name = nullptr;
    return bus_ && sd_bus_get_unique_name(bus_.get(), &name) >= 0 ? name : "";
}

Task<void> Connection::serve() {
    Scope handlers(io_, "bus");
    handlers_ = &handlers;
    handlers.spawn("bus.write", write_queued());
    handlers.spawn("bus.changes", announce_changes());
    handlers.spawn("bus.departures", callers_.watch(io_));
    const Result<void> ended = co_await read_messages();
    lost_reason_ = ended || closing_ ? Error(BusError::connection_lost) : ended.error();
    closing_ = true;
    if (!lost_reason_.is_canceled()) {
        callers_.all_left();
    }
    for (PendingCall* call : pending_calls_) {
        call->done.notify();
    }
    handlers.cancel();
    // A second cancel is of no interest: this one is on its way out already.
    (void)co_await handlers.join();
    handlers_ = nullptr;
    if (lost_reason_.is_canceled()) {
        co_await drain();
    }
    disconnect();
    lost_.notify();
}

Task<Result<void>> Connection::read_messages() {
    std::uint32_t handled = 0;
    for (;;) {
        int result = sd_bus_process(bus_.get(), nullptr);
        if (result < 0) {
            co_return fail(Error(BusError::connection_lost, -result));
        }
        sent();
        while (queued_messages() > limits::outgoing_messages_max) {
            ZCO_CHECK(co_await written_.wait());
        }
        if (result > 0) {
            // A handler takes its first steps before the next message is looked at, so that who
            // sends a change and then asks for the property gets the new value.
            if (std::exchange(handler_started_, false) ||
                ++handled >= limits::messages_per_turn_max) {
                handled = 0;
                ZCO_CHECK(co_await io_.yield());
            }
            continue;
        }
        handled = 0;
        std::uint64_t timeout_us = no_timeout;
        (void)sd_bus_get_timeout(bus_.get(), &timeout_us);
        auto readable = io_.poll(FdRef(sd_bus_get_fd(bus_.get())), POLLIN);
        if (timeout_us != no_timeout) {
            (void)readable.until(TimePoint(std::chrono::microseconds(timeout_us)));
        }
        const Result<std::uint32_t> ready = co_await readable;
        if (!ready && ready.error() != Error(CoreError::timed_out)) {
            co_return fail(ready.error());
        }
    }
}

Task<void> Connection::write_queued() {
    while (co_await write_wanted_.wait()) {
        while (queued_messages() != 0) {
            if (!co_await io_.poll(FdRef(sd_bus_get_fd(bus_.get())), POLLOUT)) {
                co_return;
            }
            // A failure is the reader's to report.
            if (sd_bus_process(bus_.get(), nullptr) < 0) {
                co_return;
            }
        }
        written_.notify();
    }
}

Task<void> Connection::announce_changes() {
    while (co_await changed_notify_.wait()) {
        flush_changes();
    }
}

Task<void> Connection::drain() {
    const TimePoint deadline = Clock::now() + limits::drain_timeout;
    while (queued_messages() != 0) {
        if (!co_await io_.poll(FdRef(sd_bus_get_fd(bus_.get())), POLLOUT).until(deadline) ||
            sd_bus_process(bus_.get(), nullptr) < 0) {
            co_return;
        }
    }
}

void Connection::disconnect() {
    for (Exported& exported : exported_) {
        exported.slot.reset();
    }
    for (auto& [path, slot] : object_managers_) {
        slot.reset();
    }
    for (Subscription* subscription : subscriptions_) {
        subscription->slot_.reset();
        subscription->ended_ = true;
        subscription->arrived_.notify();
    }
    callers_.all_left();
    changed_.clear();
    // Another bus may give the same unique names to others.
    known_users_.clear();
    known_users_order_.clear();
    bus_.reset();
}

std::uint64_t Connection::queued_messages() const noexcept {
    std::uint64_t count = 0;
    return sd_bus_get_n_queued_write(bus_.get(), &count) < 0 ? 0 : count;
}

void Connection::sent() {
    const std::uint64_t queued = queued_messages();
    if (queued == 0) {
        return;
    }
    write_wanted_.notify();
    if (queued > limits::outgoing_messages_fatal && !closing_) {
        log::error("the bus takes no messages any more; leaving it");
        closing_ = true;
        server_.request_cancel();
    }
}

void Connection::send(Message message) {
    if (!is_open()) {
        return;
    }
    flush_changes();
    const int result = sd_bus_send(bus_.get(), message.get(), nullptr);
    if (result < 0) {
        log::warning(
            "a message could not be sent", {{.name = "ERROR", .value = os_error(-result).message()}}
        );
    }
    sent();
}

TaskRef Connection::start_handler(const std::string& name, Task<void> handler) {
    ZASSERT(handlers_ != nullptr, "calls arrive only while the connection is served");
    handler_started_ = true;
    return handlers_->spawn(name, std::move(handler));
}

Message Connection::new_call(const Target& target, const char* member) {
    Message message;
    if (bus_ && sd_bus_message_new_method_call(
                    bus_.get(),
                    message.out(),
                    target.destination.c_str(),
                    target.path.c_str(),
                    target.interface.c_str(),
                    member
                ) >= 0) {
        (void)sd_bus_message_set_allow_interactive_authorization(
            message.get(), target.interactive ? 1 : 0
        );
    }
    return message;
}

bool Connection::has_signature(sd_bus_message* message, const char* signature) {
    return sd_bus_message_has_signature(message, signature) > 0;
}

int Connection::call_answered(sd_bus_message* message, void* userdata, sd_bus_error* /*error*/) {
    auto& call = *static_cast<PendingCall*>(userdata);
    call.reply = Message::share(message);
    call.done.notify();
    return 1;
}

Task<CallResult<Message>> Connection::transact(Message request, Duration timeout) {
    if (!is_open()) {
        co_return std::unexpected(CallError(BusError::connection_lost));
    }
    if (pending_calls_.size() >= limits::outgoing_calls_max) {
        co_return std::unexpected(CallError(CoreError::limit_reached));
    }
    flush_changes();
    PendingCall pending;
    const int result = sd_bus_call_async(
        bus_.get(), pending.slot.out(), request.get(), &call_answered, &pending, no_timeout
    );
    if (result < 0) {
        co_return std::unexpected(CallError(os_error(-result)));
    }
    sent();
    pending_calls_.insert(&pending);
    const Result<void> answered = co_await pending.done.wait().until(Clock::now() + timeout);
    pending_calls_.erase(&pending);
    if (!answered) {
        co_return std::unexpected(CallError(answered.error()));
    }
    if (!pending.reply) {
        co_return std::unexpected(CallError(BusError::connection_lost));
    }
    if (const sd_bus_error* error = sd_bus_message_get_error(pending.reply.get())) {
        co_return std::unexpected(from_wire(*error));
    }
    co_return std::move(pending.reply);
}

} // namespace zsync::bus
