// What is kept of the messages of an interface: the last ones, up to two limits.
#include <zsync/packet/analysis/json_writer.hpp>
#include <zsync/packet/analysis/limits.hpp>
#include <zsync/packet/analysis/messages.hpp>

#include <gtest/gtest.h>

#include <string>

namespace zsync::packet::analysis {
namespace {

std::string text_of(const RecentMessages& messages) {
    std::string text;
    JsonWriter json(text);
    json.begin_object();
    messages.write(json);
    json.end_object();
    return text;
}

TEST(RecentMessages, one_more_than_the_limit_costs_the_oldest_its_place) {
    RecentMessages messages;
    for (std::size_t i = 0; i < limits::messages_kept_max; ++i) {
        messages.add(std::to_string(i));
    }
    EXPECT_EQ(messages.size(), limits::messages_kept_max);
    EXPECT_EQ(messages.left_out(), 0);
    messages.add("9999");
    EXPECT_EQ(messages.size(), limits::messages_kept_max);
    EXPECT_EQ(messages.left_out(), 1);
    const std::string text = text_of(messages);
    EXPECT_TRUE(text.contains("\"left_out\": 1, \"list\": [\n1,\n2,")) << text.substr(0, 60);
    EXPECT_TRUE(text.contains(",\n9999]"));
}

TEST(RecentMessages, bytes_have_a_limit_of_their_own) {
    const std::string half(limits::messages_kept_bytes_max / 2, '1');
    RecentMessages messages;
    messages.add(half);
    messages.add(half);
    EXPECT_EQ(messages.size(), 2);
    messages.add("2");
    EXPECT_EQ(messages.size(), 2);
    EXPECT_EQ(messages.left_out(), 1);
}

TEST(RecentMessages, none_is_an_empty_list) {
    EXPECT_EQ(text_of({}), "{\n\"messages\": {\"left_out\": 0, \"list\": []}}");
}

} // namespace
} // namespace zsync::packet::analysis
