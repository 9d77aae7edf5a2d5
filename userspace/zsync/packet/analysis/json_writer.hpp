// JsonWriter: JSON text put together as it is found, so that a long list is never held as a tree.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace zsync::packet::analysis {

/// Appends to a string; commas and quotes are its business, balance is the caller's. Text is made
/// printable UTF-8 first, so that bytes of a stranger harm neither a terminal nor a parser.
class JsonWriter {
public:
    explicit JsonWriter(std::string& out) noexcept : out_(out) {}

    void begin_object() { open('{'); }
    void end_object() { close('}'); }
    void begin_array() { open('['); }
    void end_array() { close(']'); }
    void key(std::string_view name);
    /// Starts a line of its own before the next thing.
    void new_line() { breaks_line_ = true; }

    void value(std::string_view text);
    void value(const char* text) { value(std::string_view(text)); }
    void value(bool truth);
    void value(double number);
    void value(std::unsigned_integral auto number) {
        comma();
        out_ += std::to_string(number);
    }
    void null();
    /// JSON text made elsewhere.
    void raw(std::string_view json);

    template <class T> void field(std::string_view name, const T& of) {
        key(name);
        value(of);
    }

private:
    void open(char bracket);
    void close(char bracket);
    void comma();
    void quote(std::string_view text);

    std::string& out_;
    bool needs_comma_ = false;
    bool breaks_line_ = false;
};

} // namespace zsync::packet::analysis
