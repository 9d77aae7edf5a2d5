// What may be read as a rule file or a list.
#include <zsync/packet/limits.hpp>
#include <zsync/packet/rules.hpp>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <filesystem>
#include <format>
#include <string>
#include <unistd.h>

using namespace zsync;
using namespace zsync::packet;

namespace {

/// A directory of this process's own, gone at the end.
class ScratchDirectory {
public:
    ScratchDirectory() {
        std::string pattern = std::filesystem::temp_directory_path() / "zsync-rules-XXXXXX";
        path_ = ::mkdtemp(pattern.data());
    }
    ~ScratchDirectory() { std::filesystem::remove_all(path_); }
    [[nodiscard]] std::string file(std::string_view name) const {
        return path_ + "/" + std::string(name);
    }

private:
    std::string path_;
};

std::string read_error(const std::string& path) {
    const auto text = read_regular_file(path);
    return text ? "" : text.error().message();
}

} // namespace

TEST(ReadFile, what_is_no_regular_file_is_refused_without_waiting) {
    const ScratchDirectory scratch;
    const std::string fifo = scratch.file("fifo");
    ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
    EXPECT_EQ(read_error(fifo), "cannot read " + fifo + ": it is a FIFO, not a file");
    EXPECT_EQ(
        read_error(scratch.file("")),
        "cannot read " + scratch.file("") + ": it is a directory, not a file"
    );
    EXPECT_EQ(read_error("/dev/zero"), "cannot read /dev/zero: it is a device, not a file");
    EXPECT_EQ(read_error("/no/such"), "cannot read /no/such: No such file or directory");
    const std::string loop = scratch.file("loop");
    std::filesystem::create_symlink(loop, loop);
    EXPECT_EQ(read_error(loop), "cannot read " + loop + ": Too many levels of symbolic links");
}

TEST(ReadFile, files_are_read_whole_up_to_the_limit) {
    const ScratchDirectory scratch;
    const std::string path = scratch.file("list");
    const int fd = ::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ASSERT_EQ(::ftruncate(fd, limits::file_bytes_max), 0);
    const auto whole = read_regular_file(path);
    ASSERT_TRUE(whole);
    EXPECT_EQ(whole->size(), limits::file_bytes_max);
    ASSERT_EQ(::ftruncate(fd, limits::file_bytes_max + 1), 0);
    EXPECT_EQ(read_error(path), std::format("{} is over {} bytes", path, limits::file_bytes_max));
    ::close(fd);
    EXPECT_TRUE(read_regular_file("/proc/self/status")); // says that its size is 0
}
