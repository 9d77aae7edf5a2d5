// Files and directories.
#include "tests/core/conformance/conformance.hpp"

#include <zsync/core/batch.hpp>
#include <zsync/core/limits.hpp>

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <fcntl.h>
#include <string>
#include <unistd.h>

namespace zsync::conformance {
namespace {

iovec part(std::span<char> bytes) { return {.iov_base = bytes.data(), .iov_len = bytes.size()}; }
std::string text_of(std::span<const char> bytes) { return {bytes.data(), bytes.size()}; }

/// Memory of which no page is there until it is touched.
class Lots {
public:
    explicit Lots(std::size_t bytes) : bytes_(bytes) {
        constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        memory_ = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
        EXPECT_NE(memory_, MAP_FAILED);
    }
    Lots(const Lots&) = delete;
    Lots& operator=(const Lots&) = delete;
    ~Lots() { ::munmap(memory_, bytes_); }
    [[nodiscard]] std::span<std::byte> bytes() const {
        return {static_cast<std::byte*>(memory_), bytes_};
    }

private:
    void* memory_;
    std::size_t bytes_;
};
constexpr std::size_t four_gib = std::size_t{1} << 32;

} // namespace

static_assert(length_of(limits::bytes_per_operation_max) == limits::bytes_per_operation_max);
static_assert(length_of(limits::bytes_per_operation_max + 1U) == limits::bytes_per_operation_max);
static_assert(length_of(four_gib) == limits::bytes_per_operation_max);
static_assert(Buffer<std::span<char>> && Buffer<std::span<const std::byte>> && Buffer<Bytes>);
static_assert(!Buffer<std::span<int>>, "its size would be taken for a number of bytes");

// A length of 32 bits would be 0 for these, and the read an end of the file.
ZSYNC_CASE(length, beyond_four_gigabytes_is_cut_to_the_limit, network | writing) {
    const Lots lots(four_gib);
    const auto pair = socket_pair();
    put(pair.b, "text");
    const auto received = co_await io.recv(pair.a, lots.bytes());
    ZCO_CHECK(received.count);
    EXPECT_EQ(text_of({reinterpret_cast<const char*>(lots.bytes().data()), 4}), "text");
    EXPECT_EQ(*received.count, 4U);
    const auto pipe = pipe_pair();
    EXPECT_EQ(::write(pipe.b.get(), "pipe", 4), 4);
    EXPECT_EQ((co_await io.read(pipe.a, lots.bytes())).count.value_or(0), 4U);
    const Fd null(::open("/dev/null", O_WRONLY | O_CLOEXEC)); // it looks at none of them
    const auto written = co_await io.write(null, lots.bytes());
    ZCO_CHECK(written.count);
    EXPECT_GT(*written.count, 0U); // a page at a time where it might block
    const auto sent = co_await io.send(pair.a, lots.bytes(), MSG_DONTWAIT);
    ZCO_CHECK(sent.count);
    EXPECT_GT(*sent.count, 0U);
    co_return {};
}

ZSYNC_CASE(length, of_an_operation_of_a_batch_is_cut_to_the_limit, network | writing) {
    const Lots lots(four_gib);
    const auto pair = socket_pair();
    const auto out = socket_pair();
    const auto pipe = pipe_pair();
    const Fd null(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    put(pair.b, "text");
    EXPECT_EQ(::write(pipe.b.get(), "pipe", 4), 4);
    std::array<BatchSlot, 4> storage;
    Batch batch(io, storage);
    using Op = BatchOperation;
    ZCO_CHECK(batch.add(0, Op::recv(FdRef(pair.a), lots.bytes())));
    ZCO_CHECK(batch.add(1, Op::read(FdRef(pipe.a), lots.bytes())));
    ZCO_CHECK(batch.add(2, Op::write(FdRef(null), lots.bytes())));
    ZCO_CHECK(batch.add(3, Op::send(FdRef(out.a), lots.bytes(), MSG_DONTWAIT)));
    const Result<void> all = co_await batch.all();
    std::array<Result<std::size_t>, 4> moved;
    while (const auto done = batch.next()) {
        moved[done->tag] = done->value;
    }
    ZCO_CHECK(all);
    for (const Result<std::size_t>& one : moved) {
        ZCO_CHECK(one);
    }
    EXPECT_EQ(*moved[0], 4U);
    EXPECT_EQ(*moved[1], 4U);
    EXPECT_GT(*moved[2], 0U);
    EXPECT_GT(*moved[3], 0U);
    co_return {};
}

ZSYNC_CASE(open, gives_a_descriptor_of_a_file, nothing) {
    const Folder folder;
    (void)file_with(folder, "file", "text");
    ZCO_TRY(const Fd file, co_await io.open(folder.path("file"), O_RDONLY));
    EXPECT_EQ(take(file), "text");
    co_return {};
}

ZSYNC_CASE(open, sets_close_on_exec, nothing) {
    ZCO_TRY(const Fd file, co_await io.open("/dev/null", O_RDONLY));
    EXPECT_EQ(::fcntl(file.get(), F_GETFD), FD_CLOEXEC);
    co_return {};
}

ZSYNC_CASE(open, of_a_missing_file_is_enoent, nothing) {
    const Folder folder;
    EXPECT_IS(co_await io.open(folder.path("missing"), O_RDONLY), "ENOENT");
    co_return {};
}

ZSYNC_CASE(open, creates_with_the_mode_that_was_asked_for, writing) {
    const Folder folder;
    ZCO_TRY(const Fd file, co_await io.open(folder.path("new"), O_RDWR | O_CREAT, 0640));
    struct stat found{};
    EXPECT_EQ(::fstat(file.get(), &found), 0);
    EXPECT_EQ(found.st_mode & 0600U, 0600U);
    EXPECT_EQ(found.st_mode & 0007U, 0U);
    co_return {};
}

ZSYNC_CASE(open, exclusively_refuses_a_file_that_is_there, writing) {
    const Folder folder;
    ZCO_CHECK(co_await io.open(folder.path("file"), O_RDWR | O_CREAT | O_EXCL));
    EXPECT_IS(co_await io.open(folder.path("file"), O_RDWR | O_CREAT | O_EXCL), "EEXIST");
    co_return {};
}

ZSYNC_CASE(open, truncates_when_asked_to, writing) {
    const Folder folder;
    (void)file_with(folder, "file", "text");
    ZCO_CHECK(co_await io.open(folder.path("file"), O_WRONLY | O_TRUNC));
    EXPECT_EQ(content_of(folder.path("file")), "");
    co_return {};
}

ZSYNC_CASE(open, starts_at_a_directory, nothing) {
    const Folder folder;
    (void)file_with(folder, "file", "text");
    ZCO_TRY(const Fd directory, co_await io.open(folder.path(), O_RDONLY | O_DIRECTORY));
    ZCO_TRY(const Fd file, co_await io.open("file", O_RDONLY, 0, directory));
    EXPECT_EQ(take(file), "text");
    co_return {};
}

ZSYNC_CASE(open, makes_files_without_a_name, nothing) {
    const Folder folder;
    ZCO_TRY(const Fd file, co_await io.open(folder.path(), O_TMPFILE | O_RDWR, 0600));
    put(file, "unseen");
    EXPECT_EQ(::lseek(file.get(), 0, SEEK_END), 6);
    co_return {};
}

ZSYNC_CASE(open, of_a_file_as_a_directory_is_enotdir, nothing) {
    const Folder folder;
    (void)file_with(folder, "file", "");
    EXPECT_IS(co_await io.open(folder.path("file"), O_RDONLY | O_DIRECTORY), "ENOTDIR");
    co_return {};
}

ZSYNC_CASE(open, canceled_opens_nothing, nothing) {
    const std::size_t before = open_descriptors();
    io.recancel();
    EXPECT_IS(co_await io.open("/dev/null", O_RDONLY), "Canceled");
    EXPECT_EQ(open_descriptors(), before);
    co_return {};
}

ZSYNC_CASE(close, gives_the_descriptor_back, nothing) {
    ZCO_TRY(Fd file, co_await io.open("/dev/null", O_RDONLY));
    const int number = file.get();
    ZCO_CHECK(co_await io.close(std::move(file)));
    EXPECT_EQ(::fcntl(number, F_GETFD), -1);
    co_return {};
}

ZSYNC_CASE(close, that_is_canceled_closes_all_the_same, nothing) {
    ZCO_TRY(Fd file, co_await io.open("/dev/null", O_RDONLY));
    const int number = file.get();
    io.recancel();
    EXPECT_IS(co_await io.close(std::move(file)), "Canceled");
    EXPECT_EQ(::fcntl(number, F_GETFD), -1);
    co_return {};
}

ZSYNC_CASE(close, that_is_never_awaited_closes_all_the_same, nothing) {
    ZCO_TRY(Fd file, co_await io.open("/dev/null", O_RDONLY));
    const int number = file.get();
    {
        const auto unused = io.close(std::move(file));
    }
    EXPECT_EQ(::fcntl(number, F_GETFD), -1);
    co_return {};
}

ZSYNC_CASE(read, starts_at_an_offset, nothing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "0123456789");
    EXPECT_EQ(text_of(co_await io.read(file, Bytes(4), 3)), "3456");
    co_return {};
}

ZSYNC_CASE(read, at_the_current_position_moves_it, nothing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "0123456789");
    EXPECT_EQ(text_of(co_await io.read(file, Bytes(4))), "0123");
    EXPECT_EQ(text_of(co_await io.read(file, Bytes(4))), "4567");
    EXPECT_EQ(text_of(co_await io.read(file, Bytes(4))), "89");
    co_return {};
}

ZSYNC_CASE(read, at_an_offset_leaves_the_position, nothing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "0123456789");
    EXPECT_EQ(text_of(co_await io.read(file, Bytes(2), 5)), "56");
    EXPECT_EQ(::lseek(file.get(), 0, SEEK_CUR), 0);
    co_return {};
}

ZSYNC_CASE(read, gives_0_at_the_end, nothing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "0123");
    EXPECT_EQ((co_await io.read(file, Bytes(4), 4)).count, 0U);
    EXPECT_EQ((co_await io.read(file, Bytes(4), 400)).count, 0U);
    co_return {};
}

ZSYNC_CASE(read, of_no_bytes_gives_0, nothing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "0123");
    EXPECT_EQ((co_await io.read(file, Bytes(0), 0)).count, 0U);
    co_return {};
}

ZSYNC_CASE(read, of_a_directory_is_eisdir, nothing) {
    ZCO_TRY(const Fd directory, co_await io.open("/tmp", O_RDONLY | O_DIRECTORY));
    EXPECT_IS(co_await io.read(directory, Bytes(4)), "EISDIR");
    co_return {};
}

ZSYNC_CASE(read, of_no_descriptor_is_ebadf, nothing) {
    const Fd none;
    EXPECT_IS(co_await io.read(none, Bytes(1)), "EBADF");
    co_return {};
}

ZSYNC_CASE(read, of_what_is_open_for_writing_only_is_ebadf, nothing) {
    ZCO_TRY(const Fd file, co_await io.open("/dev/null", O_WRONLY));
    EXPECT_IS(co_await io.read(file, Bytes(1)), "EBADF");
    co_return {};
}

ZSYNC_CASE(read, canceled_leaves_the_bytes, nothing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "0123");
    io.recancel();
    EXPECT_IS(co_await io.read(file, Bytes(4)), "Canceled");
    EXPECT_EQ(text_of(co_await io.read(file, Bytes(4))), "0123");
    co_return {};
}

ZSYNC_CASE(read, of_a_character_device_works, nothing) {
    ZCO_TRY(const Fd zero, co_await io.open("/dev/zero", O_RDONLY));
    const auto got = co_await io.read(zero, Bytes(4));
    EXPECT_EQ(text_of(got), std::string(4, '\0'));
    co_return {};
}

ZSYNC_CASE(read, with_a_deadline_that_is_not_reached_gives_the_bytes, timer) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "0123");
    const auto got = co_await io.read(file, Bytes(4), 0).until(io.now() + 1h);
    ZCO_CHECK(got.count);
    EXPECT_EQ(text_of(got), "0123");
    co_return {};
}

ZSYNC_CASE(write, starts_at_an_offset, writing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "0123456789");
    const auto written = co_await io.write(file, Bytes::copy_of("abc"), 3);
    ZCO_CHECK(written.count);
    EXPECT_EQ(written.count, 3U);
    EXPECT_EQ(content_of(folder.path("file")), "012abc6789");
    co_return {};
}

ZSYNC_CASE(write, at_the_current_position_moves_it, writing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "");
    ZCO_CHECK((co_await io.write(file, Bytes::copy_of("abc"))).count);
    ZCO_CHECK((co_await io.write(file, Bytes::copy_of("def"))).count);
    EXPECT_EQ(content_of(folder.path("file")), "abcdef");
    co_return {};
}

ZSYNC_CASE(write, beyond_the_end_leaves_a_hole, writing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "a");
    ZCO_CHECK((co_await io.write(file, Bytes::copy_of("z"), 4)).count);
    EXPECT_EQ(content_of(folder.path("file")), std::string("a\0\0\0z", 5));
    co_return {};
}

ZSYNC_CASE(write, appends_where_the_file_was_opened_to, writing) {
    const Folder folder;
    (void)file_with(folder, "file", "begin ");
    ZCO_TRY(const Fd file, co_await io.open(folder.path("file"), O_WRONLY | O_APPEND));
    ZCO_CHECK((co_await io.write(file, Bytes::copy_of("end"))).count);
    EXPECT_EQ(content_of(folder.path("file")), "begin end");
    co_return {};
}

ZSYNC_CASE(write, to_what_is_open_for_reading_only_is_ebadf, writing) {
    ZCO_TRY(const Fd file, co_await io.open("/dev/null", O_RDONLY));
    const auto written = co_await io.write(file, Bytes::copy_of("x"));
    EXPECT_TRUE(what(written) == "EBADF" || what(written) == "ENOSPC");
    co_return written.count.transform([](std::size_t) {}).or_else([](const Error& error) {
        return what(error) == "EBADF" ? Result<void>() : Result<void>(fail(error));
    });
}

ZSYNC_CASE(write, canceled_writes_nothing, nothing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "kept");
    io.recancel();
    EXPECT_IS(co_await io.write(file, Bytes::copy_of("lost"), 0), "Canceled");
    EXPECT_EQ(content_of(folder.path("file")), "kept");
    co_return {};
}

ZSYNC_CASE(write, to_a_full_device_is_enospc, nothing) {
    ZCO_TRY(const Fd full, co_await io.open("/dev/full", O_WRONLY));
    EXPECT_IS(co_await io.write(full, Bytes::copy_of("x")), "ENOSPC");
    co_return {};
}

ZSYNC_CASE(vectors, are_filled_in_order, nothing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "one two");
    std::array<char, 3> first{};
    std::array<char, 8> second{};
    const std::array<iovec, 2> parts{part(first), part(second)};
    EXPECT_EQ(co_await io.read_into(file, parts, 0), 7U);
    EXPECT_EQ(text_of(std::span(first)), "one");
    EXPECT_EQ(std::string(second.data()), " two");
    co_return {};
}

ZSYNC_CASE(vectors, are_written_in_order, writing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "");
    std::string one = "one ";
    std::string two = "two";
    const std::array<iovec, 2> parts{part(one), part(two)};
    ZCO_TRY(const std::uint32_t count, co_await io.write_from(file, parts, 0));
    EXPECT_EQ(count, 7U);
    EXPECT_EQ(content_of(folder.path("file")), "one two");
    co_return {};
}

ZSYNC_CASE(vectors, of_no_parts_move_nothing, nothing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "text");
    EXPECT_EQ(co_await io.read_into(file, {}, 0), 0U);
    co_return {};
}

ZSYNC_CASE(vectors, read_from_pipes_too, nothing) {
    const auto pair = pipe_pair();
    put(pair.b, "piped");
    std::array<char, 2> first{};
    std::array<char, 3> second{};
    const std::array<iovec, 2> parts{part(first), part(second)};
    EXPECT_EQ(co_await io.read_into(pair.a, parts), 5U);
    EXPECT_EQ(text_of(std::span(first)) + text_of(std::span(second)), "piped");
    co_return {};
}

ZSYNC_CASE(vectors, canceled_leave_the_bytes, nothing) {
    const auto pair = pipe_pair();
    put(pair.b, "kept");
    std::array<char, 4> bytes{};
    const std::array<iovec, 1> parts{part(bytes)};
    io.recancel();
    EXPECT_IS(co_await io.read_into(pair.a, parts), "Canceled");
    EXPECT_EQ(take(pair.a), "kept");
    co_return {};
}

ZSYNC_CASE(fsync, secures_data_and_names, writing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "text");
    ZCO_CHECK(co_await io.fsync(file));
    co_return {};
}

ZSYNC_CASE(fsync, secures_data_alone, writing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "text");
    ZCO_CHECK(co_await io.fsync(file, true));
    co_return {};
}

ZSYNC_CASE(fsync, of_a_directory_secures_its_names, writing) {
    const Folder folder;
    ZCO_TRY(const Fd directory, co_await io.open(folder.path(), O_RDONLY | O_DIRECTORY));
    ZCO_CHECK(co_await io.fsync(directory));
    co_return {};
}

ZSYNC_CASE(fsync, of_a_pipe_is_einval, writing) {
    const auto pair = pipe_pair();
    const Result<void> synced = co_await io.fsync(pair.b);
    EXPECT_NE(what(synced), "ok");
    co_return what(synced) == "EINVAL" ? Result<void>() : synced;
}

ZSYNC_CASE(stat, tells_of_a_path, nothing) {
    const Folder folder;
    (void)file_with(folder, "file", "0123456789");
    ZCO_TRY(const struct statx found, co_await io.stat(folder.path("file")));
    EXPECT_EQ(found.stx_size, 10U);
    EXPECT_TRUE(S_ISREG(found.stx_mode));
    co_return {};
}

ZSYNC_CASE(stat, tells_of_a_descriptor, nothing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "0123456789");
    ZCO_TRY(const struct statx by_fd, co_await io.stat(file));
    ZCO_TRY(const struct statx by_name, co_await io.stat(folder.path("file")));
    EXPECT_EQ(by_fd.stx_size, 10U);
    EXPECT_EQ(by_fd.stx_ino, by_name.stx_ino);
    co_return {};
}

ZSYNC_CASE(stat, starts_at_a_directory, nothing) {
    const Folder folder;
    (void)file_with(folder, "file", "0123");
    ZCO_TRY(const Fd directory, co_await io.open(folder.path(), O_RDONLY | O_DIRECTORY));
    ZCO_TRY(const struct statx found, co_await io.stat("file", 0, STATX_SIZE, directory));
    EXPECT_EQ(found.stx_size, 4U);
    co_return {};
}

ZSYNC_CASE(stat, follows_links_unless_told_not_to, nothing) {
    const Folder folder;
    (void)file_with(folder, "file", "0123");
    EXPECT_EQ(::symlink("file", folder.path("link").c_str()), 0);
    ZCO_TRY(const struct statx target, co_await io.stat(folder.path("link")));
    ZCO_TRY(const struct statx link, co_await io.stat(folder.path("link"), AT_SYMLINK_NOFOLLOW));
    EXPECT_TRUE(S_ISREG(target.stx_mode));
    EXPECT_TRUE(S_ISLNK(link.stx_mode));
    co_return {};
}

ZSYNC_CASE(stat, of_a_missing_path_is_enoent, nothing) {
    const Folder folder;
    EXPECT_IS(co_await io.stat(folder.path("missing")), "ENOENT");
    co_return {};
}

ZSYNC_CASE(rename, moves_a_file, writing) {
    const Folder folder;
    (void)file_with(folder, "old", "text");
    ZCO_CHECK(co_await io.rename(folder.path("old"), folder.path("new")));
    EXPECT_EQ(content_of(folder.path("new")), "text");
    EXPECT_EQ(::access(folder.path("old").c_str(), F_OK), -1);
    co_return {};
}

ZSYNC_CASE(rename, replaces_what_is_there, writing) {
    const Folder folder;
    (void)file_with(folder, "old", "newer");
    (void)file_with(folder, "new", "older");
    ZCO_CHECK(co_await io.rename(folder.path("old"), folder.path("new")));
    EXPECT_EQ(content_of(folder.path("new")), "newer");
    co_return {};
}

ZSYNC_CASE(rename, replaces_nothing_when_told_so, writing) {
    const Folder folder;
    (void)file_with(folder, "old", "newer");
    (void)file_with(folder, "new", "older");
    const Result<void> renamed =
        co_await io.rename(folder.path("old"), folder.path("new"), RENAME_NOREPLACE);
    EXPECT_EQ(content_of(folder.path("new")), "older");
    co_return what(renamed) == "EEXIST" ? Result<void>() : renamed;
}

ZSYNC_CASE(rename, exchanges_when_told_so, writing) {
    const Folder folder;
    (void)file_with(folder, "a", "was a");
    (void)file_with(folder, "b", "was b");
    ZCO_CHECK(co_await io.rename(folder.path("a"), folder.path("b"), RENAME_EXCHANGE));
    EXPECT_EQ(content_of(folder.path("a")), "was b");
    EXPECT_EQ(content_of(folder.path("b")), "was a");
    co_return {};
}

ZSYNC_CASE(rename, of_a_missing_file_is_enoent, writing) {
    const Folder folder;
    const Result<void> renamed = co_await io.rename(folder.path("old"), folder.path("new"));
    EXPECT_NE(what(renamed), "ok");
    co_return what(renamed) == "ENOENT" ? Result<void>() : renamed;
}

ZSYNC_CASE(unlink, removes_a_file, nothing) {
    const Folder folder;
    (void)file_with(folder, "file", "text");
    ZCO_CHECK(co_await io.unlink(folder.path("file")));
    EXPECT_EQ(::access(folder.path("file").c_str(), F_OK), -1);
    co_return {};
}

ZSYNC_CASE(unlink, of_a_directory_is_eisdir, nothing) {
    const Folder folder;
    EXPECT_IS(co_await io.unlink(folder.path()), "EISDIR");
    co_return {};
}

ZSYNC_CASE(unlink, removes_an_empty_directory_when_told_so, nothing) {
    const Folder folder;
    EXPECT_EQ(::mkdir(folder.path("inner").c_str(), 0700), 0);
    ZCO_CHECK(co_await io.unlink(folder.path("inner"), AT_REMOVEDIR));
    EXPECT_EQ(::access(folder.path("inner").c_str(), F_OK), -1);
    co_return {};
}

ZSYNC_CASE(unlink, leaves_a_directory_that_is_not_empty, nothing) {
    const Folder folder;
    (void)file_with(folder, "file", "text");
    EXPECT_IS(co_await io.unlink(folder.path(), AT_REMOVEDIR), "ENOTEMPTY");
    co_return {};
}

ZSYNC_CASE(unlink, of_a_missing_file_is_enoent, nothing) {
    const Folder folder;
    EXPECT_IS(co_await io.unlink(folder.path("missing")), "ENOENT");
    co_return {};
}

ZSYNC_CASE(mkdir, makes_a_directory_with_its_mode, writing) {
    const Folder folder;
    ZCO_CHECK(co_await io.mkdir(folder.path("inner"), 0700));
    struct stat found{};
    EXPECT_EQ(::stat(folder.path("inner").c_str(), &found), 0);
    EXPECT_TRUE(S_ISDIR(found.st_mode));
    EXPECT_EQ(found.st_mode & 0777U, 0700U);
    co_return {};
}

ZSYNC_CASE(mkdir, starts_at_a_directory, writing) {
    const Folder folder;
    ZCO_TRY(const Fd directory, co_await io.open(folder.path(), O_RDONLY | O_DIRECTORY));
    ZCO_CHECK(co_await io.mkdir("inner", 0700, directory));
    EXPECT_EQ(::access(folder.path("inner").c_str(), F_OK), 0);
    co_return {};
}

ZSYNC_CASE(mkdir, of_what_is_there_is_eexist, writing) {
    const Folder folder;
    const Result<void> made = co_await io.mkdir(folder.path());
    EXPECT_NE(what(made), "ok");
    co_return what(made) == "EEXIST" ? Result<void>() : made;
}

ZSYNC_CASE(allocate, makes_a_file_longer, writing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "text");
    ZCO_CHECK(co_await io.allocate(file, 0, 0, 8192));
    EXPECT_EQ(::lseek(file.get(), 0, SEEK_END), 8192);
    co_return {};
}

ZSYNC_CASE(allocate, may_keep_the_length, writing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "text");
    ZCO_CHECK(co_await io.allocate(file, FALLOC_FL_KEEP_SIZE, 0, 8192));
    EXPECT_EQ(::lseek(file.get(), 0, SEEK_END), 4);
    co_return {};
}

ZSYNC_CASE(allocate, of_nothing_is_einval, writing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "text");
    const Result<void> allocated = co_await io.allocate(file, 0, 0, 0);
    EXPECT_NE(what(allocated), "ok");
    co_return what(allocated) == "EINVAL" ? Result<void>() : allocated;
}

ZSYNC_CASE(advise, takes_every_advice, nothing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "text");
    for (const int advice :
         {POSIX_FADV_NORMAL,
          POSIX_FADV_SEQUENTIAL,
          POSIX_FADV_RANDOM,
          POSIX_FADV_WILLNEED,
          POSIX_FADV_DONTNEED}) {
        EXPECT_IS(co_await io.advise(file, 0, 0, advice), "ok") << advice;
    }
    co_return {};
}

ZSYNC_CASE(advise, about_a_pipe_is_espipe, nothing) {
    const auto pair = pipe_pair();
    EXPECT_IS(co_await io.advise(pair.a, 0, 0, POSIX_FADV_SEQUENTIAL), "ESPIPE");
    co_return {};
}

ZSYNC_CASE(truncate, makes_a_file_shorter_and_longer, writing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "0123456789");
    ZCO_CHECK(co_await io.truncate(file, 2));
    EXPECT_EQ(content_of(folder.path("file")), "01");
    ZCO_CHECK(co_await io.truncate(file, 4));
    EXPECT_EQ(content_of(folder.path("file")), std::string("01\0\0", 4));
    co_return {};
}

ZSYNC_CASE(truncate, of_what_is_open_for_reading_only_is_einval, writing) {
    const Folder folder;
    (void)file_with(folder, "file", "0123");
    ZCO_TRY(const Fd file, co_await io.open(folder.path("file"), O_RDONLY));
    const Result<void> truncated = co_await io.truncate(file, 0);
    EXPECT_EQ(content_of(folder.path("file")), "0123");
    co_return what(truncated) == "EINVAL" ? Result<void>() : truncated;
}

} // namespace zsync::conformance
