#include <zsync/store/document.hpp>

#include <gtest/gtest.h>

#include <string>

using namespace zsync::store;

TEST(StoreDocument, crc_is_that_of_the_rfc) {
    // RFC 3720, B.4: 32 bytes of zeros, of ones, and rising.
    EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);
    EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43U);
    EXPECT_EQ(crc32c("123456789"), 0xe3069283U);
}

TEST(StoreDocument, header_is_a_line_a_person_can_read) {
    EXPECT_EQ(encode_document("123456789"), "zsync-store 1 9 e3069283\n123456789");
}

TEST(StoreDocument, content_comes_back) {
    using namespace std::string_view_literals;
    for (const std::string_view content :
         {""sv, "a"sv, "\n\n"sv, "a\0b"sv, "zsync-store 1 0 00000000\n"sv}) {
        EXPECT_EQ(decode_document(encode_document(content)), content);
    }
}

TEST(StoreDocument, every_changed_missing_or_added_byte_is_found) {
    const std::string good = encode_document("interface eth0\n");
    for (std::size_t at = 0; at < good.size(); ++at) {
        EXPECT_FALSE(decode_document(good.substr(0, at))) << at;
        for (int bit = 0; bit < 8; ++bit) {
            std::string bad = good;
            bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
            EXPECT_FALSE(decode_document(bad)) << at << " " << bit;
        }
    }
    EXPECT_FALSE(decode_document(good + "x"));
}

TEST(StoreDocument, says_what_is_wrong) {
    const auto words = [](std::string_view bytes) { return decode_document(bytes).error(); };
    EXPECT_EQ(words(""), "it is empty");
    EXPECT_EQ(words("hello\n"), "it has no header");
    EXPECT_EQ(words(std::string("zsync-store ") + std::string(100, '1')), "it has no header");
    EXPECT_EQ(words("zsync-store x 1 0\n"), "its header is damaged");
    EXPECT_EQ(words("zsync-store \n"), "its header is damaged");
    EXPECT_EQ(words("zsync-store 1\n"), "its header is damaged");
    EXPECT_EQ(words("zsync-store 2 0 00000000\n"), "its format 2 is unknown, 1 is known");
    EXPECT_EQ(words("zsync-store 1 1 00000000\n"), "its length or checksum is wrong");
    EXPECT_EQ(words("zsync-store 1 00 00000000\n"), "its length or checksum is wrong");
}
