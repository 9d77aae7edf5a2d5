// Callers: clients with calls running, and the news that one of them has left.
#pragma once

#include <zsync/bus/call.hpp>
#include <zsync/core/notify.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace zsync::bus {

/// A client while it has calls running.
struct Caller {
    std::string name;
    Callers* callers = nullptr;
    Call* calls = nullptr;
    std::uint32_t call_count = 0;
    Slot presence_check; ///< asked when it may have left before departures were watched
};

/// Watches departures only while a call is running: one match for all clients, so that neither the
/// number of clients nor the number of calls costs the bus a rule each, and an idle service is not
/// woken by strangers coming and going.
class Callers {
public:
    explicit Callers(Connection& connection) noexcept : connection_(connection) {}
    Callers(const Callers&) = delete;
    Callers& operator=(const Callers&) = delete;

    /// Null when a limit is reached.
    [[nodiscard]] Caller* admit(std::string_view name);
    void begin(Call& call);
    void end(Call& call) noexcept;

    /// Installs and removes the match. Runs as long as the connection.
    Task<void> watch(Io io);
    /// Cancels all calls: nobody is there to hear their replies.
    void all_left() noexcept;

    [[nodiscard]] std::uint32_t call_count() const noexcept { return call_count_; }

private:
    static int departed(sd_bus_message* message, void* userdata, sd_bus_error* error);
    static int watch_answered(sd_bus_message* message, void* userdata, sd_bus_error* error);
    static int presence_answered(sd_bus_message* message, void* userdata, sd_bus_error* error);
    void install();
    static void left(Caller& caller) noexcept;

    Connection& connection_;
    std::map<std::string, Caller, std::less<>> callers_;
    Slot match_;
    std::uint32_t call_count_ = 0;
    Notify calls_changed_;
};

} // namespace zsync::bus
