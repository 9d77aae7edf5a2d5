#include <zsync/core/blocking_executor.hpp>
#include <zsync/core/buffer_pool.hpp>
#include <zsync/core/ledger.hpp>
#include <zsync/core/limits.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <source_location>
#include <string>
#include <utility>
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

namespace {

template <std::size_t N> std::source_location place() { return std::source_location::current(); }

template <std::size_t... N> void note_streams(BufferPool& pool, std::index_sequence<N...>) {
    (pool.note_stream("recv stream", place<N>()), ...);
}

std::size_t places_in(const std::string& text) {
    std::size_t count = 0;
    for (std::size_t at = 0; (at = text.find("ledger_test.cpp:", at)) != std::string::npos; ++at) {
        ++count;
    }
    return count;
}

} // namespace

TEST(Ledger, a_pool_remembers_where_its_streams_were_made_up_to_the_limit) {
    BlockingExecutor executor;
    const auto pool = BufferPool::create(executor.io(), 2, 16);
    ASSERT_TRUE(pool);
    EXPECT_EQ((*pool)->streams_made(""), "");
    note_streams(**pool, std::make_index_sequence<limits::pool_stream_places_max - 1>());
    note_streams(**pool, std::make_index_sequence<limits::pool_stream_places_max - 1>());
    EXPECT_EQ(places_in((*pool)->streams_made("")), limits::pool_stream_places_max - 1);
    (*pool)->note_stream("send stream", place<0>());
    EXPECT_EQ(places_in((*pool)->streams_made("send stream")), 1U);
    EXPECT_EQ(places_in((*pool)->streams_made("")), limits::pool_stream_places_max);
    (*pool)->note_stream("datagram stream", place<0>());
    EXPECT_EQ((*pool)->streams_made("datagram stream"), "");
}
