// Errors of the bus, and what errors are called on it.
#pragma once

#include <zsync/core/result.hpp>

#include <systemd/sd-bus.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace zsync::bus {

enum class BusError : std::uint16_t {
    unreachable,     ///< no bus answers at the address
    connection_lost, ///< the connection ended, or is being made anew
    name_taken,      ///< another connection owns the name
    name_refused,    ///< the bus policy does not let this user own the name
    access_denied,   ///< the caller may not do this
    no_such_service, ///< nobody owns the destination's name, or it left before it replied
    bad_reply,       ///< a reply of other types than expected
    remote,          ///< the other side refused; its name and words are in `CallError`
    invalid_object,  ///< an object cannot be registered there
};

extern const ErrorDomain bus_errors;
constexpr const ErrorDomain& error_domain(BusError) noexcept { return bus_errors; }

/// An error as a D-Bus message has it.
struct WireError {
    std::string name;
    std::string text;
};

/// The one place where errors get their D-Bus names: `org.zsync1.Error.NAME` with the name from the
/// error's own table, except for those in a small table of names that D-Bus has itself.
[[nodiscard]] WireError to_wire(const Fault& fault);

/// What a call of ours came back with.
struct [[nodiscard]] CallError {
    Error error;
    std::string name; ///< the D-Bus error's name; empty when no answer came
    std::string text; ///< what the other side says, for people

    CallError(Error e, std::string called, std::string said)
        : error(e), name(std::move(called)), text(std::move(said)) {}
    CallError(Error e) : error(e) {} // NOLINT(google-explicit-constructor): as in Fault
    CallError(Fault fault)           // NOLINT(google-explicit-constructor): as in Fault
        : error(fault.error), text(std::move(fault.detail)) {}

    [[nodiscard]] std::string message() const;
    operator Fault() const { return {error, text}; } // NOLINT(google-explicit-constructor)
};

template <class T> using CallResult = std::expected<T, CallError>;

/// The error of a reply.
[[nodiscard]] CallError from_wire(const sd_bus_error& error);

} // namespace zsync::bus
