// Any text either parses, and its self-contained form parses to the same, or is refused with
// diagnostics that are safe to print. A part behind a NUL byte is the set file that it may name.
#include <zsync/core/assert.hpp>
#include <zsync/core/text.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/rules.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>

using namespace zsync;
using namespace zsync::packet;

namespace {

Outcome<std::string> no_file(const std::string&) { return fail(os_error(ENOENT), "no file"); }

void check(const RuleSet& rules) {
    ZASSERT(rules.rules.size() <= limits::rules_max, "a rule set is within its limits");
    for (const Rule& rule : rules.rules) {
        ZASSERT(rule.text.size() <= limits::rule_text_bytes_max, "a rule text is within its limit");
        ZASSERT(
            !rule.from || *rule.from < rules.address_sets.size(), "from names a set that is there"
        );
        ZASSERT(!rule.to || *rule.to < rules.address_sets.size(), "to names a set that is there");
    }
    const auto again = parse_rules(format_rules(rules), "again", no_file);
    ZASSERT(again && *again == rules, "the self-contained form is the same rule set");
}

void check(const std::vector<Diagnostic>& diagnostics) {
    ZASSERT(
        !diagnostics.empty() && diagnostics.size() <= limits::diagnostics_max + 1,
        "as many diagnostics as are promised"
    );
    for (const Diagnostic& diagnostic : diagnostics) {
        const std::string message = diagnostic.message();
        ZASSERT(diagnostic.line >= 1 && diagnostic.column >= 1, "positions count from 1");
        ZASSERT(printable(message, message.size() + 1) == message, "messages are safe to print");
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    // The file is behind the last NUL byte, so that a text with one in it is tried as well.
    const std::size_t nul = input.rfind('\0');
    const bool has_file = nul != std::string_view::npos;
    const ReadFile read = [&](const std::string&) -> Outcome<std::string> {
        if (!has_file) {
            return no_file("");
        }
        return std::string(input.substr(nul + 1));
    };
    const auto rules = parse_rules(input.substr(0, nul), "fuzz", read);
    rules ? check(*rules) : check(rules.error());
    return 0;
}
