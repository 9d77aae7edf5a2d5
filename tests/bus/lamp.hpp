// Lamp: an object with one of everything that the bus offers.
#pragma once

#include <zsync/bus/connection.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

namespace zsync::bus::test {

constexpr const char* lamp_name = "org.example.Lamps";
constexpr const char* lamp_path = "/org/example/lamp";

/// One of every type.
struct Everything {
    bool b = false;
    std::uint8_t y = 0;
    std::int16_t n = 0;
    std::uint16_t q = 0;
    std::int32_t i = 0;
    std::uint32_t u = 0;
    std::int64_t x = 0;
    std::uint64_t t = 0;
    double d = 0;
    std::string s;
    ObjectPath o;
    Variant v;
    std::vector<std::string> as;
    std::map<std::string, std::uint64_t> ast;
    std::vector<std::tuple<std::uint32_t, std::string>> aus;

    static constexpr auto bus_fields = std::tuple{
        &Everything::b,
        &Everything::y,
        &Everything::n,
        &Everything::q,
        &Everything::i,
        &Everything::u,
        &Everything::x,
        &Everything::t,
        &Everything::d,
        &Everything::s,
        &Everything::o,
        &Everything::v,
        &Everything::as,
        &Everything::ast,
        &Everything::aus,
    };
    friend bool operator==(const Everything&, const Everything&) = default;
};

class Lamp {
public:
    static constexpr Signal<std::string> burnt_out{"BurntOut"};
    static const Interface& bus_interface();

    [[nodiscard]] std::uint32_t brightness() const { return brightness_; }
    [[nodiscard]] std::string color() const { return "white"; }

    Task<Outcome<std::uint32_t>> dim(CallContext call, std::uint32_t level, Options options);
    Task<Outcome<std::tuple<Everything>>> echo(CallContext call, Everything value);
    Task<Outcome<std::uint64_t>> length(CallContext call, std::string text);
    Task<Outcome<std::string>> contents(CallContext call, Fd file);
    /// Waits until it is cancelled.
    Task<Outcome<void>> glow(CallContext call);
    Task<Outcome<void>> burn_out(CallContext call, std::string reason);
    Task<Outcome<void>> guarded(CallContext call);

    std::uint32_t glowing = 0;
    std::uint32_t cut_short = 0;
    Notify changed;

private:
    std::uint32_t brightness_ = 0;
};

/// The lamp on the bus, seen from a client.
[[nodiscard]] inline Target lamp_target() {
    return {.destination = lamp_name, .path = lamp_path, .interface = "org.example.Lamp"};
}

} // namespace zsync::bus::test
