#include <zsync/bus/codec.hpp>
#include <zsync/bus/errors.hpp>

#include <array>
#include <format>
#include <utility>

namespace zsync::bus {
namespace {

constexpr std::array bus_entries{
    ErrorEntry{std::to_underlying(BusError::unreachable), "BusUnreachable", "no bus answers"},
    ErrorEntry{
        std::to_underlying(BusError::connection_lost),
        "BusConnectionLost",
        "the connection to the bus is lost"
    },
    ErrorEntry{
        std::to_underlying(BusError::name_taken),
        "BusNameTaken",
        "another program owns the name on this bus"
    },
    ErrorEntry{
        std::to_underlying(BusError::name_refused),
        "BusNameRefused",
        "the bus policy does not allow this user to own the name"
    },
    ErrorEntry{std::to_underlying(BusError::access_denied), "AccessDenied", "access denied"},
    ErrorEntry{
        std::to_underlying(BusError::no_such_service),
        "NoSuchService",
        "no such service on this bus"
    },
    ErrorEntry{
        std::to_underlying(BusError::bad_reply),
        "BadReply",
        "the reply has other types than expected"
    },
    ErrorEntry{std::to_underlying(BusError::remote), "Remote", "refused by the other side"},
    ErrorEntry{
        std::to_underlying(BusError::invalid_object),
        "InvalidObject",
        "an object cannot be registered there"
    },
};

constexpr std::string_view own_prefix = "org.zsync1.Error.";

/// Errors that D-Bus has a name for; every other one is `org.zsync1.Error.NAME`.
struct StandardName {
    Error error;
    const char* name;
};
constexpr std::array standard_names{
    StandardName{BusError::access_denied, SD_BUS_ERROR_ACCESS_DENIED},
    StandardName{BusError::no_such_service, SD_BUS_ERROR_SERVICE_UNKNOWN},
};

/// Answers of the bus or of the other side's library that mean the same to every caller.
struct KnownAnswer {
    std::string_view name;
    Error error;
};
constexpr std::array known_answers{
    KnownAnswer{SD_BUS_ERROR_ACCESS_DENIED, BusError::access_denied},
    KnownAnswer{SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, BusError::access_denied},
    KnownAnswer{SD_BUS_ERROR_SERVICE_UNKNOWN, BusError::no_such_service},
    KnownAnswer{SD_BUS_ERROR_NAME_HAS_NO_OWNER, BusError::no_such_service},
    KnownAnswer{SD_BUS_ERROR_NO_REPLY, BusError::no_such_service},
    KnownAnswer{SD_BUS_ERROR_TIMEOUT, CoreError::timed_out},
    KnownAnswer{SD_BUS_ERROR_DISCONNECTED, BusError::connection_lost},
    KnownAnswer{"org.zsync1.Error.LimitReached", CoreError::limit_reached},
};

} // namespace

constinit const ErrorDomain bus_errors{"bus", bus_entries};

WireError to_wire(const Fault& fault) {
    WireError wire{
        .name = std::format("{}{}", own_prefix, fault.error.name()),
        .text = utf8_text(fault.message(), limits::error_text_bytes_max),
    };
    for (const StandardName& standard : standard_names) {
        if (standard.error == fault.error) {
            wire.name = standard.name;
        }
    }
    return wire;
}

std::string CallError::message() const { return text.empty() ? error.message() : text; }

CallError from_wire(const sd_bus_error& error) {
    CallError failure(BusError::remote, error.name, error.message != nullptr ? error.message : "");
    for (const KnownAnswer& known : known_answers) {
        if (known.name == failure.name) {
            failure.error = known.error;
        }
    }
    return failure;
}

} // namespace zsync::bus
