// D-Bus signatures as compile-time strings.
#pragma once

#include <algorithm>
#include <cstddef>

namespace zsync::bus {

/// A string made at compile time, of `N` characters and a NUL.
template <std::size_t N> struct FixedString {
    char text[N + 1]{}; // NOLINT(modernize-avoid-c-arrays): deduced from a literal

    consteval FixedString() = default;
    consteval FixedString(const char (&literal)[N + 1]) { // NOLINT(google-explicit-constructor)
        std::copy_n(literal, N + 1, text);
    }
    [[nodiscard]] constexpr const char* c_str() const noexcept { return text; }
};
template <std::size_t N> FixedString(const char (&)[N]) -> FixedString<N - 1>;

template <std::size_t A, std::size_t B>
consteval FixedString<A + B> operator+(const FixedString<A>& a, const FixedString<B>& b) {
    FixedString<A + B> joined;
    std::copy_n(a.text, A, joined.text);
    std::copy_n(b.text, B, joined.text + A);
    return joined;
}

} // namespace zsync::bus
