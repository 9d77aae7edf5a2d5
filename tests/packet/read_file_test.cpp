// What may be read as a rule file or a list.
#include <zsync/packet/limits.hpp>
#include <zsync/packet/rules.hpp>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fcntl.h>
#include <filesystem>
#include <format>
#include <string>
#include <thread>
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

TEST(ReadFile, a_file_that_is_written_to_while_it_is_read_is_refused) {
    const ScratchDirectory scratch;
    const std::string path = scratch.file("rules");
    const std::string other = scratch.file("other");
    const int fd = ::open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ASSERT_EQ(::ftruncate(fd, limits::file_bytes_max / 4), 0);
    std::jthread writer([fd](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            ASSERT_EQ(::pwrite(fd, "#", 1, 0), 1); // the size stays
        }
    });
    std::string error;
    for (int tries = 0; tries < 1000 && error.empty(); ++tries) {
        error = read_error(path);
    }
    EXPECT_TRUE(error.starts_with(path + " was written to while it was read; ")) << error;
    writer = {};
    EXPECT_EQ(read_error(path), "");

    // Others taking its name, or it another's, change nothing of it.
    const Fd open(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    const std::jthread renamer([&](const std::stop_token& stop) {
        while (!stop.stop_requested()) {
            ASSERT_EQ(::rename(path.c_str(), other.c_str()), 0);
            ASSERT_EQ(::rename(other.c_str(), path.c_str()), 0);
        }
    });
    for (int tries = 0; tries < 20; ++tries) {
        ASSERT_EQ(::lseek(open.get(), 0, SEEK_SET), 0);
        const auto text = read_open_file(open, "it");
        EXPECT_TRUE(text) << text.error().message();
    }
    ::close(fd);
}
