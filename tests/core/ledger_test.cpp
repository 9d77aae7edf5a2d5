#include <zsync/core/blocking_executor.hpp>
#include <zsync/core/ledger.hpp>
#include <zsync/core/limits.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <vector>

using namespace zsync;

TEST(Ledger, policy_is_read_from_words) {
    EXPECT_EQ(LeakPolicy::parse(nullptr)->action, LeakAction::report);
    EXPECT_FALSE(LeakPolicy::parse("")->trace);
    EXPECT_EQ(LeakPolicy::parse("off")->action, LeakAction::off);
    const auto both = LeakPolicy::parse("trace,fatal");
    ASSERT_TRUE(both);
    EXPECT_EQ(both->action, LeakAction::fatal);
    EXPECT_TRUE(both->trace);
    const auto wrong = LeakPolicy::parse("fatal,loud");
    ASSERT_FALSE(wrong);
    EXPECT_NE(wrong.error().message().find("\"loud\""), std::string::npos);
}

TEST(Ledger, executors_beyond_the_limit_have_no_count_of_their_own) {
    std::vector<std::unique_ptr<BlockingExecutor>> executors;
    std::set<std::uint16_t> slots;
    const auto add = [&] {
        executors.push_back(std::make_unique<BlockingExecutor>());
        return executors.back()->account().slot;
    };
    for (std::size_t n = 0; n < limits::ledger_executors_max; ++n) {
        slots.insert(add());
    }
    EXPECT_EQ(slots.size(), limits::ledger_executors_max);
    EXPECT_FALSE(slots.contains(0));
    EXPECT_EQ(add(), 0);
    executors.erase(executors.begin());
    EXPECT_NE(add(), 0) << "the place of one that has ended is free";
}
