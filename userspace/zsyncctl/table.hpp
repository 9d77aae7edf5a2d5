// Aligned tables, with colour where a person looks at them.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace zsyncctl {

/// What a piece of text says, as far as colour is concerned.
enum class Tone : std::uint8_t { plain, title, good, warning, bad, faint };

/// How text is dressed for where it goes.
struct Style {
    bool color = false;

    [[nodiscard]] std::string paint(std::string_view text, Tone tone) const;
};

/// `text` with control characters and broken UTF-8 made visible as \xNN: what comes from elsewhere
/// must not steer the terminal.
std::string printable(std::string_view text);

/// Columns that `text` takes on a terminal, one for each code point.
std::size_t columns(std::string_view text);

/// At most `columns_max` columns of `text`, the last one an ellipsis where it was longer.
std::string shortened(std::string_view text, std::size_t columns_max);

enum class Align : std::uint8_t { left, right };

struct Column {
    std::string_view title;
    Align align = Align::left;
};

struct Cell {
    std::string text;
    Tone tone = Tone::plain;

    /// A row is written as its cells' contents.
    // NOLINTBEGIN(google-explicit-constructor): so that it need not name them
    template <std::convertible_to<std::string_view> Words>
    Cell(const Words& words, Tone meaning = Tone::plain) : text(printable(words)), tone(meaning) {}
    Cell(std::uint64_t number) : text(std::to_string(number)) {}
    // NOLINTEND(google-explicit-constructor)
};

/// Rows under titles, each column as wide as its widest cell, two spaces between columns and none
/// at the end of a line.
class Table {
public:
    explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

    /// Cells from the left; what is missing stays empty.
    void row(std::vector<Cell> cells) { rows_.push_back(std::move(cells)); }
    [[nodiscard]] std::size_t rows() const { return rows_.size(); }

    /// The lines, title first. Lines are cut at `line_columns_max` unless that is 0.
    [[nodiscard]] std::vector<std::string>
    lines(const Style& style, std::size_t line_columns_max = 0) const;
    /// The same with their newlines.
    [[nodiscard]] std::string text(const Style& style) const;

private:
    [[nodiscard]] std::string line(
        const std::vector<Cell>& cells,
        const std::vector<std::size_t>& widths,
        const Style& style,
        std::size_t line_columns_max
    ) const;

    std::vector<Column> columns_;
    std::vector<std::vector<Cell>> rows_;
};

} // namespace zsyncctl
