#include <gtest/gtest.h>

#include <zsyncctl/quantity.hpp>

namespace zsyncctl {
namespace {

TEST(Quantity, duration_shows_its_two_largest_units) {
    EXPECT_EQ(duration_text(0), "0 ms");
    EXPECT_EQ(duration_text(999), "999 ms");
    EXPECT_EQ(duration_text(1000), "1 s");
    EXPECT_EQ(duration_text(125'000), "2 min 5 s");
    EXPECT_EQ(duration_text(3'600'000), "1 h");
    EXPECT_EQ(duration_text(3'605'000), "1 h");
    EXPECT_EQ(duration_text(694'800'000), "8 d 1 h");
}

TEST(Quantity, latency_has_a_unit_that_fits) {
    EXPECT_EQ(latency_text(870), "870 us");
    EXPECT_EQ(latency_text(12'340), "12.3 ms");
    EXPECT_EQ(latency_text(1'250'000), "1.25 s");
}

TEST(Quantity, rate_has_three_digits) {
    EXPECT_EQ(rate_text(std::nullopt), "-");
    EXPECT_EQ(rate_text(0), "0");
    EXPECT_EQ(rate_text(4.2), "4.20");
    EXPECT_EQ(rate_text(98.13), "98.1");
    EXPECT_EQ(rate_text(999.4), "999");
    EXPECT_EQ(rate_text(999.5), "1.00k");
    EXPECT_EQ(rate_text(12'345), "12.3k");
    EXPECT_EQ(rate_text(1'250'000), "1.25M");
    EXPECT_EQ(rate_text(9.999), "10.0");
    EXPECT_EQ(rate_text(5e17), "500000T");
}

TEST(Quantity, nouns_are_counted) {
    EXPECT_EQ(counted(0, "rule"), "0 rules");
    EXPECT_EQ(counted(1, "rule"), "1 rule");
    EXPECT_EQ(counted(1, "prefix"), "1 prefix");
    EXPECT_EQ(counted(2, "prefix"), "2 prefixes");
}

TEST(Quantity, time_zero_is_never) {
    EXPECT_EQ(time_text(0), "never");
    EXPECT_TRUE(time_text(86'400'000'000 * 365).starts_with("19"))
        << time_text(86'400'000'000 * 365);
}

} // namespace
} // namespace zsyncctl
