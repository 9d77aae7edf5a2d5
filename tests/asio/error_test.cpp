// Boost's error codes as errors of ours.
#include <zsync/asio/error.hpp>

#include <gtest/gtest.h>

#include <boost/asio/error.hpp>
#include <boost/system/errc.hpp>
#include <deque>
#include <string>

using namespace zsync;
namespace codes = boost::asio::error;

namespace {

class Numbered final : public boost::system::error_category {
public:
    [[nodiscard]] const char* name() const noexcept override { return "numbered"; }
    [[nodiscard]] std::string message(int number) const override {
        return "number " + std::to_string(number);
    }
};

} // namespace

TEST(AsioError, errors_of_the_system_keep_their_errno) {
    const Error error = asio::to_error(codes::make_error_code(codes::connection_reset));
    EXPECT_EQ(error, os_error(ECONNRESET));
    EXPECT_EQ(error.os_error(), ECONNRESET);
    EXPECT_EQ(asio::code_of(error), codes::connection_reset);
    EXPECT_TRUE(asio::is(error, boost::system::errc::connection_reset));
}

TEST(AsioError, errors_of_libraries_keep_number_words_and_category) {
    const boost::system::error_code eof = codes::make_error_code(codes::eof);
    const Error error = asio::to_error(eof);
    EXPECT_EQ(error.name(), "asio.misc");
    EXPECT_EQ(error.message(), eof.message());
    EXPECT_EQ(asio::code_of(error), eof);
    EXPECT_TRUE(asio::is(error, codes::eof));
    EXPECT_FALSE(asio::is(error, codes::not_found));
    EXPECT_EQ(error, asio::to_error(eof));
    EXPECT_NE(error, asio::to_error(codes::make_error_code(codes::not_found)));
    EXPECT_NE(error, asio::to_error(codes::make_error_code(codes::host_not_found)));
    EXPECT_FALSE(error.is_canceled());
}

TEST(AsioError, a_number_wider_than_a_code_is_kept_whole) {
    const Numbered category;
    const Error error = asio::to_error({0x12345678, category});
    EXPECT_EQ(error.os_error(), 0x12345678);
    EXPECT_NE(error, asio::to_error({0x02345678, category}));
    EXPECT_EQ(error.message(), "number 305419896");
}

TEST(AsioError, errors_of_the_runtime_have_codes_of_asio) {
    EXPECT_EQ(asio::code_of(CoreError::canceled), codes::operation_aborted);
    EXPECT_EQ(asio::code_of(CoreError::timed_out), codes::timed_out);
    EXPECT_FALSE(asio::code_of(CoreError::limit_reached));
    EXPECT_FALSE(asio::is(CoreError::limit_reached, codes::eof));
}

// Last: it uses up the table.
TEST(AsioErrorTable, categories_over_the_limit_lose_their_words_and_nothing_else) {
    static std::deque<Numbered> categories(asio::limits::error_categories_max + 1);
    std::size_t with_words = 0;
    for (const Numbered& category : categories) {
        const Error error = asio::to_error({7, category});
        EXPECT_EQ(error.os_error(), 7);
        if (error.message() == "number 7") {
            ++with_words;
            EXPECT_EQ(&asio::code_of(error)->category(), &category);
        } else {
            EXPECT_EQ(error.message(), "error 7 of a library without words here");
            EXPECT_EQ(error.name(), "unknown");
            EXPECT_FALSE(asio::code_of(error));
        }
    }
    EXPECT_LE(with_words, asio::limits::error_categories_max);
    EXPECT_GE(with_words, asio::limits::error_categories_max - 8); // others were seen before
    EXPECT_EQ(asio::to_error({8, categories.back()}).name(), "unknown");
}
