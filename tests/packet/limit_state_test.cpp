// The arithmetic of limits by a made clock: sliding windows against counts that nothing shortens.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <vector>
extern "C" {
#include <bpf/limit_state.h>
}

namespace {

/// What passed in each window, and nothing forgotten. It follows what was decided, and says what
/// may be decided next.
class WholeCounts {
public:
    explicit WholeCounts(std::uint64_t length) : length_(length) {}

    /// What a packet of `cost` makes of the sum, times the window's length, so that it is whole:
    /// over the limit when it is more than `most + 1` lengths.
    [[nodiscard]] unsigned __int128 sum(std::uint64_t now_ns, std::uint64_t cost, double error) {
        const std::uint64_t at = now_ns >> 10;
        const std::uint64_t window = at / length_;
        const std::uint64_t covered = length_ - at % length_;
        auto former = static_cast<unsigned __int128>(count(window - 1));
        former += static_cast<unsigned __int128>(static_cast<double>(former) * error);
        return static_cast<unsigned __int128>(count(window) + cost) * length_ + former * covered;
    }
    void add(std::uint64_t now_ns, std::uint64_t cost) {
        counts_[(now_ns >> 10) / length_] += cost;
    }

private:
    [[nodiscard]] std::uint64_t count(std::uint64_t window) const {
        const auto found = counts_.find(window);
        return found == counts_.end() ? 0 : found->second;
    }

    std::uint64_t length_;
    std::map<std::uint64_t, std::uint64_t> counts_;
};

constexpr std::uint64_t name_of_seconds = ZSYNC_NAME_USED | ZSYNC_NAME_SLIDING;

/// The clock at the beginning of a window, and `parts` of 1,000 into it.
std::uint64_t at(std::uint64_t window, std::uint64_t length, std::uint64_t parts = 0) {
    return (window * length + length * parts / 1000 + 1) << 10;
}

bool passes(
    __u64& state,
    std::uint64_t now_ns,
    std::uint64_t length,
    std::uint64_t most,
    std::uint64_t cost = 1
) {
    return zsync_sliding(&state, now_ns, length, cost, cost, most) == 0;
}

} // namespace

TEST(LimitState, sliding_agrees_with_whole_counts_over_all_pauses) {
    const std::uint64_t seed = std::random_device{}();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    std::mt19937_64 random(seed);
    const auto below = [&](std::uint64_t end) { return random() % end; };
    std::uint64_t passed = 0;
    std::uint64_t limited = 0;
    for (int round = 0; round < 400; ++round) {
        const std::uint64_t length = zsync_window_length(static_cast<std::uint32_t>(below(4)));
        const bool small = round % 2 == 0;
        const std::uint64_t most = small ? 1 + below(511) : 1 + below(ZSYNC_WINDOW_COUNT_MAX);
        WholeCounts whole(length);
        __u64 state = 0;
        std::uint64_t now_ns = at(below(1'000'000'000), 976'563, below(1000));
        for (int step = 0; step < 1500; ++step) {
            if (below(60) == 0) {
                // Pauses around 1 and 2 windows, and around each size that a number could have.
                const std::uint64_t sizes[] = {0, 1U << 8, 1U << 15, 1U << 16, 1U << 17, 1U << 24};
                // A clock of nanoseconds has room for so long a pause in each round.
                const std::uint64_t windows_max = (std::uint64_t{1} << 48) / length;
                const std::uint64_t windows = std::min(
                    std::max<std::uint64_t>(sizes[below(std::size(sizes))] + below(20), 18) - 18,
                    windows_max
                );
                now_ns += (windows * length + below(length)) << 10;
            } else {
                now_ns += below(std::max<std::uint64_t>(length * 8, most) / most + 1) << 10;
            }
            const std::uint64_t cost = small ? 1 : 1 + below(std::max<std::uint64_t>(most / 40, 1));
            const auto end = static_cast<unsigned __int128>(most + 1) * length;
            const bool may = whole.sum(now_ns, cost, 0) < end;
            const bool must =
                whole.sum(now_ns, cost, small ? 0 : 1.0 / 256) + (small ? 0 : length) < end;
            const bool does = passes(state, now_ns, length, most, cost);
            ASSERT_LE(does, may) << "more than the limit: most " << most << ", step " << step;
            ASSERT_GE(does, must) << "less than the limit: most " << most << ", step " << step;
            if (does) {
                whole.add(now_ns, cost);
            }
            ++(does ? passed : limited);
        }
    }
    EXPECT_GT(passed, 50'000U);
    EXPECT_GT(limited, 50'000U);
}

TEST(LimitState, sliding_takes_no_old_count_for_a_present_one) {
    constexpr std::uint64_t length = ZSYNC_WINDOW_SECOND;
    for (std::uint64_t idle = 2; idle < (1U << 17) + 32; ++idle) {
        __u64 state = 0;
        ASSERT_TRUE(passes(state, at(500, length), length, 1));
        ASSERT_FALSE(passes(state, at(500, length), length, 1));
        ASSERT_TRUE(zsync_limit_is_fresh(name_of_seconds, state, at(500 + idle, length))) << idle;
        ASSERT_TRUE(passes(state, at(500 + idle, length), length, 1)) << idle << " windows later";
    }
}

TEST(LimitState, sliding_counts_the_former_window_by_what_is_left_of_it) {
    constexpr std::uint64_t length = ZSYNC_WINDOW_SECOND;
    constexpr std::uint64_t most = 400;
    for (const std::uint64_t parts : {0U, 1U, 250U, 500U, 750U, 999U}) {
        __u64 state = 0;
        std::uint64_t first = 0;
        while (passes(state, at(7, length), length, most)) {
            ++first;
        }
        EXPECT_EQ(first, most);
        std::uint64_t second = 0;
        while (passes(state, at(8, length, parts), length, most)) {
            ++second;
        }
        EXPECT_LE(second, most * parts / 1000 + 1) << parts;
        EXPECT_GE(second, most * parts / 1000) << parts;
    }
}

TEST(LimitState, sliding_with_a_clock_that_is_behind_counts_into_the_later_window) {
    constexpr std::uint64_t length = ZSYNC_WINDOW_SECOND;
    __u64 state = 0;
    ASSERT_TRUE(passes(state, at(9, length, 10), length, 10));
    EXPECT_FALSE(zsync_limit_is_fresh(name_of_seconds, state, at(8, length, 999)));
    for (int i = 0; i < 9; ++i) {
        EXPECT_TRUE(passes(state, at(8, length, 999), length, 10));
    }
    EXPECT_FALSE(passes(state, at(8, length, 999), length, 10));
    EXPECT_FALSE(passes(state, at(9, length, 10), length, 10));
}

TEST(LimitState, a_former_count_is_kept_to_its_first_nine_bits_and_never_as_less) {
    for (std::uint64_t count = 0; count <= ZSYNC_WINDOW_COUNT_MAX; ++count) {
        const std::uint64_t packed = zsync_pack_former(count);
        const std::uint64_t kept = zsync_unpack_former(packed);
        ASSERT_LE(packed, ZSYNC_WINDOW_FORMER_MASK) << count;
        ASSERT_GE(kept, count);
        ASSERT_LE(kept - count, count < 512 ? 0 : count / 256) << count;
    }
}
