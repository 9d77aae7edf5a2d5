#include <gtest/gtest.h>

#include <string>
#include <zsyncctl/table.hpp>

namespace zsyncctl {
namespace {

Table example() {
    Table table({{.title = "NAME"}, {.title = "COUNT", .align = Align::right}, {.title = "NOTE"}});
    table.row({"eth0", 7, "first"});
    table.row({"wlan-guest", 12345, ""});
    return table;
}

TEST(Table, columns_are_aligned_and_lines_end_without_spaces) {
    EXPECT_EQ(
        example().text({.color = false}),
        "NAME        COUNT  NOTE\n"
        "eth0            7  first\n"
        "wlan-guest  12345\n"
    );
}

TEST(Table, colour_changes_no_width) {
    Table table({{.title = "A"}, {.title = "B"}});
    table.row({Cell("x", Tone::bad), "y"});
    EXPECT_EQ(
        table.text({.color = true}), "\x1b[1mA\x1b[0m  \x1b[1mB\x1b[0m\n\x1b[31mx\x1b[0m  y\n"
    );
}

TEST(Table, lines_are_cut_at_the_width_of_the_screen) {
    for (std::size_t width = 1; width < 30; ++width) {
        for (const std::string& line : example().lines({.color = false}, width)) {
            EXPECT_LE(columns(line), width) << line;
        }
    }
    EXPECT_EQ(example().lines({.color = false}, 14)[2], "wlan-guest  1…");
}

TEST(Table, letters_outside_ascii_count_as_one_column) {
    Table table({{.title = "NAME"}, {.title = "N", .align = Align::right}});
    table.row({"größe", 1});
    table.row({"sizes", 2});
    EXPECT_EQ(table.text({}), "NAME   N\ngröße  1\nsizes  2\n");
}

TEST(Printable, control_characters_cannot_steer_the_terminal) {
    EXPECT_EQ(printable("a\x1b[2Jb\n"), "a\\x1b[2Jb\\x0a");
    EXPECT_EQ(printable("\x7f"), "\\x7f");
    EXPECT_EQ(printable("\xc2\x9b"), "\\xc2\\x9b"); // CSI as one C1 character
    EXPECT_EQ(
        printable("gr\xc3\xb6\xc3\x9f"
                  "e"),
        "größe"
    );
}

TEST(Printable, broken_utf8_is_made_visible) {
    EXPECT_EQ(printable("a\xff"), "a\\xff");
    EXPECT_EQ(printable("\xc3"), "\\xc3");
    EXPECT_EQ(printable("\xe2\x82x"), "\\xe2\\x82x");
}

TEST(Shortened, ends_in_an_ellipsis_where_it_was_longer) {
    EXPECT_EQ(shortened("abcdef", 6), "abcdef");
    EXPECT_EQ(shortened("abcdef", 5), "abcd…");
    EXPECT_EQ(shortened("äöü", 2), "ä…");
    EXPECT_EQ(shortened("abc", 1), "…");
    EXPECT_EQ(shortened("abc", 0), "");
}

} // namespace
} // namespace zsyncctl
