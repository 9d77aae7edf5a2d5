// The rule language of zsync-rules(5): text to RuleSet, and back.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>
#include <zsync/packet/rule_set.hpp>

#include <cstdint>
#include <expected>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace zsync::packet {

/// One thing that is wrong with a rule file, or with a set file it names. Line and column count
/// from 1; a column is a character, so that an editor jumps to the right place.
struct Diagnostic {
    std::string source;
    std::uint32_t line = 1;
    std::uint32_t column = 1;
    std::string words;
    std::string hint; ///< what to write instead; empty where there is nothing useful to say

    /// `FILE:LINE:COL: error: words; hint: words`, valid UTF-8 without control characters.
    [[nodiscard]] std::string message() const;
};

/// Every diagnostic on a line of its own.
[[nodiscard]] std::string join_messages(const std::vector<Diagnostic>& diagnostics);

/// How the parser reads `set NAME file "PATH"`. The fault's message becomes the diagnostic's words.
using ReadFile = std::function<Outcome<std::string>(const std::string& path)>;

/// Reads a whole regular file of at most `file_bytes_max` bytes. Never blocks on what only looks
/// like a file: a FIFO, a device or a directory is refused.
[[nodiscard]] Outcome<std::string> read_regular_file(const std::string& path);
/// The same of one that is open, from its offset on; `name` is for people. Either is refused where
/// it was written to meanwhile, for then it may be half an old file and half a new one. That sees
/// no writer who pauses for longer than the reading takes: who replaces a file renames another over
/// it.
[[nodiscard]] Outcome<std::string> read_open_file(const Fd& file, std::string_view name);

/// Parses a whole rule file, or says everything that is wrong with it: at most `diagnostics_max`
/// diagnostics in the order of the text, then one that says that there were more. `source_name`
/// only names the file in diagnostics. Time is linear in the text; memory is bounded by limits.hpp.
///
/// Sets that no rule uses are checked and left out. `address_sets` are in the order of their first
/// use, and equal ones are one.
[[nodiscard]] std::expected<RuleSet, std::vector<Diagnostic>>
parse_rules(std::string_view text, std::string_view source_name, const ReadFile& read_set_file);

/// A rule text without set files, comments or unused sets, which `parse_rules` turns into an equal
/// RuleSet. This is what the state store keeps, so that a restart does not depend on files that
/// changed since. `rules` must come from `parse_rules`.
[[nodiscard]] std::string format_rules(const RuleSet& rules);

} // namespace zsync::packet
