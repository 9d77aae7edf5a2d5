// Seeds of simulations: so many, or the one to replay.
#pragma once

#include <zsync/core/assert.hpp>

#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

namespace zsync {

/// The seed that `./dev fuzz --seed N` asks for; null where nothing is replayed.
inline const char* seed_to_replay() {
    return std::getenv("ZSYNC_SEED"); // NOLINT(concurrency-mt-unsafe): nothing sets it here
}

/// Others than the usual ones: ZSYNC_SEEDS=FIRST-LAST.
struct SeedRange {
    std::uint64_t first = 1;
    std::uint64_t last = 0;
};
inline SeedRange seeds_of_environment(SeedRange usual) {
    const char* text = std::getenv("ZSYNC_SEEDS"); // NOLINT(concurrency-mt-unsafe): as above
    if (text == nullptr) {
        return usual;
    }
    char* end = nullptr;
    const std::uint64_t first = std::strtoull(text, &end, 10);
    const std::uint64_t last = *end == '-' ? std::strtoull(end + 1, &end, 10) : 0;
    ZASSERT(*end == '\0' && first <= last, "ZSYNC_SEEDS is FIRST-LAST");
    return {.first = first, .last = last};
}

/// 1 to `last`, those that the environment has instead, or the one to replay.
inline std::vector<std::uint64_t> seeds_to(std::uint64_t last) {
    if (const char* one = seed_to_replay()) {
        return {std::strtoull(one, nullptr, 10)};
    }
    const SeedRange range = seeds_of_environment({.first = 1, .last = last});
    std::vector<std::uint64_t> seeds(range.last - range.first + 1);
    std::iota(seeds.begin(), seeds.end(), range.first);
    return seeds;
}

/// For SCOPED_TRACE: how a person sees it again.
inline std::string replay_of(std::uint64_t seed) {
    return "replay: ./dev fuzz --seed " + std::to_string(seed);
}

} // namespace zsync
