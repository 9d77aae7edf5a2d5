// Parsing in tests: files are strings, and a failure is the text a person would see.
#pragma once

#include <zsync/packet/rules.hpp>

#include <gtest/gtest.h>

#include <cerrno>
#include <map>
#include <string>
#include <string_view>

namespace zsync::packet {

using Files = std::map<std::string, std::string>;

inline ReadFile reading(const Files& files) {
    return [&files](const std::string& path) -> Outcome<std::string> {
        const auto found = files.find(path);
        if (found == files.end()) {
            return fail(os_error(ENOENT), "cannot read " + path + ": No such file or directory");
        }
        return found->second;
    };
}

inline auto parse(std::string_view text, const Files& files = {}) {
    return parse_rules(text, "r", reading(files));
}

inline std::string errors_of(std::string_view text, const Files& files = {}) {
    const auto rules = parse(text, files);
    return rules ? "" : join_messages(rules.error());
}

/// The rule set of a text that must parse.
inline RuleSet rules_of(std::string_view text, const Files& files = {}) {
    auto rules = parse(text, files);
    EXPECT_TRUE(rules) << (rules ? "" : join_messages(rules.error()));
    return rules ? *std::move(rules) : RuleSet{};
}

} // namespace zsync::packet
