#include <algorithm>
#include <format>
#include <zsyncctl/table.hpp>

namespace zsyncctl {
namespace {

std::string_view color_of(Tone tone) {
    switch (tone) {
    case Tone::title:
        return "\x1b[1m";
    case Tone::good:
        return "\x1b[32m";
    case Tone::warning:
        return "\x1b[33m";
    case Tone::bad:
        return "\x1b[31m";
    case Tone::faint:
        return "\x1b[2m";
    case Tone::plain:
        break;
    }
    return "";
}

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

/// Bytes of the UTF-8 character that `text` starts with, or 0 where there is none.
std::size_t character_bytes(std::string_view text) {
    const auto first = static_cast<unsigned char>(text.front());
    std::size_t bytes = 0;
    if (first < 0x80) {
        bytes = 1;
    } else if (first >= 0xc2 && first < 0xe0) {
        bytes = 2;
    } else if (first >= 0xe0 && first < 0xf0) {
        bytes = 3;
    } else if (first >= 0xf0 && first < 0xf5) {
        bytes = 4;
    }
    if (bytes == 0 || bytes > text.size()) {
        return 0;
    }
    return std::ranges::all_of(text.substr(1, bytes - 1), is_continuation) ? bytes : 0;
}

/// C0, DEL, and C1 (which UTF-8 writes as 0xc2 0x80 to 0xc2 0x9f).
bool is_control(std::string_view character) {
    const auto first = static_cast<unsigned char>(character.front());
    if (character.size() == 1) {
        return first < 0x20 || first == 0x7f;
    }
    return first == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0;
}

} // namespace

std::string Style::paint(std::string_view text, Tone tone) const {
    const std::string_view begin = color_of(tone);
    if (!color || begin.empty() || text.empty()) {
        return std::string(text);
    }
    return std::format("{}{}\x1b[0m", begin, text);
}

std::string printable(std::string_view text) {
    std::string shown;
    while (!text.empty()) {
        const std::size_t bytes = character_bytes(text);
        const std::string_view character = text.substr(0, std::max<std::size_t>(bytes, 1));
        if (bytes == 0 || is_control(character)) {
            for (const char c : character) {
                shown += std::format("\\x{:02x}", static_cast<unsigned char>(c));
            }
        } else {
            shown += character;
        }
        text.remove_prefix(character.size());
    }
    return shown;
}

std::size_t columns(std::string_view text) {
    return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) {
        return !is_continuation(c);
    }));
}

std::string shortened(std::string_view text, std::size_t columns_max) {
    if (columns(text) <= columns_max) {
        return std::string(text);
    }
    if (columns_max == 0) {
        return {};
    }
    std::size_t bytes = 0;
    for (std::size_t column = 0; column < columns_max; ++column) {
        const std::size_t start = bytes++;
        while (bytes < text.size() && is_continuation(text[bytes])) {
            ++bytes;
        }
        if (column + 1 == columns_max) {
            bytes = start;
        }
    }
    return std::string(text.substr(0, bytes)) + "…";
}

std::string Table::line(
    const std::vector<Cell>& cells,
    const std::vector<std::size_t>& widths,
    const Style& style,
    std::size_t line_columns_max
) const {
    std::size_t last = 0;
    for (std::size_t i = 0; i < cells.size(); ++i) {
        last = cells[i].text.empty() ? last : i + 1;
    }
    std::string text;
    std::size_t used = 0;
    for (std::size_t i = 0; i < last; ++i) {
        const std::size_t gap = widths[i] - columns(cells[i].text);
        std::size_t before = (i == 0 ? 0 : 2) + (columns_[i].align == Align::right ? gap : 0);
        std::string shown = cells[i].text;
        if (line_columns_max != 0) {
            const std::size_t room = line_columns_max - std::min(line_columns_max, used);
            before = std::min(before, room);
            shown = shortened(shown, room - before);
        }
        used += before + columns(shown);
        std::size_t after = columns_[i].align == Align::left && i + 1 < last ? gap : 0;
        if (line_columns_max != 0) {
            after = std::min(after, line_columns_max - std::min(line_columns_max, used));
        }
        used += after;
        text += std::string(before, ' ') + style.paint(shown, cells[i].tone);
        text += std::string(after, ' ');
    }
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
}

std::vector<std::string> Table::lines(const Style& style, std::size_t line_columns_max) const {
    std::vector<Cell> titles;
    std::vector<std::size_t> widths;
    for (const Column& column : columns_) {
        titles.emplace_back(std::string(column.title), Tone::title);
        widths.push_back(zsyncctl::columns(column.title));
    }
    for (const std::vector<Cell>& cells : rows_) {
        for (std::size_t i = 0; i < cells.size(); ++i) {
            widths[i] = std::max(widths[i], zsyncctl::columns(cells[i].text));
        }
    }
    std::vector<std::string> lines{line(titles, widths, style, line_columns_max)};
    for (const std::vector<Cell>& cells : rows_) {
        lines.push_back(line(cells, widths, style, line_columns_max));
    }
    return lines;
}

std::string Table::text(const Style& style) const {
    std::string text;
    for (const std::string& line : lines(style)) {
        text += line + '\n';
    }
    return text;
}

} // namespace zsyncctl
