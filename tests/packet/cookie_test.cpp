// SYN cookies: the hash by its authors' figures, and what a cookie proves.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <initializer_list>
extern "C" {
#include <bpf/cookie.h>
}

namespace {

constexpr std::uint64_t period_ns = std::uint64_t{1} << ZSYNC_COOKIE_PERIOD_SHIFT;
constexpr std::uint64_t now_ns = 1000 * period_ns;
constexpr std::uint32_t all = ZSYNC_AGREED_TIMESTAMPS | ZSYNC_AGREED_SACK | 7; // window scale 7

/// The key of the authors' test vectors: bytes 0 to 15.
constexpr zsync_cookie_key key{{0x0706050403020100, 0x0f0e0d0c0b0a0908}};

zsync_cookie_peers peers(bool ipv6 = false) {
    return {
        .addresses = {0xc0000201ULL << 32, 7, 0xc0000202ULL << 32, 9},
        .ports = 0x10010050,
        .client_number = 0x89abcdef,
        .ipv6 = ipv6 ? 1U : 0U,
    };
}

std::uint64_t hash_of(std::initializer_list<std::uint64_t> words) {
    zsync_siphash state{};
    zsync_sip_begin(&state, &key);
    for (const std::uint64_t word : words) {
        zsync_sip_word(&state, word);
    }
    return zsync_sip_end(&state, words.size() * sizeof(std::uint64_t));
}

} // namespace

TEST(Cookie, hash_is_that_of_the_authors_of_SipHash_2_4) {
    // vectors_sip64 of their reference implementation: messages of the bytes 0, 1, 2, ...
    EXPECT_EQ(hash_of({}), 0x726fdb47dd0e0e31U);
    EXPECT_EQ(hash_of({0x0706050403020100}), 0x93f5f5799a932462U);
    EXPECT_EQ(hash_of({0x0706050403020100, 0x0f0e0d0c0b0a0908}), 0x3f2acc7f57c29bdbU);
}

TEST(Cookie, says_the_largest_mss_below_the_clients) {
    struct Case {
        std::uint32_t mss;
        std::uint32_t ipv4;
        std::uint32_t ipv6;
    };
    for (const auto& [mss, ipv4, ipv6] :
         {Case{0, 536, 1220},
          Case{1219, 536, 1220},
          Case{1220, 1220, 1220},
          Case{1299, 1220, 1280},
          Case{1300, 1300, 1300},
          Case{1460, 1460, 1440},
          Case{8899, 1460, 4096},
          Case{65535, 8900, 8900}}) {
        for (const bool six : {false, true}) {
            const zsync_cookie_peers who = peers(six);
            const std::uint32_t cookie = zsync_cookie_make(&key, &who, now_ns, mss, all);
            EXPECT_EQ(zsync_cookie_check(&key, &who, now_ns, cookie, all), six ? ipv6 : ipv4);
        }
    }
}

TEST(Cookie, is_good_for_this_period_and_the_next_alone) {
    const zsync_cookie_peers who = peers();
    const std::uint32_t cookie = zsync_cookie_make(&key, &who, now_ns, 1460, all);
    for (const std::uint64_t later : {0U, 1U, 2U, 3U, 4U, 5U, 8U}) {
        const std::uint32_t mss =
            zsync_cookie_check(&key, &who, now_ns + later * period_ns, cookie, all);
        EXPECT_EQ(mss, later <= 1 ? 1460U : 0U) << later;
    }
    EXPECT_EQ(zsync_cookie_check(&key, &who, now_ns - 1, cookie, all), 0U);
}

TEST(Cookie, proves_every_bit_of_what_it_is_made_of) {
    for (const bool six : {false, true}) {
        const zsync_cookie_peers who = peers(six);
        const std::uint32_t cookie = zsync_cookie_make(&key, &who, now_ns, 1460, all);
        const auto good =
            [&](const zsync_cookie_peers& other, std::uint32_t told, std::uint32_t agreed) {
                return zsync_cookie_check(&key, &other, now_ns, told, agreed) != 0;
            };
        ASSERT_TRUE(good(who, cookie, all));
        for (unsigned bit = 0; bit < 32; ++bit) {
            EXPECT_FALSE(good(who, cookie ^ (1U << bit), all)) << bit;
            zsync_cookie_peers other = who;
            other.ports ^= 1U << bit;
            EXPECT_FALSE(good(other, cookie, all)) << bit;
            other = who;
            other.client_number ^= 1U << bit;
            EXPECT_FALSE(good(other, cookie, all)) << bit;
        }
        for (unsigned bit = 0; bit < 7; ++bit) {
            EXPECT_FALSE(good(who, cookie, all ^ (1U << bit))) << bit;
        }
        for (unsigned bit = 0; bit < 64; ++bit) {
            for (const std::size_t word : {0U, 1U, 2U, 3U}) {
                zsync_cookie_peers other = who;
                other.addresses[word] ^= std::uint64_t{1} << bit;
                // Of IPv4 two words are not asked for.
                EXPECT_EQ(good(other, cookie, all), !six && word % 2 == 1) << word << " " << bit;
            }
        }
        const zsync_cookie_key other_key{{key.words[0], key.words[1] ^ 1}};
        EXPECT_EQ(zsync_cookie_check(&other_key, &who, now_ns, cookie, all), 0U);
    }
}

TEST(Cookie, timestamp_says_what_was_agreed_on_and_is_not_ahead_of_the_clock) {
    for (const std::uint64_t ms : {1000U, 1023U, 1024U, 1087U, 4294967295U}) {
        for (std::uint32_t agreed = 0; agreed <= ZSYNC_AGREED_BITS; ++agreed) {
            const std::uint32_t time = zsync_cookie_timestamp(ms * 1'000'000, agreed);
            EXPECT_EQ(time & ZSYNC_AGREED_BITS, agreed);
            EXPECT_LE(time, ms);
            EXPECT_LT(ms - time, 64U);
        }
    }
}
