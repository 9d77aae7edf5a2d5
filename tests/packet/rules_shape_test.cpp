// How fast an interface sends: `shape` and `class`.
#include <zsync/packet/error.hpp>
#include <zsync/packet/hook_rules.hpp>
#include <zsync/packet/limits.hpp>
#include <zsync/packet/shape_change.hpp>
#include <zsync/packet/shape_table.hpp>

#include <gtest/gtest.h>

#include <array>
#include <format>
#include <tests/packet/rules_parse.hpp>

using namespace zsync;
using namespace zsync::packet;

namespace {

constexpr std::string_view whole = R"(shape 100mbit horizon 50ms {
    class gold guarantee 60mbit
    class bulk guarantee 10mbit max 40mbit
    class default max 5mbit
}
pass out class gold proto tcp dport 443
pass out mark 0x7 class bulk proto tcp
)";

std::string classes_of(std::size_t count, std::string_view rates = "") {
    std::string text = "shape 1gbit {\n";
    for (std::size_t i = 0; i < count; ++i) {
        text += std::format("class c{}{}\n", i, rates);
    }
    return text + "}";
}

} // namespace

TEST(RulesShape, has_classes_with_guarantees_and_maxima) {
    const RuleSet rules = rules_of(whole);
    ASSERT_TRUE(rules.shape);
    const Shape expected{
        .rate = 100'000'000,
        .horizon_ms = 50,
        .classes =
            {
                {.name = "default", .guarantee = 0, .max = 5'000'000},
                {.name = "gold", .guarantee = 60'000'000, .max = 100'000'000},
                {.name = "bulk", .guarantee = 10'000'000, .max = 40'000'000},
            },
    };
    EXPECT_EQ(*rules.shape, expected);
    EXPECT_EQ(rules.rules.at(0).actions.shape_class, "gold");
    EXPECT_EQ(rules.rules.at(1).text, "pass out mark 0x7 class bulk proto tcp");
}

TEST(RulesShape, survives_being_written_down) {
    for (const std::string_view text :
         {std::string_view("shape 8kbit"),
          std::string_view("SHAPE 100GBIT HORIZON 2000MS {\n}"),
          whole,
          std::string_view(
              "shape 1500kbit {\n\n class a # fast\n class b max 1mbit }\npass out class a"
          )}) {
        SCOPED_TRACE(text);
        const RuleSet rules = rules_of(text);
        const std::string written = format_rules(rules);
        EXPECT_EQ(rules_of(written), rules) << written;
        EXPECT_EQ(format_rules(rules_of(written)), written);
    }
}

TEST(RulesShape, is_of_what_the_interface_sends_alone) {
    const RuleSet rules =
        rules_of("shape 1mbit\ndrop from 10.0.0.0/8\ncgroup /a {\n drop out\n}\n");
    ASSERT_EQ(rules.hooks.size(), 2U);
    EXPECT_FALSE(rules_of_hook(rules, 0).shape);
    EXPECT_EQ(rules_of_hook(rules, 1).shape, rules.shape);
    EXPECT_FALSE(rules_of_hook(rules, 2).shape);
}

TEST(RulesShape, errors_say_where_and_what_to_write) {
    struct Case {
        std::string_view text;
        std::string_view message;
    };
    constexpr std::string_view rates = "; hint: Nbit, Nkbit, Nmbit or Ngbit, from 8kbit to 100gbit";
    const std::array cases{
        Case{"shape", "r:1:6: error: the end of the file where a rate should be"},
        Case{"shape 7999bit", "r:1:7: error: '7999bit' where a rate should be"},
        Case{"shape 101gbit", "r:1:7: error: '101gbit' where a rate should be"},
        Case{"shape 10/s", "r:1:7: error: '10/s' where a rate should be"},
        Case{
            "shape 1mbit horizon 2001ms",
            "r:1:21: error: '2001ms' where a time should be; hint: Nms, from 1 to 2000"
        },
        Case{
            "shape 1mbit horizon 0ms",
            "r:1:21: error: '0ms' where a time should be; hint: Nms, from 1 to 2000"
        },
        Case{
            "shape 1mbit fast",
            "r:1:13: error: 'fast' where the end of the line should be; hint: one statement a line"
        },
        Case{
            "shape 1mbit\nshape 2mbit",
            "r:2:1: error: shape is given twice; hint: it stands on line 1 already"
        },
        Case{
            "shape 1mbit {\nclass a max 2mbit\n}",
            "r:2:7: error: class a has a maximum of 2mbit, over the shape's 1mbit; hint: write max "
            "1mbit or less, or no max, which is all of the shape"
        },
        Case{
            "shape 1mbit {\nclass a guarantee 2mbit\nclass default max 3mbit\n}",
            "r:2:7: error: class a has a guarantee of 2mbit, over the shape's 1mbit; hint: write "
            "guarantee 1mbit or less\n"
            "r:3:7: error: class default has a maximum of 3mbit, over the shape's 1mbit; hint: "
            "write max 1mbit or less, or no max, which is all of the shape"
        },
        Case{
            "shape 1mbit {\nclass a guarantee 20kbit max 10kbit\n}",
            "r:2:7: error: class a has a guarantee of 20kbit, over its maximum of 10kbit; hint: "
            "write guarantee 10kbit or less, or a greater max"
        },
        Case{
            "shape 1mbit {\nclass a guarantee 600kbit\nclass b guarantee 401kbit\n}",
            "r:1:1: error: the classes' guarantees are 1001kbit together, and the shape has "
            "1mbit; hint: guarantee less"
        },
        Case{"shape 1mbit {\nclass a\nclass a\n}", "r:3:7: error: the class 'a' is given twice"},
        Case{
            "shape 1mbit {\nclass a max 1mbit max 1mbit\n}",
            "r:2:19: error: max is given twice; hint: each of guarantee and max once a class"
        },
        Case{
            "shape 1mbit {\nclass a most 1mbit\nclass 4\n}",
            "r:2:9: error: 'most' where guarantee, max or the end of the line should be; hint: one "
            "class a line\n"
            "r:3:7: error: '4' where the name of a class should be; hint: a name is a letter, then "
            "letters, digits, _ . or -, at most 63 bytes"
        },
        Case{
            "shape 1mbit {\nclas a\n}\n",
            "r:2:1: error: 'clas' where class or } should be; hint: class NAME guarantee RATE max "
            "RATE, one a line"
        },
        Case{
            "shape 1mbit {\nclass a\npass out class a",
            "r:3:1: error: 'pass' inside a shape; hint: close the { of line 1 first\n"
            "r:3:10: error: class a without a shape; hint: write shape RATE {, class a, } on lines "
            "of their own"
        },
        Case{"shape 1mbit {", "r:1:13: error: the { is not closed; hint: close it with }"},
        Case{
            "cgroup /a {\nshape 1mbit\n}",
            "r:2:1: error: shape inside a cgroup block; hint: it stands outside, for the interface"
        },
        Case{
            "pass out class a",
            "r:1:10: error: class a without a shape; hint: write shape RATE {, class a, } on lines "
            "of their own"
        },
        Case{
            "pass out class golt\nshape 1mbit {\nclass gold\n}",
            "r:1:10: error: the shape has no class 'golt'; hint: did you mean gold"
        },
        Case{
            "shape 1mbit {\nclass a\n}\npass class a",
            "r:4:6: error: class in a rule for what is not sent by this interface; hint: write it "
            "with out, outside of a cgroup block"
        },
        Case{
            "shape 1mbit {\nclass a\n}\ncgroup /a {\npass out class a\n}",
            "r:5:10: error: class in a rule for what is not sent by this interface; hint: write it "
            "with out, outside of a cgroup block"
        },
        Case{
            "shape 1mbit {\nclass a\n}\ndrop out class a",
            "r:4:10: error: class in a rule that drops; hint: write pass out class NAME"
        },
    };
    for (const Case& bad : cases) {
        std::string expected(bad.message);
        if (expected.ends_with("a rate should be")) {
            expected += rates;
        }
        EXPECT_EQ(errors_of(bad.text), expected) << bad.text;
    }
}

TEST(RulesShape, has_so_many_classes_and_no_more) {
    EXPECT_EQ(errors_of(classes_of(limits::shape_classes_max - 1)), "");
    EXPECT_EQ(
        errors_of(classes_of(limits::shape_classes_max)),
        std::format(
            "r:{}:7: error: more than {} classes",
            limits::shape_classes_max + 1,
            limits::shape_classes_max
        )
    );
}

TEST(RulesShape, guarantees_may_take_all_of_it) {
    EXPECT_EQ(errors_of(classes_of(10, " guarantee 100mbit")), "");
    EXPECT_NE(errors_of(classes_of(11, " guarantee 100mbit")), "");
}

TEST(RulesShape, a_class_gets_other_rates_and_the_rest_stays) {
    RuleSet rules = rules_of(whole);
    EXPECT_EQ(
        change_class(rules, "bulk", "max 50mbit").value(), "class bulk guarantee 10mbit max 50mbit"
    );
    EXPECT_EQ(
        change_class(rules, "default", "guarantee 1mbit max 2mbit").value(),
        "class default guarantee 1mbit max 2mbit"
    );
    RuleSet expected = rules_of(whole);
    expected.shape->classes[0] = {.name = "default", .guarantee = 1'000'000, .max = 2'000'000};
    expected.shape->classes[2].max = 50'000'000;
    EXPECT_EQ(rules_of(format_rules(rules)), expected);
    EXPECT_EQ(
        change_class(rules, "silver", "max 1mbit").error().message(),
        "the loaded shape has no class 'silver'"
    );
    for (const std::string_view bad :
         {"",
          "max",
          "max 1",
          "max 1mbit max 2mbit",
          "most 1mbit",
          "max 1mbit ",
          "max 101gbit",
          "guarantee 1mbit class x"}) {
        const auto refused = change_class(rules, "gold", bad);
        ASSERT_FALSE(refused) << bad;
        EXPECT_EQ(refused.error().error, Error(PacketError::invalid_rules));
    }
    RuleSet plain = rules_of("drop out\n");
    EXPECT_EQ(
        change_class(plain, "gold", "max 1mbit").error().error, Error(PacketError::no_such_class)
    );
}

TEST(RulesShape, the_whole_gets_another_rate_and_classes_without_a_maximum_follow) {
    constexpr std::string_view text = "shape 100mbit {\nclass gold guarantee 60mbit\n"
                                      "class bulk guarantee 10mbit max 40mbit\n}\n"
                                      "pass out class gold proto tcp dport 443\n";
    RuleSet rules = rules_of(text);
    EXPECT_EQ(change_shape(rules, "80mbit").value(), "shape 80mbit horizon 100ms");
    RuleSet expected = rules_of(text);
    expected.shape->rate = 80'000'000;
    expected.shape->classes[0].max = 80'000'000;
    expected.shape->classes[1].max = 80'000'000;
    EXPECT_EQ(rules, expected);
    EXPECT_EQ(rules_of(format_rules(rules)), expected);
    EXPECT_EQ(change_shape(rules, "horizon 50ms").value(), "shape 80mbit horizon 50ms");
    expected.shape->horizon_ms = 50;
    EXPECT_EQ(rules_of(format_rules(rules)), expected);
    EXPECT_EQ(change_shape(rules, "1gbit horizon 2000ms").value(), "shape 1gbit horizon 2000ms");
    for (const std::string_view bad :
         {"",
          "horizon",
          "80mbit horizon",
          "80mbit horizon 0ms",
          "80mbit horizon 2001ms",
          "80mbit horizon 5s",
          "80mbit 50ms",
          "80mbit ",
          "7kbit",
          "101gbit",
          "horizon 50ms 80mbit",
          "80mbit horizon 50ms {"}) {
        const auto refused = change_shape(rules, bad);
        ASSERT_FALSE(refused) << bad;
        EXPECT_EQ(refused.error().error, Error(PacketError::invalid_rules)) << bad;
        EXPECT_NE(refused.error().message().find("hint: 80mbit"), std::string::npos);
    }
    RuleSet plain = rules_of("drop out\n");
    EXPECT_EQ(change_shape(plain, "1mbit").error().error, Error(PacketError::no_such_class));
}

TEST(RulesShape, a_rate_of_the_whole_that_its_classes_exceed_is_no_shape) {
    RuleSet rules =
        rules_of("shape 100mbit {\nclass gold guarantee 60mbit\nclass bulk max 40mbit\n}\n");
    const auto refusal = [](const auto& change, std::string_view words) {
        ASSERT_FALSE(change);
        EXPECT_EQ(change.error().error, Error(PacketError::invalid_rules));
        EXPECT_EQ(change.error().message(), words);
    };
    RuleSet changed = rules;
    refusal(
        change_shape(changed, "50mbit"),
        "class gold has a guarantee of 60mbit, over the shape's 50mbit; hint: write guarantee "
        "50mbit or less"
    );
    changed = rules;
    refusal(
        change_class(changed, "bulk", "max 101mbit"),
        "class bulk has a maximum of 101mbit, over the shape's 100mbit; hint: write max 100mbit or "
        "less, or no max, which is all of the shape"
    );
    changed = rules;
    refusal(
        change_class(changed, "bulk", "guarantee 41mbit max 41mbit"),
        "the classes' guarantees are 101mbit together, and the shape has 100mbit; hint: guarantee "
        "less"
    );
}

TEST(RulesShape, classes_keep_their_clocks_by_their_names) {
    const auto shape_of = [](std::string_view text) { return rules_of(text).shape.value(); };
    const Shape first = shape_of("shape 1mbit {\nclass a\nclass b\n}");
    const auto slots = assign_classes(first, std::nullopt);
    EXPECT_EQ(slots, (std::vector<std::uint32_t>{1, 2, 3}));
    const LiveShape live{.shape = first, .slots = slots};
    EXPECT_EQ(
        assign_classes(shape_of("shape 2mbit {\nclass c\nclass b\n}"), live),
        (std::vector<std::uint32_t>{1, 4, 3})
    );
    // All of one shape and all of another, of other names, have room beside each other.
    LiveShape full{.shape = shape_of(classes_of(limits::shape_classes_max - 1)), .slots = {}};
    full.slots = assign_classes(full.shape, std::nullopt);
    Shape others = full.shape;
    for (ShapeClass& one : others.classes) {
        one.name += "x";
    }
    const auto more = assign_classes(others, full);
    EXPECT_EQ(more.front(), limits::shape_classes_max + 1);
    EXPECT_EQ(more.back(), limits::shape_slots - 1);
}
