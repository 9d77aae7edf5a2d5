#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <cstdlib>
#include <string>
#include <unistd.h>
#include <zsyncctl/input_file.hpp>

namespace zsyncctl {
namespace {

std::string contents(const zsync::Fd& fd) {
    std::string text;
    std::array<char, 4096> chunk{};
    for (ssize_t got = 0; (got = read(fd.get(), chunk.data(), chunk.size())) > 0;) {
        text.append(chunk.data(), static_cast<std::size_t>(got));
    }
    return text;
}

struct TemporaryFile {
    TemporaryFile() {
        const int fd = mkstemp(path.data());
        EXPECT_EQ(write(fd, "drop vlan 42\n", 13), 13);
        close(fd);
    }
    ~TemporaryFile() { unlink(path.c_str()); }
    std::string path = "/tmp/zsyncctl-rule-file-XXXXXX";
};

TEST(InputFile, regular_file_is_handed_on_as_it_is) {
    const TemporaryFile there;
    const auto file = open_input_file(there.path, rule_input);
    ASSERT_TRUE(file);
    EXPECT_EQ(file->source_name, there.path);
    EXPECT_EQ(contents(file->fd), "drop vlan 42\n");
}

TEST(InputFile, pipe_is_read_to_its_end_into_a_file) {
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe(ends.data()), 0);
    ASSERT_EQ(write(ends[1], "drop fragment\n", 14), 14);
    close(ends[1]);
    const auto file = open_input_file("/dev/fd/" + std::to_string(ends[0]), rule_input);
    close(ends[0]);
    ASSERT_TRUE(file) << file.error().message;
    struct stat facts{};
    ASSERT_EQ(fstat(file->fd.get(), &facts), 0);
    EXPECT_TRUE(S_ISREG(facts.st_mode));
    EXPECT_EQ(contents(file->fd), "drop fragment\n");
}

TEST(InputFile, endless_input_is_refused) {
    const auto file = open_input_file("/dev/zero", rule_input);
    ASSERT_FALSE(file);
    EXPECT_EQ(file.error().message, "/dev/zero is longer than 67108864 bytes");
}

TEST(InputFile, refusals_say_why) {
    EXPECT_EQ(
        open_input_file("/nonexistent", rule_input).error().message,
        "cannot open /nonexistent: No such file or directory"
    );
    EXPECT_EQ(
        open_input_file("/tmp", rule_input).error().message, "/tmp is a directory, not a rule file"
    );
    EXPECT_TRUE(open_input_file("/nonex\xffistent", rule_input)
                    .error()
                    .message.contains("/nonex\\xffistent"));
}

} // namespace
} // namespace zsyncctl
