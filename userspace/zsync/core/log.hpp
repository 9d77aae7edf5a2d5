// Structured log: to the journal where the service manager gave one, to stderr elsewhere.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>

namespace zsync::log {

/// Severities, with the numbers of syslog(3).
enum class Level : std::uint8_t { error = 3, warning = 4, notice = 5, info = 6, debug = 7 };

/// One journal field. The name is upper case ASCII, digits and `_`, as the journal demands.
struct Field {
    std::string_view name;
    std::string value;
};

/// Writes one record. Fields are journal fields of their own, and `NAME=value` on stderr. Line
/// breaks and control characters of the message are escaped on stderr.
void write(
    Level level,
    std::string_view message,
    std::initializer_list<Field> fields = {},
    std::source_location where = std::source_location::current()
);

inline void error(
    std::string_view message,
    std::initializer_list<Field> fields = {},
    std::source_location where = std::source_location::current()
) {
    write(Level::error, message, fields, where);
}
inline void warning(
    std::string_view message,
    std::initializer_list<Field> fields = {},
    std::source_location where = std::source_location::current()
) {
    write(Level::warning, message, fields, where);
}
inline void notice(
    std::string_view message,
    std::initializer_list<Field> fields = {},
    std::source_location where = std::source_location::current()
) {
    write(Level::notice, message, fields, where);
}
inline void info(
    std::string_view message,
    std::initializer_list<Field> fields = {},
    std::source_location where = std::source_location::current()
) {
    write(Level::info, message, fields, where);
}
inline void debug(
    std::string_view message,
    std::initializer_list<Field> fields = {},
    std::source_location where = std::source_location::current()
) {
    write(Level::debug, message, fields, where);
}

/// Records above this level are not written. `info` at start.
void set_level(Level level) noexcept;
[[nodiscard]] std::optional<Level> level_from(std::string_view name) noexcept;

} // namespace zsync::log
