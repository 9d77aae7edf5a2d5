#include <zsync/packet/desired.hpp>
#include <zsync/packet/error.hpp>
#include <zsync/packet/limits.hpp>

#include <gtest/gtest.h>

#include <array>
#include <format>
#include <limits>

using namespace zsync;
using namespace zsync::packet;

namespace {

std::string wrong(std::string_view text) {
    const auto desired = decode(text);
    EXPECT_TRUE(desired || desired.error().error == PacketError::invalid_desired_state);
    return desired ? "" : desired.error().message();
}

} // namespace

TEST(DesiredInterface, is_text_a_person_can_read) {
    const DesiredInterface desired{
        .name = "eth0",
        .mode = AttachMode::native,
        .source = "/etc/zsync/my rules",
        .rules = "default drop\n",
        .load_realtime_us = 1'764'000'000'000'000,
    };
    EXPECT_EQ(
        encode(desired),
        "zsync-packet 1\ninterface eth0\nmode native\nsource /etc/zsync/my rules\n"
        "loaded 1764000000000000\n\ndefault drop\n"
    );
}

TEST(DesiredInterface, keeps_temporary_rules_with_their_expiry) {
    DesiredInterface desired;
    desired.name = "eth0";
    desired.rules = "default drop\n";
    desired.temporary = {
        {.text = "drop from 192.0.2.7 name \"50 % \xc3\xa9\"", .expires_realtime_us = 1'764},
        {.text = "pass out", .expires_realtime_us = 5},
    };
    const std::string text = encode(desired);
    EXPECT_TRUE(text.contains("\ntemporary 5 pass out\n\ndefault drop\n")) << text;
    EXPECT_EQ(decode(text).value(), desired);
    for (const auto* line :
         {"temporary", "temporary 5", "temporary 5 default drop", "temporary x drop"}) {
        std::string wrong_text = text;
        wrong_text.replace(wrong_text.find("temporary 5 pass out"), 20, line);
        EXPECT_TRUE(wrong(wrong_text).contains("something before the rules")) << line;
    }
}

TEST(DesiredInterface, temporary_rules_at_their_limit) {
    DesiredInterface desired;
    desired.name = "eth0";
    for (std::size_t i = 0; i < limits::temporary_rules_max; ++i) {
        desired.temporary.push_back({.text = std::format("drop vlan {}", i)});
    }
    EXPECT_EQ(decode(encode(desired)).value(), desired);
    desired.temporary.push_back({.text = "drop"});
    EXPECT_FALSE(decode(encode(desired)));
}

TEST(DesiredInterface, comes_back_whatever_is_in_it) {
    using namespace std::string_literals;
    const std::array cases{
        DesiredInterface{
            .name = "lo", .mode = {}, .source = "", .rules = "", .load_realtime_us = 0
        },
        DesiredInterface{
            .name = "e%\"\xc3\xa9",
            .mode = AttachMode::generic,
            .source = "a\nb\0c%41\x7f \xff"s,
            .rules = "\n\nzsync-packet 1\n\0"s,
            .load_realtime_us = std::numeric_limits<std::uint64_t>::max()
        },
    };
    for (const DesiredInterface& desired : cases) {
        const auto back = decode(encode(desired));
        ASSERT_TRUE(back) << back.error().message();
        EXPECT_EQ(*back, desired);
    }
}

TEST(DesiredInterface, what_it_did_not_write_is_refused_with_the_line) {
    constexpr std::string_view where = " of the saved packet filter state has ";
    const auto line = [&](int number, std::string_view words) {
        return "line " + std::to_string(number) + std::string(where) + std::string(words);
    };
    const std::string head = "zsync-packet 1\n";
    const std::string name = head + "interface eth0\n";
    const std::string mode = name + "mode auto\n";
    const std::string source = mode + "source x\n";
    EXPECT_EQ(wrong(""), line(1, "the text ends"));
    EXPECT_EQ(wrong("zsync-packet 2\n"), line(1, "an unknown format"));
    EXPECT_EQ(wrong(head), line(2, "the text ends"));
    EXPECT_EQ(wrong(head + "interfaces eth0\n"), line(2, "no interface"));
    EXPECT_EQ(wrong(head + "interface\n"), line(2, "no interface"));
    EXPECT_EQ(wrong(head + "interface ../x\n"), line(2, "a name that is no interface's"));
    EXPECT_EQ(wrong(head + "interface %4\n"), line(2, "a damaged interface"));
    EXPECT_EQ(wrong(head + "interface %zz\n"), line(2, "a damaged interface"));
    EXPECT_EQ(wrong(head + "interface %41\n"), line(2, "a damaged interface"));
    EXPECT_EQ(wrong(name + "mode fast\n"), line(3, "an unknown mode"));
    EXPECT_EQ(wrong(mode + "mode auto\n"), line(4, "no source"));
    EXPECT_EQ(wrong(source + "loaded -1\n\n"), line(5, "a time that is no number"));
    EXPECT_EQ(wrong(source + "loaded 01\n\n"), line(5, "a time that is no number"));
    EXPECT_EQ(
        wrong(source + "loaded 99999999999999999999999\n\n"), line(5, "a time that is no number")
    );
    EXPECT_EQ(wrong(source + "loaded 1\nx\n"), line(6, "something before the rules"));
    const std::string whole = source + "loaded 1\n\n";
    EXPECT_EQ(wrong(whole + std::string(limits::file_bytes_max, 'x')), "");
    EXPECT_EQ(
        wrong(whole + std::string(limits::file_bytes_max + 1, 'x')),
        line(6, std::format("over {} bytes of rules behind it", limits::file_bytes_max))
    );
}

TEST(DesiredInterface, document_names_are_safe_and_one_to_one) {
    EXPECT_EQ(document_name("eth0"), "packet.eth0");
    EXPECT_EQ(document_name("a/../b c%\xff"), "packet.a%2F..%2Fb%20c%25%FF");
}

TEST(AttachMode, names) {
    for (const AttachMode mode : {AttachMode::automatic, AttachMode::native, AttachMode::generic}) {
        EXPECT_EQ(attach_mode_from(name_of(mode)).value(), mode);
    }
    EXPECT_EQ(
        attach_mode_from("fast").error().message(), "'fast' is no mode: auto, native or generic"
    );
}

TEST(AttachMode, interface_names_are_those_the_kernel_takes) {
    using namespace std::string_view_literals;
    for (const std::string_view good :
         {"e"sv, "eth0.100"sv, "..."sv, "123456789012345"sv, "\xff"sv}) {
        EXPECT_TRUE(is_interface_name(good)) << good;
    }
    for (const std::string_view bad :
         {""sv, "."sv, ".."sv, "a/b"sv, "a:1"sv, "a b"sv, "a\n"sv, "a\0b"sv, "1234567890123456"sv
         }) {
        EXPECT_FALSE(is_interface_name(bad)) << bad;
    }
}

namespace {

std::string wrong_forwards(std::string_view text) {
    const auto forwards = decode_forwards(text);
    EXPECT_TRUE(forwards || forwards.error().error == PacketError::invalid_desired_state);
    return forwards ? "" : forwards.error().message();
}

std::vector<DesiredForward> pairs(std::size_t count) {
    std::vector<DesiredForward> forwards;
    for (std::size_t i = 0; i < count; ++i) {
        forwards.push_back({{std::format("a{}", i), std::format("b{}", i)}, i % 2 == 0});
    }
    return forwards;
}

} // namespace

TEST(DesiredForwards, are_text_a_person_can_read) {
    const std::vector<DesiredForward> forwards{
        {{"eth0", "eth1"}, false}, {{"rewrite", "odd%\xc3\xa9"}, true}, {{"a", "rewrite1"}, false}
    };
    const std::string text = encode_forwards(forwards);
    EXPECT_EQ(
        text,
        "zsync-forwards 1\nforward eth0 eth1\nforward rewrite odd%25%C3%A9 rewrite\n"
        "forward a rewrite1\n"
    );
    EXPECT_EQ(decode_forwards(text).value(), forwards);
    EXPECT_EQ(decode_forwards(encode_forwards({})).value(), std::vector<DesiredForward>());
    // A port of this name stands where the word could.
    const std::vector<DesiredForward> named{{{"a", "rewrite"}, false}};
    EXPECT_EQ(decode_forwards(encode_forwards(named)).value(), named);
}

TEST(DesiredForwards, say_what_is_wrong) {
    const std::string first = "zsync-forwards 1\n";
    EXPECT_TRUE(wrong_forwards("").contains("line 1"));
    EXPECT_TRUE(wrong_forwards("zsync-packet 1\n").contains("unknown format"));
    EXPECT_TRUE(wrong_forwards(first + "forward a b").contains("line 2"));
    for (const auto* line :
         {"",
          "forward",
          "forward a",
          "forward a ",
          "forward  b",
          "forward a b c",
          "forward a b ",
          "forward a b rewrite ",
          "forward a b/c",
          "backward a b",
          "forward a %41"}) {
        EXPECT_TRUE(wrong_forwards(first + line + "\n").contains("no pair")) << line;
    }
    EXPECT_TRUE(wrong_forwards(first + "forward a a\n").contains("a for the second time"));
    EXPECT_TRUE(wrong_forwards(first + "forward a b\nforward c a\n").contains("line 3"));
}

TEST(DesiredForwards, at_their_limit) {
    EXPECT_TRUE(decode_forwards(encode_forwards(pairs(limits::forwards_max))));
    EXPECT_TRUE(
        wrong_forwards(encode_forwards(pairs(limits::forwards_max + 1))).contains("more than 16")
    );
}
