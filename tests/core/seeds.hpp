// Seeds of simulations: so many, or the one to replay.
#pragma once

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

/// 1 to `last`, or the one to replay.
inline std::vector<std::uint64_t> seeds_to(std::uint64_t last) {
    if (const char* one = seed_to_replay()) {
        return {std::strtoull(one, nullptr, 10)};
    }
    std::vector<std::uint64_t> seeds(last);
    std::iota(seeds.begin(), seeds.end(), 1);
    return seeds;
}

/// For SCOPED_TRACE: how a person sees it again.
inline std::string replay_of(std::uint64_t seed) {
    return "replay: ./dev fuzz --seed " + std::to_string(seed);
}

} // namespace zsync
