#include <zsync/core/text.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/rules_lexer.hpp>

#include <algorithm>
#include <array>
#include <format>

namespace zsync::packet {
namespace {

constexpr auto word_bytes = [] {
    std::array<bool, 256> table{};
    for (std::size_t c = 0x21; c < 0x100; ++c) {
        table[c] = c != 0x7f;
    }
    for (const char c : {'{', '}', ',', '"', '#'}) {
        table[static_cast<std::uint8_t>(c)] = false;
    }
    return table;
}();

bool is_word_byte(char c) { return word_bytes[static_cast<std::uint8_t>(c)]; }

} // namespace

std::size_t byte_order_mark_bytes(std::string_view text) {
    return text.starts_with("\xef\xbb\xbf") ? 3 : 0;
}

Lexer::Lexer(std::string_view text) : text_(text) {
    at_ = byte_order_mark_bytes(text);
    begin_line(at_);
}

void Lexer::begin_line(std::size_t offset) {
    line_.offset = offset;
    line_.line_offset = offset;
    line_end_ = std::min(text_.find('\n', offset), text_.size());
    std::size_t bytes = line_end_ - offset;
    if (bytes > 0 && text_[line_end_ - 1] == '\r') {
        --bytes;
    }
    line_too_long_ = bytes > limits::line_bytes_max;
}

Token Lexer::take(TokenKind kind, std::size_t bytes) {
    Place place = line_;
    place.offset = at_;
    const Token token{.kind = kind, .text = text_.substr(at_, bytes), .place = place};
    at_ += bytes;
    return token;
}

Token Lexer::bad(std::size_t bytes, Complaint complaint) {
    complaint_ = std::move(complaint);
    return take(TokenKind::bad, bytes);
}

Token Lexer::next() {
    if (line_too_long_) {
        line_too_long_ = false;
        at_ = line_.line_offset + limits::line_bytes_max;
        const std::size_t rest = line_end_ - at_;
        return bad(
            rest,
            {
                .words = std::format("the line is over {} bytes long", limits::line_bytes_max),
                .hint = "break it; a set may span lines",
            }
        );
    }
    while (at_ < line_end_ && (text_[at_] == ' ' || text_[at_] == '\t')) {
        ++at_;
    }
    if (at_ < line_end_ && text_[at_] == '#') {
        at_ = line_end_;
    }
    if (at_ + 1 == line_end_ && line_end_ < text_.size() && text_[at_] == '\r') {
        ++at_;
    }
    if (at_ == line_end_) {
        if (at_ == text_.size()) {
            return take(TokenKind::end, 0);
        }
        const Token token = take(TokenKind::newline, 1);
        ++line_.line;
        begin_line(at_);
        return token;
    }
    switch (text_[at_]) {
    case '{':
        return take(TokenKind::open, 1);
    case '}':
        return take(TokenKind::close, 1);
    case ',':
        return take(TokenKind::comma, 1);
    case '"':
        return string();
    default:
        break;
    }
    std::size_t end = at_;
    while (end < line_end_ && is_word_byte(text_[end])) {
        ++end;
    }
    return end > at_ ? take(TokenKind::word, end - at_) : unexpected_byte();
}

Token Lexer::string() {
    std::size_t end = at_ + 1;
    while (end < line_end_ && text_[end] != '"') {
        end += text_[end] == '\\' ? 2 : 1;
    }
    if (end >= line_end_) {
        return bad(
            line_end_ - at_,
            {.words = "the string is not closed", .hint = "close it with \" on the same line"}
        );
    }
    Token token = take(TokenKind::string, end + 1 - at_);
    token.text = token.text.substr(1, token.text.size() - 2);
    return token;
}

Token Lexer::unexpected_byte() {
    const char c = text_[at_];
    if (c == '\r') {
        return bad(
            1, {.words = "a carriage return without a newline", .hint = "end lines with \\n"}
        );
    }
    return bad(
        1,
        {
            .words = std::format("control character 0x{:02x}", static_cast<std::uint8_t>(c)),
            .hint = "",
        }
    );
}

std::uint32_t Lexer::column(const Place& place) const {
    const auto before = text_.substr(place.line_offset, place.offset - place.line_offset);
    const auto characters =
        std::ranges::count_if(before, [](char c) { return (c & 0xc0) != 0x80; });
    return static_cast<std::uint32_t>(characters) + 1;
}

bool ends_statement(const Token& token) {
    return token.kind == TokenKind::newline || token.kind == TokenKind::end;
}

std::optional<std::string> unescape(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\') {
            ++i;
            if (i == text.size() || (text[i] != '"' && text[i] != '\\')) {
                return std::nullopt;
            }
        }
        out += text[i];
    }
    return out;
}

bool has_unprintable(std::string_view text) {
    while (!text.empty()) {
        const auto point = decode_utf8(text);
        if (!point || is_unprintable(point->value)) {
            return true;
        }
        text.remove_prefix(point->bytes);
    }
    return false;
}

} // namespace zsync::packet
