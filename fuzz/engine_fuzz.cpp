// Any rule text up to a NUL byte, and a frame behind it: the compiled tables match the rule that
// trying one after the other finds, for that frame and for random ones.
#include "tests/packet/random_traffic.hpp"
#include "tests/packet/reference.hpp"
#include "tests/packet/user_engine.hpp"

#include <zsync/core/assert.hpp>
#include <zsync/packet/engine.hpp>
#include <zsync/packet/rules.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <numeric>
#include <string_view>

using namespace zsync;
using namespace zsync::packet;
using namespace zsync::packet::test;

namespace {

Outcome<std::string> no_file(const std::string&) { return fail(os_error(ENOENT), "no file"); }

void check(const RuleSet& rules, const Tables& tables, std::span<const std::uint8_t> frame) {
    const Parsed parsed = parse(frame);
    if (parsed.malformed == ZSYNC_WELL_FORMED) {
        ZASSERT(
            match(tables, parsed.packet) == reference_match(rules, reference_parse(frame)),
            "the engine finds the first rule that matches"
        );
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    const std::size_t nul = std::min(input.find('\0'), size);
    const auto rules = parse_rules(input.substr(0, nul), "fuzz", no_file);
    if (!rules) {
        return 0;
    }
    CounterSlots slots;
    slots.rules.resize(rules->rules.size());
    std::iota(slots.rules.begin(), slots.rules.end(), 1);
    const auto tables = compile(*rules, slots);
    ZASSERT(tables.has_value(), "what the language takes, the engine takes");
    if (nul < size) {
        check(*rules, *tables, {data + nul + 1, size - nul - 1});
    }
    RandomTraffic traffic(std::hash<std::string_view>{}(input));
    for (int i = 0; i < 20; ++i) {
        check(*rules, *tables, traffic.frame());
    }
    return 0;
}
