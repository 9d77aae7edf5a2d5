#include <zsync/bus/codec.hpp>
#include <zsync/bus/errors.hpp>

#include <array>
#include <format>
#include <utility>

namespace zsync::bus {
namespace {

constexpr std::array bus_entries{
    ErrorEntry{
        .code = std::to_underlying(BusError::unreachable),
        .name = "BusUnreachable",
        .text = "no bus answers"
    },
    ErrorEntry{
        .code = std::to_underlying(BusError::connection_lost),
        .name = "BusConnectionLost",
        .text = "the connection to the bus is lost"
    },
    ErrorEntry{
        .code = std::to_underlying(BusError::name_taken),
        .name = "BusNameTaken",
        .text = "another program owns the name on this bus"
    },
    ErrorEntry{
        .code = std::to_underlying(BusError::name_refused),
        .name = "BusNameRefused",
        .text = "the bus policy does not allow this user to own the name"
    },
    ErrorEntry{
        .code = std::to_underlying(BusError::access_denied),
        .name = "AccessDenied",
        .text = "access denied"
    },
    ErrorEntry{
        .code = std::to_underlying(BusError::no_such_service),
        .name = "NoSuchService",
        .text = "no such service on this bus"
    },
    ErrorEntry{
        .code = std::to_underlying(BusError::bad_reply),
        .name = "BadReply",
        .text = "the reply has other types than expected"
    },
    ErrorEntry{
        .code = std::to_underlying(BusError::remote),
        .name = "Remote",
        .text = "refused by the other side"
    },
    ErrorEntry{
        .code = std::to_underlying(BusError::invalid_object),
        .name = "InvalidObject",
        .text = "an object cannot be registered there"
    },
};

constexpr std::string_view own_prefix = "org.zsync1.Error.";

/// Errors that D-Bus has a name for; every other one is `org.zsync1.Error.NAME`.
struct StandardName {
    Error error;
    const char* name;
};
constexpr std::array standard_names{
    StandardName{.error = BusError::access_denied, .name = SD_BUS_ERROR_ACCESS_DENIED},
    StandardName{.error = BusError::no_such_service, .name = SD_BUS_ERROR_SERVICE_UNKNOWN},
};

/// Answers of the bus or of the other side's library that mean the same to every caller.
struct KnownAnswer {
    std::string_view name;
    Error error;
};
constexpr std::array known_answers{
    KnownAnswer{.name = SD_BUS_ERROR_ACCESS_DENIED, .error = BusError::access_denied},
    KnownAnswer{
        .name = SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, .error = BusError::access_denied
    },
    KnownAnswer{.name = SD_BUS_ERROR_SERVICE_UNKNOWN, .error = BusError::no_such_service},
    KnownAnswer{.name = SD_BUS_ERROR_NAME_HAS_NO_OWNER, .error = BusError::no_such_service},
    KnownAnswer{.name = SD_BUS_ERROR_NO_REPLY, .error = BusError::no_such_service},
    KnownAnswer{.name = SD_BUS_ERROR_TIMEOUT, .error = CoreError::timed_out},
    KnownAnswer{.name = SD_BUS_ERROR_DISCONNECTED, .error = BusError::connection_lost},
    KnownAnswer{.name = "org.zsync1.Error.LimitReached", .error = CoreError::limit_reached},
};

} // namespace

constinit const ErrorDomain bus_errors{.name = "bus", .entries = bus_entries};

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
