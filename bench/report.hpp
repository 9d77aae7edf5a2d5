// Rows for `./dev bench`.
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <string_view>
#include <vector>

namespace zsync::bench {

inline double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::ranges::nth_element(values, middle);
    return *middle;
}

/// One row: `ours` against `peer`, and whether `ratio` is at most `goal`.
inline void print_ratio(
    std::string_view what,
    double ours,
    double peer,
    std::string_view unit,
    double ratio,
    double goal
) {
    std::printf(
        R"({"what":"%.*s","ours":%.2f,"peer":%.2f,"unit":"%.*s","ratio":%.3f,"goal":%g,"reached":%s})"
        "\n",
        static_cast<int>(what.size()),
        what.data(),
        ours,
        peer,
        static_cast<int>(unit.size()),
        unit.data(),
        ratio,
        goal,
        ratio <= goal ? "true" : "false"
    );
    static_cast<void>(std::fflush(stdout));
}

/// One row without a peer: `ours` is to be at most `goal`.
inline void print_limit(std::string_view what, double ours, std::string_view unit, double goal) {
    std::printf(
        R"({"what":"%.*s","ours":%.2f,"peer":null,"unit":"%.*s","ratio":null,"goal":%g,"reached":%s})"
        "\n",
        static_cast<int>(what.size()),
        what.data(),
        ours,
        static_cast<int>(unit.size()),
        unit.data(),
        goal,
        ours <= goal ? "true" : "false"
    );
    static_cast<void>(std::fflush(stdout));
}

/// A benchmark's `main`: runs `measure`, and says why where that throws.
inline int run_bench(const std::function<void()>& measure) {
    try {
        measure();
    } catch (const std::exception& error) {
        std::cerr << error.what() << '\n';
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

} // namespace zsync::bench
