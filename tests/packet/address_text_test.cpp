#include <zsync/packet/address_text.hpp>

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <array>
#include <format>
#include <random>

using namespace zsync::packet;

namespace {

struct Bad {
    std::string_view text;
    std::string_view words;
    std::string_view hint;
};

} // namespace

TEST(AddressText, canonical_form_is_what_the_system_prints) {
    constexpr std::array<std::array<std::string_view, 2>, 14> cases{{
        {"10.0.0.0/8", "10.0.0.0/8"},
        {"203.0.113.7/32", "203.0.113.7"},
        {"0.0.0.0/0", "0.0.0.0/0"},
        {"::/0", "::/0"},
        {"::", "::"},
        {"::1/128", "::1"},
        {"2001:DB8:0:0::/32", "2001:db8::/32"},
        {"2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1"},
        {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
        {"::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"},
        {"64:ff9b::192.0.2.1", "64:ff9b::c000:201"},
        {"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
        {"::ffff:0:0/96", "::ffff:0.0.0.0/96"},
        {"fe80::/10", "fe80::/10"},
    }};
    for (const auto& [text, canonical] : cases) {
        const auto prefix = parse_prefix(text);
        ASSERT_TRUE(prefix) << text << ": " << prefix.error().words;
        EXPECT_EQ(format_prefix(*prefix), canonical);
        EXPECT_EQ(parse_prefix(canonical), *prefix) << canonical;
    }
}

TEST(AddressText, bad_addresses_say_what_to_write) {
    constexpr std::array cases{
        Bad{"10.1.2.3/8", "'10.1.2.3/8' has host bits set", "use 10.0.0.0/8"},
        Bad{"2001:db8::1/64", "'2001:db8::1/64' has host bits set", "use 2001:db8::/64"},
        Bad{"10.0.0.1/0", "'10.0.0.1/0' has host bits set", "use 0.0.0.0/0"},
        Bad{"10/8", "'10/8' is no address or prefix", "write all four numbers: 10.0.0.0/8"},
        Bad{"10.0.0.256",
            "'10.0.0.256' is no address or prefix",
            "an IPv4 address is four numbers from 0 to 255"},
        Bad{"010.0.0.1",
            "'010.0.0.1' is no address or prefix",
            "leading zeros are ambiguous: write 10.0.0.1"},
        Bad{"10.00.0.0/8",
            "'10.00.0.0/8' is no address or prefix",
            "leading zeros are ambiguous: write 10.0.0.0/8"},
        Bad{"10.0.0.0/33", "'10.0.0.0/33' has no prefix length from 0 to 32", ""},
        Bad{"10.0.0.0/", "'10.0.0.0/' has no prefix length from 0 to 32", ""},
        Bad{"10.0.0.0/-1", "'10.0.0.0/-1' has no prefix length from 0 to 32", ""},
        Bad{"10.0.0.0/99999999999999999999",
            "'10.0.0.0/99999999999999999999' has no prefix length from 0 to 32",
            ""},
        Bad{"10.0.0.0/255.0.0.0",
            "'10.0.0.0/255.0.0.0' has no prefix length from 0 to 32",
            "write the length of the mask: 255.255.255.0 is 24"},
        Bad{"::/129", "'::/129' has no prefix length from 0 to 128", ""},
        Bad{"10.0.0.1-10.0.0.9",
            "'10.0.0.1-10.0.0.9' is no address or prefix",
            "a range of addresses is written as prefixes"},
        Bad{"fe80::1%eth0",
            "'fe80::1%eth0' is no address or prefix",
            "write the address without its zone"},
        Bad{"!10.0.0.0/8",
            "'!10.0.0.0/8' is no address or prefix",
            "there is no negation: put a rule with the other verdict above"},
        Bad{"any", "'any' is no address or prefix", "leave the condition out to match every address"
        },
        Bad{"example.org",
            "'example.org' is no address or prefix",
            "write the numbers of the address"},
        Bad{"::ffff:10.0.0.1",
            "'::ffff:10.0.0.1' is an IPv4-mapped address, which no packet carries",
            "write 10.0.0.1"},
        Bad{"::ffff:a00:0/104",
            "'::ffff:a00:0/104' is an IPv4-mapped address, which no packet carries",
            "write 10.0.0.0/8"},
        Bad{"1::2::3", "'1::2::3' is no address or prefix", ""},
        Bad{":::", "':::' is no address or prefix", ""},
        Bad{":1", "':1' is no address or prefix", ""},
        Bad{"1:", "'1:' is no address or prefix", ""},
        Bad{"1:2:3:4:5:6:7:8:9", "'1:2:3:4:5:6:7:8:9' is no address or prefix", ""},
        Bad{"1:2:3:4:5:6:7:8::", "'1:2:3:4:5:6:7:8::' is no address or prefix", ""},
        Bad{"12345::", "'12345::' is no address or prefix", ""},
        Bad{"1.2.3.4::", "'1.2.3.4::' is no address or prefix", ""},
        Bad{"::1.2.3", "'::1.2.3' is no address or prefix", ""},
        Bad{"/8", "'/8' is no address or prefix", ""},
    };
    for (const Bad& bad : cases) {
        const auto prefix = parse_prefix(bad.text);
        ASSERT_FALSE(prefix) << bad.text;
        EXPECT_EQ(prefix.error().words, bad.words);
        EXPECT_EQ(prefix.error().hint, bad.hint) << bad.text;
    }
}

TEST(AddressText, random_prefixes_round_trip) {
    const auto seed = std::random_device{}();
    SCOPED_TRACE(std::format("seed {}", seed));
    std::mt19937 random(seed);
    for (int i = 0; i < 20'000; ++i) {
        Prefix prefix{.family = random() % 2 == 0 ? Family::ipv4 : Family::ipv6};
        const unsigned bits = prefix.family == Family::ipv4 ? 32 : 128;
        prefix.length = static_cast<std::uint8_t>(random() % (bits + 1));
        const bool sparse = random() % 2 == 0; // runs of zeros, for `::`
        for (unsigned bit = 0; bit < prefix.length; ++bit) {
            const bool set = sparse ? random() % 16 == 0 : random() % 2 == 0;
            prefix.address[bit / 8] |= static_cast<std::uint8_t>(set ? 0x80U >> (bit % 8) : 0);
        }
        const std::string text = format_prefix(prefix);
        const auto back = parse_prefix(text);
        ASSERT_TRUE(back) << text;
        ASSERT_EQ(*back, prefix) << text;
    }
}

TEST(AddressText, agrees_with_the_system_on_hostile_text) {
    const auto seed = std::random_device{}();
    SCOPED_TRACE(std::format("seed {}", seed));
    std::mt19937 random(seed);
    constexpr std::string_view letters = "0123456789abcdefABCDEF:::::....g";
    for (int i = 0; i < 200'000; ++i) {
        std::string text;
        for (auto left = random() % 24; left > 0; --left) {
            text += letters[random() % letters.size()];
        }
        std::array<std::uint8_t, 16> bytes{};
        const bool ipv4 = inet_pton(AF_INET, text.c_str(), bytes.data()) == 1;
        const bool ipv6 = !ipv4 && inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1;
        const auto prefix = parse_prefix(text);
        const bool mapped = ipv6 && bytes[10] == 0xff && bytes[11] == 0xff && bytes[0] == 0;
        ASSERT_TRUE(prefix.has_value() == (ipv4 || ipv6) || mapped) << text;
        ASSERT_TRUE(!prefix || prefix->address == bytes) << text;
    }
}
