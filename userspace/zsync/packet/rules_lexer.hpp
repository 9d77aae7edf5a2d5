// Words of the rule language. Private to the packet subsystem.
#pragma once

#include <zsync/packet/address_text.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace zsync::packet {

enum class TokenKind : std::uint8_t {
    word,
    string, ///< `text` is what stands between the quotes, escapes and all
    open,
    close,
    comma,
    newline,
    end,
    bad, ///< Lexer::complaint says why
};

/// Where something stands. Offsets count bytes; the column is counted when a person asks.
struct Place {
    std::size_t offset = 0;
    std::size_t line_offset = 0;
    std::uint32_t line = 1;
};

struct Token {
    TokenKind kind = TokenKind::end;
    std::string_view text;
    Place place;
};

/// Splits text into tokens in one pass. A bad token is whole: the lexer goes on behind it.
class Lexer {
public:
    explicit Lexer(std::string_view text);

    [[nodiscard]] Token next();

    /// Of the last bad token.
    [[nodiscard]] const Complaint& complaint() const { return complaint_; }

    /// The character a place's byte is in its line, from 1.
    [[nodiscard]] std::uint32_t column(const Place& place) const;

private:
    Token take(TokenKind kind, std::size_t bytes);
    Token bad(std::size_t bytes, Complaint complaint);
    Token string();
    Token unexpected_byte();
    void begin_line(std::size_t offset);

    std::string_view text_;
    std::size_t at_ = 0;
    std::size_t line_end_ = 0;
    Place line_;
    bool line_too_long_ = false;
    Complaint complaint_;
};

[[nodiscard]] bool ends_statement(const Token& token);

/// A string token's text with its `\"` and `\\` resolved; nothing if another escape is in it.
[[nodiscard]] std::optional<std::string> unescape(std::string_view text);

[[nodiscard]] bool has_unprintable(std::string_view text);

/// Length of a UTF-8 byte order mark at the start of `text`.
[[nodiscard]] std::size_t byte_order_mark_bytes(std::string_view text);

} // namespace zsync::packet
