// Refusal: why a command did not do what was asked, in the words that are shown.
#pragma once

#include <zsync/core/result.hpp>

#include <expected>
#include <string>

namespace zsyncctl {

/// A command that was understood and not done. `message` goes to standard error: its last line
/// after "zsyncctl: ", and lines before it as they are (the diagnostics of a rule file).
struct [[nodiscard]] Refusal {
    std::string message;
    /// The D-Bus error name behind it, or empty.
    std::string bus_error{};
};

template <class T> using Answer = std::expected<T, Refusal>;

inline std::unexpected<Refusal> refuse(std::string message, std::string bus_error = {}) {
    return std::unexpected(Refusal{.message = std::move(message), .bus_error = std::move(bus_error)}
    );
}

} // namespace zsyncctl
