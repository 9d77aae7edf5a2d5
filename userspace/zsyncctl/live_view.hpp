// A view that shows itself anew at even distances: a full screen on a terminal, tables elsewhere.
#pragma once

#include <array>
#include <cstddef>
#include <expected>
#include <string>
#include <string_view>
#include <vector>
#include <zsyncctl/session.hpp>
#include <zsyncctl/verbs.hpp>

namespace zsyncctl {

/// What a live view shows.
class LiveSource {
public:
    virtual ~LiveSource() = default;
    /// Asks the daemon; `lines` and `document` tell of the newest answer and its difference to the
    /// one before.
    virtual Answer<void> sample(Daemon& daemon) = 0;
    /// At most `rows_max` lines of at most `columns_max` columns, where these are not 0.
    [[nodiscard]] virtual std::vector<std::string>
    lines(const Style& style, std::size_t rows_max, std::size_t columns_max) const = 0;
    [[nodiscard]] virtual Json document() const = 0;
    /// What keys do, in a few words; empty where there are none.
    [[nodiscard]] virtual std::string_view keys_note() const { return {}; }
    /// A key was typed; see `Waiter::key`.
    virtual void key(char /*key*/) {}
    /// While the daemon is away.
    [[nodiscard]] virtual std::string_view away_note() const = 0;
};

inline constexpr std::array live_options{
    Option{.name = "--interval", .value = "SECONDS", .help = "between two tables (default 1)"},
    Option{.name = "--count", .value = "N", .help = "end after N tables (default: at Ctrl-C)"},
};

/// Checks the words of `live_options`.
std::expected<void, UsageError> check_live(const Invocation& invocation);

/// Shows until it is told to end. A daemon that goes away after the first sample (restarted,
/// upgraded) is waited for.
Answer<void> show_live(Session& session, LiveSource& source);

/// CLOCK_MONOTONIC in microseconds.
std::uint64_t monotonic_us();
/// CLOCK_REALTIME in microseconds.
std::uint64_t realtime_us();

} // namespace zsyncctl
