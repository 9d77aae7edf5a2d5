// Memory in use, and the one line that the programs of sleepers print.
#pragma once

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

namespace bench {

/// Anonymous and shared memory of this process.
inline std::uint64_t resident_bytes() {
    std::ifstream status("/proc/self/status");
    std::uint64_t bytes = 0;
    for (std::string line; std::getline(status, line);) {
        std::istringstream words(line);
        std::string name;
        std::uint64_t kib = 0;
        words >> name >> kib;
        if (name == "RssAnon:" || name == "RssShmem:") {
            bytes += kib * 1024;
        }
    }
    return bytes;
}

inline void print_sleepers(
    std::uint64_t bytes, std::uint64_t count, double spawn_ms, double wake_ms, double cancel_ms
) {
    std::printf(
        R"({"bytes":%.1f,"spawn_ms":%.1f,"wake_ms":%.1f,"cancel_ms":%.1f})"
        "\n",
        static_cast<double>(bytes) / static_cast<double>(count),
        spawn_ms,
        wake_ms,
        cancel_ms
    );
}

} // namespace bench
