#include <zsync/bus/call.hpp>
#include <zsync/bus/callers.hpp>
#include <zsync/bus/connection.hpp>
#include <zsync/bus/interface.hpp>
#include <zsync/bus/limits.hpp>
#include <zsync/core/log.hpp>

#include <cerrno>
#include <format>

namespace zsync::bus {
namespace {

int set_error(sd_bus_error* error, const Fault& fault) {
    const WireError wire = to_wire(fault);
    return sd_bus_error_set(error, wire.name.c_str(), wire.text.c_str());
}

const char* text_of(const char* text) { return text != nullptr ? text : ""; }

} // namespace

int refuse_arguments(int result, sd_bus_error* error) {
    if (result == -EMSGSIZE) {
        return set_error(
            error,
            Fault(
                CoreError::limit_reached,
                std::format(
                    "the arguments are larger than {} bytes; pass bulk data in a file descriptor",
                    limits::message_bytes_max
                )
            )
        );
    }
    return sd_bus_error_set_errno(error, result);
}

std::unique_ptr<Call>
Call::admit(Exported& exported, sd_bus_message* message, sd_bus_error* error) {
    Connection& connection = *exported.connection;
    Caller* caller = connection.callers().admit(text_of(sd_bus_message_get_sender(message)));
    if (caller == nullptr) {
        (void)set_error(
            error,
            Fault(
                CoreError::limit_reached,
                std::format(
                    "too many calls are running ({} a client, {} in all); wait for replies",
                    limits::client_calls_max,
                    limits::calls_max
                )
            )
        );
        return nullptr;
    }
    return std::make_unique<Call>(connection, *caller, message);
}

Call::Call(Connection& connection, Caller& caller, sd_bus_message* message)
    : connection_(connection), caller_(caller), message_(Message::share(message)) {
    connection_.callers().begin(*this);
}

Call::~Call() { connection_.callers().end(*this); }

void Call::start(Task<void> handler) {
    task_ = connection_.start_handler(
        std::format(
            "{}.{} {}",
            text_of(sd_bus_message_get_interface(message_.get())),
            text_of(sd_bus_message_get_member(message_.get())),
            caller_.name
        ),
        std::move(handler)
    );
}

bool Call::reply_is_expected() const noexcept {
    return !caller_left_ && sd_bus_message_get_expect_reply(message_.get()) > 0;
}

Message Call::new_reply() {
    Message reply;
    if (reply_is_expected()) {
        (void)sd_bus_message_new_method_return(message_.get(), reply.out());
    }
    return reply;
}

void Call::reply(Message reply, int append_result) {
    if (append_result < 0) {
        log::error(
            "a reply could not be put into a message",
            {{.name = "MEMBER", .value = text_of(sd_bus_message_get_member(message_.get()))},
             {.name = "ERROR", .value = os_error(-append_result).message()}}
        );
        reply_error(Fault(os_error(-append_result)));
        return;
    }
    connection_.send(std::move(reply));
}

void Call::reply_error(const Fault& fault) {
    if (!reply_is_expected()) {
        return;
    }
    const WireError wire = to_wire(fault);
    Message reply;
    const int result = sd_bus_message_new_method_errorf(
        message_.get(), reply.out(), wire.name.c_str(), "%s", wire.text.c_str()
    );
    if (result >= 0) {
        connection_.send(std::move(reply));
    }
}

Io CallContext::io() const noexcept { return call_->connection_.io(); }
const std::string& CallContext::sender() const noexcept { return call_->caller_.name; }
std::string CallContext::path() const {
    return text_of(sd_bus_message_get_path(call_->message_.get()));
}
bool CallContext::may_interact() const noexcept {
    return sd_bus_message_get_allow_interactive_authorization(call_->message_.get()) > 0;
}

} // namespace zsync::bus
