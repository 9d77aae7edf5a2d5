#include <zsync/core/text.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/rules_report.hpp>

#include <algorithm>
#include <format>

namespace zsync::packet {

std::string Diagnostic::message() const {
    std::string out = std::format("{}:{}:{}: error: {}", source, line, column, words);
    if (!hint.empty()) {
        out += "; hint: " + hint;
    }
    return out;
}

std::string join_messages(const std::vector<Diagnostic>& diagnostics) {
    std::string out;
    for (const Diagnostic& diagnostic : diagnostics) {
        out += out.empty() ? "" : "\n";
        out += diagnostic.message();
    }
    return out;
}

Report::Report(std::string_view source, const Lexer& lexer)
    : source_(printable(source)), lexer_(lexer) {}

void Report::add(std::size_t order, Diagnostic diagnostic) {
    if (!full()) {
        entries_.push_back({.order = order, .diagnostic = std::move(diagnostic)});
    }
}

void Report::error(const Place& place, std::string words, std::string hint) {
    add(place.offset,
        {
            .source = source_,
            .line = place.line,
            .column = lexer_.column(place),
            .words = std::move(words),
            .hint = std::move(hint),
        });
}

void Report::error(const Place& place, Complaint complaint) {
    error(place, std::move(complaint.words), std::move(complaint.hint));
}

void Report::error_in_file(
    const Place& statement,
    std::string_view path,
    std::uint32_t line,
    std::uint32_t column,
    const Complaint& complaint
) {
    add(statement.offset,
        {
            .source = printable(path),
            .line = line,
            .column = column,
            .words = complaint.words,
            .hint = complaint.hint,
        });
}

bool Report::full() const { return entries_.size() > limits::diagnostics_max; }

std::vector<Diagnostic> Report::take() {
    std::ranges::stable_sort(entries_, {}, &Entry::order);
    std::vector<Diagnostic> out;
    out.reserve(entries_.size());
    for (Entry& entry : entries_) {
        out.push_back(std::move(entry.diagnostic));
    }
    if (full()) {
        Diagnostic& last = out.back();
        last.words =
            std::format("and more: only the first {} errors are shown", limits::diagnostics_max);
        last.hint.clear();
    }
    return out;
}

} // namespace zsync::packet
