#include <zsync/core/text.hpp>
#include <zsync/packet/analysis/http_request.hpp>
#include <zsync/packet/analysis/limits.hpp>

#include <algorithm>
#include <optional>

namespace zsync::packet::analysis {
namespace {

constexpr std::size_t method_bytes_max = 20;

std::string shown(std::string_view text) {
    return std::string(text.substr(0, limits::shown_bytes_max));
}

bool is_method(std::string_view word) {
    return !word.empty() && word.size() <= method_bytes_max &&
           std::ranges::all_of(word, [](char c) {
               return (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
           });
}

/// A line without its end, which is taken off `rest`; nothing where it has no end yet.
std::optional<std::string_view> take_line(std::string_view& rest) {
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos) {
        return std::nullopt;
    }
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    if (line.ends_with('\r')) {
        line.remove_suffix(1);
    }
    return line;
}

std::string_view trimmed(std::string_view text) {
    while (text.starts_with(' ') || text.starts_with('\t')) {
        text.remove_prefix(1);
    }
    while (text.ends_with(' ') || text.ends_with('\t')) {
        text.remove_suffix(1);
    }
    return text;
}

} // namespace

HttpHead read_http_head(ByteView stream, bool is_whole) {
    std::string_view rest = as_text(stream);
    const std::size_t method_end = rest.find(' ');
    if (method_end == std::string_view::npos) {
        const bool may_become_one = rest.empty() || is_method(rest);
        return {.verdict = may_become_one && !is_whole ? HeadVerdict::more : HeadVerdict::no};
    }
    if (!is_method(rest.substr(0, method_end))) {
        return {.verdict = HeadVerdict::no};
    }
    const auto line = take_line(rest);
    if (!line) {
        return {.verdict = is_whole ? HeadVerdict::no : HeadVerdict::more};
    }
    const std::size_t version_at = line->rfind(' ');
    const std::string_view version = line->substr(version_at + 1);
    if (version_at <= method_end || !version.starts_with("HTTP/1.") || version.size() != 8) {
        return {.verdict = HeadVerdict::no};
    }
    HttpHead head{
        .verdict = HeadVerdict::yes,
        .request =
            {.method = std::string(line->substr(0, method_end)),
             .target = shown(line->substr(method_end + 1, version_at - method_end - 1)),
             .version = std::string(version),
             .host = {}},
    };
    for (;;) {
        const auto field = take_line(rest);
        if (!field) {
            head.verdict = is_whole ? HeadVerdict::yes : HeadVerdict::more;
            return head;
        }
        const std::size_t colon = field->find(':');
        if (field->empty()) {
            return head;
        }
        if (colon != std::string_view::npos && lower(field->substr(0, colon)) == "host") {
            head.request.host = shown(trimmed(field->substr(colon + 1)));
            return head;
        }
    }
}

} // namespace zsync::packet::analysis
