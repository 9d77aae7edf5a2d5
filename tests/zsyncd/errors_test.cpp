// Every error of every subsystem that zsyncd joins has a D-Bus name of its own.
#include <zsync/bus/errors.hpp>
#include <zsync/packet/analysis/error.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/store/error.hpp>

#include <gtest/gtest.h>
#include <systemd/sd-bus.h>

#include <array>
#include <map>
#include <string>
#include <zsyncd/config.hpp>

using namespace zsync;

namespace {

constexpr std::array<const ErrorDomain*, 6> domains{
    &core_errors,
    &bus::bus_errors,
    &packet::packet_errors,
    &packet::analysis::analysis_errors,
    &store::store_errors,
    &zsyncd::config_errors,
};

/// An error of any domain by number, as only a test makes them.
const ErrorDomain* current_domain = nullptr;
enum class AnyError : std::uint16_t {};
const ErrorDomain& error_domain(AnyError /*code*/) noexcept { return *current_domain; }

} // namespace

TEST(ErrorNames, every_code_has_a_valid_name_of_its_own_and_words) {
    std::map<std::string, std::string> seen;
    for (const ErrorDomain* domain : domains) {
        current_domain = domain;
        ASSERT_FALSE(domain->entries.empty());
        for (const ErrorEntry& entry : domain->entries) {
            const bus::WireError wire = bus::to_wire(Fault(Error(AnyError{entry.code})));
            const std::string here = std::string(domain->name) + "." + std::string(entry.name);
            EXPECT_EQ(sd_bus_interface_name_is_valid(wire.name.c_str()), 1) << here;
            EXPECT_FALSE(wire.text.empty()) << here;
            const auto [other, is_new] = seen.try_emplace(wire.name, here);
            EXPECT_TRUE(is_new) << here << " and " << other->second << " are both " << wire.name;
        }
    }
}
