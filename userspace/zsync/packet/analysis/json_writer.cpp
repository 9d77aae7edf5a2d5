#include <zsync/core/text.hpp>
#include <zsync/packet/analysis/json_writer.hpp>
#include <zsync/packet/analysis/limits.hpp>

#include <cmath>
#include <format>

namespace zsync::packet::analysis {

void JsonWriter::comma() {
    if (needs_comma_) {
        out_ += breaks_line_ ? "," : ", ";
    }
    if (breaks_line_) {
        out_ += '\n';
        breaks_line_ = false;
    }
    needs_comma_ = true;
}

void JsonWriter::open(char bracket) {
    comma();
    out_ += bracket;
    needs_comma_ = false;
}

void JsonWriter::close(char bracket) {
    if (breaks_line_) {
        out_ += '\n';
        breaks_line_ = false;
    }
    out_ += bracket;
    needs_comma_ = true;
}

void JsonWriter::quote(std::string_view text) {
    out_ += '"';
    for (const char c : printable(text, limits::shown_bytes_max)) {
        if (c == '"' || c == '\\') {
            out_ += '\\';
        }
        out_ += c;
    }
    out_ += '"';
}

void JsonWriter::key(std::string_view name) {
    comma();
    quote(name);
    out_ += ": ";
    needs_comma_ = false;
}

void JsonWriter::value(std::string_view text) {
    comma();
    quote(text);
}

void JsonWriter::value(bool truth) {
    comma();
    out_ += truth ? "true" : "false";
}

void JsonWriter::value(double number) {
    comma();
    out_ += std::isfinite(number) ? std::format("{:.6g}", number) : "null";
}

void JsonWriter::null() {
    comma();
    out_ += "null";
}

void JsonWriter::raw(std::string_view json) {
    comma();
    out_ += json;
}

} // namespace zsync::packet::analysis
