#include <zsync/bus/codec.hpp>
#include <zsync/bus/errors.hpp>

#include <gtest/gtest.h>

using namespace zsync;
using namespace zsync::bus;

TEST(BusErrors, standard_names_are_used_where_there_are_some) {
    EXPECT_EQ(to_wire(Fault(BusError::access_denied)).name, SD_BUS_ERROR_ACCESS_DENIED);
    EXPECT_EQ(to_wire(Fault(CoreError::canceled)).name, "org.zsync1.Error.Canceled");
    // A system call that is refused to us is no refusal to the caller.
    EXPECT_EQ(to_wire(Fault(os_error(EPERM))).name, "org.zsync1.Error.Os");
}

TEST(BusErrors, text_is_valid_utf8_and_bounded) {
    EXPECT_EQ(to_wire(Fault(CoreError::closed, "a\xff b")).text, "a? b");
    const std::string long_text(bus::limits::error_text_bytes_max + 1, 'x');
    EXPECT_EQ(
        to_wire(Fault(CoreError::closed, long_text)).text.size(), bus::limits::error_text_bytes_max
    );
}

TEST(BusErrors, utf8_text_keeps_what_is_valid) {
    EXPECT_EQ(utf8_text("\u00e4\u20ac\U0001f600", 100), "\u00e4\u20ac\U0001f600");
    EXPECT_EQ(utf8_text("\xc0\x80", 100), "??") << "overlong";
    EXPECT_EQ(utf8_text("\xed\xa0\x80", 100), "???") << "surrogate";
    EXPECT_EQ(utf8_text("\xf4\x90\x80\x80", 100), "????") << "above U+10FFFF";
    EXPECT_EQ(utf8_text("\xe2\x82", 100), "??") << "cut short";
    EXPECT_EQ(utf8_text(std::string_view("a\0b", 3), 100), "a?b");
    EXPECT_EQ(utf8_text("\u00e4\u00e4", 3), "\u00e4") << "never cut inside a character";
}

TEST(BusErrors, signatures_come_from_types) {
    using Row = std::tuple<std::string, bool, std::vector<std::uint8_t>>;
    EXPECT_STREQ((signature_of<std::vector<Row>>.c_str()), "a(sbay)");
    EXPECT_STREQ(
        (signature_of<std::map<ObjectPath, std::map<std::string, Variant>>>.c_str()), "a{oa{sv}}"
    );
    EXPECT_STREQ((ResultCodec<std::tuple<std::uint32_t, Row>>::signature.c_str()), "u(sbay)");
    EXPECT_STREQ((ResultCodec<void>::signature.c_str()), "");
    EXPECT_STREQ((SequenceCodec<Fd, std::string, Options>::signature.c_str()), "hsa{sv}");
}
