// What the programs of small costs share: `PROGRAM ITERATIONS CASE...` prints of each case its name
// and its nanoseconds an operation; `PROGRAM` alone names the cases it has.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>

namespace micro {

using Seconds = std::chrono::duration<double>;

/// How long `count` operations took.
struct Case {
    std::string_view name;
    Seconds (*run)(std::uint64_t count);
};

class Stopwatch {
public:
    [[nodiscard]] Seconds elapsed() const { return std::chrono::steady_clock::now() - start_; }

private:
    std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Keeps the compiler from working a value out beforehand, or from dropping it.
template <class T> void opaque(T& value) { asm volatile("" : "+m"(value)); }

constexpr std::uint64_t live_timers = 1'000'000;
constexpr std::size_t channel_capacity = 64;

/// From one second to an hour away, another one each time.
inline std::chrono::nanoseconds time_away(std::uint64_t serial) {
    return std::chrono::nanoseconds(
        1'000'000'000 + serial * 0x9e3779b97f4a7c15ULL % 3'600'000'000'000ULL
    );
}

inline const Case* find(std::span<const Case> cases, std::string_view name) {
    for (const Case& one : cases) {
        if (one.name == name) {
            return &one;
        }
    }
    (void)std::fprintf(stderr, "no case %.*s\n", static_cast<int>(name.size()), name.data());
    std::quick_exit(2);
}

inline int run(std::span<const Case> cases, int word_count, char** words) {
    if (word_count < 3) {
        for (const Case& one : cases) {
            std::printf("%.*s\n", static_cast<int>(one.name.size()), one.name.data());
        }
        return 0;
    }
    const std::uint64_t iterations = std::strtoull(words[1], nullptr, 10);
    for (int i = 2; i < word_count; ++i) {
        const Seconds spent = find(cases, words[i])->run(iterations);
        std::printf("%s %.4f\n", words[i], spent.count() * 1e9 / static_cast<double>(iterations));
    }
    return 0;
}

} // namespace micro
