#include <zsync/core/result.hpp>

#include <gtest/gtest.h>

#include <cerrno>

using namespace zsync;

namespace {

Result<int> half(int n) {
    if (n % 2 != 0) {
        return fail(CoreError::invalid_argument);
    }
    return n / 2;
}

Result<int> quarter(int n) { return ZTRY(half(ZTRY(half(n)))); }

} // namespace

TEST(Error, is_three_words_at_most) { EXPECT_LE(sizeof(Error), 16U); }

TEST(Error, try_leaves_with_the_first_error_and_passes_values_through) {
    EXPECT_EQ(quarter(8), 2);
    EXPECT_EQ(quarter(6).error(), Error(CoreError::invalid_argument));
}

TEST(Error, os_error_says_the_systems_words) {
    EXPECT_EQ(os_error(ENOENT).message(), "No such file or directory");
    EXPECT_EQ(Error(CoreError::timed_out).message(), "timed out");
}

TEST(Error, every_code_of_the_core_has_a_name_and_a_text) {
    for (const ErrorEntry& entry : core_errors.entries) {
        EXPECT_FALSE(entry.name.empty());
        EXPECT_FALSE(entry.text.empty());
    }
}
