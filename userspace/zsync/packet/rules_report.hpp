// Diagnostics of one rule file, collected. Private to the packet subsystem.
#pragma once

#include <zsync/packet/rules.hpp>
#include <zsync/packet/rules_lexer.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace zsync::packet {

/// Collects diagnostics up to the limit and puts them in the order of the text.
class Report {
public:
    Report(std::string_view source, const Lexer& lexer);

    void error(const Place& place, std::string words, std::string hint = {});
    void error(const Place& place, Complaint complaint);
    /// In a set file that the statement at `statement` names.
    void error_in_file(
        const Place& statement,
        std::string_view path,
        std::uint32_t line,
        std::uint32_t column,
        const Complaint& complaint
    );

    [[nodiscard]] bool empty() const { return entries_.empty(); }
    /// One more than the limit is there: reading on is of no use.
    [[nodiscard]] bool full() const;
    [[nodiscard]] std::vector<Diagnostic> take();

private:
    struct Entry {
        std::size_t order = 0;
        Diagnostic diagnostic;
    };

    void add(std::size_t order, Diagnostic diagnostic);

    std::string source_;
    const Lexer& lexer_;
    std::vector<Entry> entries_;
};

} // namespace zsync::packet
