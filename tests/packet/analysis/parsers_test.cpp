// Parsers on vectors of others and on bytes that mean harm.
#include <zsync/packet/analysis/dns.hpp>
#include <zsync/packet/analysis/http_request.hpp>
#include <zsync/packet/analysis/json_writer.hpp>
#include <zsync/packet/analysis/limits.hpp>
#include <zsync/packet/analysis/quic_initial.hpp>
#include <zsync/packet/analysis/sketch.hpp>
#include <zsync/packet/analysis/stream_head.hpp>
#include <zsync/packet/analysis/tls_hello.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace zsync::packet::analysis {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes hex(std::string_view text) {
    Bytes bytes;
    std::string digits;
    for (const char c : text) {
        if (std::isxdigit(static_cast<unsigned char>(c)) != 0) {
            digits += c;
        }
    }
    for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
        bytes.push_back(static_cast<std::uint8_t>(std::stoi(digits.substr(i, 2), nullptr, 16)));
    }
    return bytes;
}

ByteView view(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// DNS

constexpr std::string_view header_of_one_question = "0001 0100 0001 0000 0000 0000";

TEST(Dns, rfc1035_names_are_shown_without_surprises) {
    auto message = hex(std::string(header_of_one_question) + "03 612e62 01 00 00 0010 0001");
    const auto dns = parse_dns(message);
    ASSERT_TRUE(dns);
    EXPECT_EQ(dns->questions[0].name, "a\\.b.\\000");
    EXPECT_EQ(dns_type_name(dns->questions[0].type), "TXT");
    EXPECT_EQ(dns_type_name(65280), "TYPE65280");
}

TEST(Dns, rfc1035_compression_that_loops_or_leads_forward_is_no_name) {
    for (const std::string_view name : {"c00c", "c00e 00", "01 61 c00c", "c0ff", "80", "40"}) {
        auto message = hex(std::string(header_of_one_question) + std::string(name) + "0001 0001");
        EXPECT_FALSE(parse_dns(message)) << name;
    }
}

TEST(Dns, a_name_may_have_255_bytes_and_no_more) {
    const auto message_of = [](std::size_t last_label) {
        Bytes message = hex(header_of_one_question);
        for (const std::size_t label :
             {std::size_t{63}, std::size_t{63}, std::size_t{63}, last_label}) {
            message.push_back(static_cast<std::uint8_t>(label));
            message.insert(message.end(), label, 'x');
        }
        const Bytes rest = hex("00 0001 0001");
        message.insert(message.end(), rest.begin(), rest.end());
        return message;
    };
    EXPECT_TRUE(parse_dns(message_of(61))); // 3 * 64 + 62 + 1 = 255
    EXPECT_FALSE(parse_dns(message_of(62)));
}

TEST(Dns, questions_are_read_up_to_the_limit) {
    const auto message_of = [](std::size_t questions) {
        Bytes message = hex("0001 0100 0000 0000 0000 0000");
        message[5] = static_cast<std::uint8_t>(questions);
        for (std::size_t i = 0; i < questions; ++i) {
            const Bytes question = hex("01 61 00 0001 0001");
            message.insert(message.end(), question.begin(), question.end());
        }
        return message;
    };
    EXPECT_TRUE(parse_dns(message_of(limits::dns_questions_max)));
    EXPECT_FALSE(parse_dns(message_of(limits::dns_questions_max + 1)));
}

// TLS: FoxIO's own example of JA4 (its technical details page): Chrome.

TEST(Ja4, foxio_example_of_chrome) {
    ClientHello hello;
    hello.legacy_version = 0x0303;
    hello.ciphers = {
        0x1a1a,
        0x1301,
        0x1302,
        0x1303,
        0xc02b,
        0xc02f,
        0xc02c,
        0xc030,
        0xcca9,
        0xcca8,
        0xc013,
        0xc014,
        0x009c,
        0x009d,
        0x002f,
        0x0035
    };
    hello.extensions = {
        0x2a2a,
        0x001b,
        0x0000,
        0x0033,
        0x0010,
        0x4469,
        0x0017,
        0x002d,
        0x000d,
        0x0005,
        0x0023,
        0x0012,
        0x002b,
        0xff01,
        0x000b,
        0x000a,
        0x0015
    };
    hello.alpn = {"h2", "http/1.1"};
    hello.signature_algorithms = {0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601};
    hello.supported_versions = {0x3a3a, 0x0304, 0x0303};
    EXPECT_EQ(ja4(hello, Ja4Transport::tcp), "t13d1516h2_8daaf6152771_e5627efa2ab1");
}

TEST(Ja4, what_is_missing_is_written_as_zeros) {
    ClientHello hello;
    hello.legacy_version = 0x0301;
    hello.ciphers = {0x000a};
    EXPECT_TRUE(ja4(hello, Ja4Transport::tcp).starts_with("t10i010000_"));
    EXPECT_TRUE(ja4(hello, Ja4Transport::tcp).ends_with("_000000000000"));
    EXPECT_EQ(ja4_raw(hello, Ja4Transport::dtls), "d10i010000_000a_");
}

// QUIC: that real Initials are read is tshark's to judge, in test_peers.py.

TEST(Quic, nothing_but_an_initial_of_a_known_version_looks_like_one) {
    EXPECT_TRUE(QuicInitialReader::looks_like_initial(hex("c3 00000001 08")));
    EXPECT_TRUE(QuicInitialReader::looks_like_initial(hex("d3 6b3343cf 08")));
    EXPECT_FALSE(QuicInitialReader::looks_like_initial(hex("d3 00000001 08"))); // 0-RTT
    EXPECT_FALSE(QuicInitialReader::looks_like_initial(hex("c3 00000002 08")));
    EXPECT_FALSE(QuicInitialReader::looks_like_initial(hex("43 00000001 08"))); // short header
    EXPECT_FALSE(QuicInitialReader::looks_like_initial(hex("c3 0000")));
}

TEST(Quic, a_packet_whose_tag_is_wrong_is_none) {
    Bytes datagram = hex("c0 00000001 08 8394c8f03e515708 00 00 4496");
    datagram.resize(1200, 0x5a);
    QuicInitialReader reader;
    EXPECT_EQ(reader.add(datagram).verdict, HeadVerdict::no);
}

// Streams

TEST(StreamHead, segments_come_in_any_order_twice_and_overlapping) {
    std::mt19937 random(20260401);
    std::string text(4000, ' ');
    for (char& c : text) {
        c = static_cast<char>('a' + random() % 26);
    }
    for (int round = 0; round < 200; ++round) {
        StreamHead head(0xfffffff0U); // wraps
        std::size_t begin = 0;
        std::vector<std::pair<std::size_t, std::size_t>> segments;
        while (begin < text.size()) {
            const std::size_t length =
                std::min<std::size_t>(400 + random() % 600, text.size() - begin);
            const std::size_t before = std::min<std::size_t>(begin, random() % 100);
            segments.emplace_back(begin - before, length + before);
            begin += length;
        }
        std::ranges::shuffle(segments, random);
        for (const auto& [at, length] : segments) {
            head.add(
                0xfffffff0U + static_cast<std::uint32_t>(at),
                view(std::string_view(text).substr(at, length))
            );
        }
        ASSERT_EQ(as_text(head.bytes()), text) << "round " << round;
    }
}

TEST(StreamHead, keeps_no_more_than_its_limit) {
    StreamHead head(0);
    const Bytes most(limits::stream_head_bytes_max - 1, 'x');
    EXPECT_TRUE(head.add(0, most));
    EXPECT_FALSE(head.is_full());
    EXPECT_TRUE(head.add(static_cast<std::uint32_t>(most.size()), most));
    EXPECT_TRUE(head.is_full());
    EXPECT_EQ(head.bytes().size(), limits::stream_head_bytes_max);
}

// HTTP

TEST(Http, request_line_and_host) {
    const auto head = read_http_head(
        view("GET /a?b=c HTTP/1.1\r\nAccept: *\r\nHOST: \texample.test \r\n\r\n"), false
    );
    ASSERT_EQ(head.verdict, HeadVerdict::yes);
    EXPECT_EQ(head.request.method, "GET");
    EXPECT_EQ(head.request.target, "/a?b=c");
    EXPECT_EQ(head.request.version, "HTTP/1.1");
    EXPECT_EQ(head.request.host, "example.test");
}

TEST(Http, a_prefix_of_a_request_wants_more_and_anything_else_is_none) {
    const std::string_view request = "POST /x HTTP/1.0\r\nHost: h\r\n\r\n";
    for (std::size_t bytes = 0; bytes + 4 < request.size(); ++bytes) {
        EXPECT_EQ(read_http_head(view(request.substr(0, bytes)), false).verdict, HeadVerdict::more)
            << bytes;
    }
    for (const std::string_view other :
         {"get / HTTP/1.1\r\n", "SSH-2.0-x\r\n", "GET / HTTP/2\r\n", " ", "GET\r\n"}) {
        EXPECT_EQ(read_http_head(view(other), false).verdict, HeadVerdict::no) << other;
    }
}

// JSON

TEST(JsonWriter, text_of_strangers_is_printable_and_quoted) {
    std::string out;
    JsonWriter json(out);
    json.begin_object();
    json.field("a\"b", "c\\d\n\x1b[31m\xff");
    json.field("n", 7U);
    json.key("list");
    json.begin_array();
    json.value(true);
    json.null();
    json.end_array();
    json.end_object();
    EXPECT_EQ(out, R"({"a\"b": "c\\d\\x0a\\x1b[31m\\xff", "n": 7, "list": [true, null]})");
}

// Sketches

TEST(TopTalkers, errs_upwards_and_by_no_more_than_it_says) {
    std::mt19937_64 random(7);
    TopTalkers talkers(11, 64);
    std::map<Address, std::uint64_t> exact;
    for (int i = 0; i < 100'000; ++i) {
        // Few with much, many with little.
        const double share = std::uniform_real_distribution<>(0, 1)(random);
        const auto address =
            Address::v4(static_cast<std::uint32_t>(std::pow(1 / (share + 1e-5), 1.5)));
        const std::uint64_t bytes = 60 + random() % 1400;
        talkers.add(address, bytes);
        exact[address] += bytes;
    }
    EXPECT_GT(exact.size(), 1000U);
    EXPECT_EQ(talkers.error_bytes_max(), talkers.total_bytes() / 64);
    std::map<Address, std::uint64_t> counted;
    for (const TopTalkers::Talker& talker : talkers.top(64)) {
        EXPECT_GE(talker.bytes, exact[talker.address]);
        EXPECT_LE(talker.bytes - talker.error_bytes, exact[talker.address]);
        EXPECT_LE(talker.error_bytes, talkers.error_bytes_max());
        counted[talker.address] = talker.bytes;
    }
    for (const auto& [address, bytes] : exact) {
        if (bytes > talkers.error_bytes_max()) {
            EXPECT_TRUE(counted.contains(address)) << to_string(address);
        }
    }
}

TEST(DistinctCounter, is_within_four_standard_errors) {
    for (const std::uint64_t count : {0ULL, 1ULL, 5ULL, 100ULL, 1000ULL, 50'000ULL, 1'000'000ULL}) {
        DistinctCounter counter;
        for (std::uint64_t i = 0; i < count; ++i) {
            Hasher hasher(3);
            hasher.add(i);
            counter.add(hasher.value());
        }
        const auto error =
            std::abs(static_cast<double>(counter.count()) - static_cast<double>(count));
        EXPECT_LE(error, 4 * DistinctCounter::standard_error * static_cast<double>(count)) << count;
    }
}

TEST(Entropy, of_one_byte_is_0_and_of_all_is_8) {
    Bytes all(256);
    for (std::size_t i = 0; i < all.size(); ++i) {
        all[i] = static_cast<std::uint8_t>(i);
    }
    EXPECT_FLOAT_EQ(entropy_of(all), 8);
    EXPECT_FLOAT_EQ(entropy_of(Bytes(100, 'a')), 0);
    SpreadMeter one;
    SpreadMeter many;
    for (std::uint64_t i = 0; i < 10'000; ++i) {
        one.add(42);
        many.add(i * 0x9e3779b97f4a7c15ULL >> 20U);
    }
    EXPECT_EQ(one.normalised_entropy(), 0);
    EXPECT_GT(many.normalised_entropy(), 0.95);
}

} // namespace
} // namespace zsync::packet::analysis
