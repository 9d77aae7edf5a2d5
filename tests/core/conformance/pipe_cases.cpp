// Pipes, splicing, and the buffers that operations take and give back.
#include "tests/core/conformance/conformance.hpp"

#include <zsync/core/worker.hpp>

#include <sys/stat.h>

#include <fcntl.h>
#include <string>
#include <unistd.h>
#include <vector>

namespace zsync::conformance {
namespace {

Task<Result<std::string>> read_some(Io io, FdRef from) {
    const auto got = co_await io.read(from, Bytes(16));
    ZCO_CHECK(got.count);
    co_return text_of(got);
}

bool is_on_ring(Io io) {
    return io.kind() != TaskKind::thread && static_cast<Worker&>(io.executor()).ring() != nullptr;
}
bool is_opened_by_ring(Io io, const Result<Fd>& opened) {
    return is_on_ring(io) && (opened || what(opened) == "ENXIO");
}
void make_fifo(const Folder& folder) { EXPECT_EQ(::mkfifo(folder.path("fifo").c_str(), 0600), 0); }

} // namespace

ZSYNC_CASE(splice, moves_bytes_from_a_file_into_a_pipe, nothing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "spliced");
    const auto pair = pipe_pair();
    EXPECT_EQ(co_await io.splice(file, 2, pair.b, Io::current_position, 5), 5U);
    EXPECT_EQ(take(pair.a), "liced");
    co_return {};
}

ZSYNC_CASE(splice, moves_bytes_from_a_pipe_into_a_file, nothing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "....");
    const auto pair = pipe_pair();
    put(pair.b, "xy");
    EXPECT_EQ(co_await io.splice(pair.a, Io::current_position, file, 1, 2), 2U);
    EXPECT_EQ(content_of(folder.path("file")), ".xy.");
    co_return {};
}

ZSYNC_CASE(splice, moves_bytes_from_pipe_to_pipe, nothing) {
    const auto from = pipe_pair();
    const auto to = pipe_pair();
    put(from.b, "through");
    EXPECT_EQ(co_await io.splice(from.a, Io::current_position, to.b, Io::current_position, 64), 7U);
    EXPECT_EQ(take(to.a), "through");
    co_return {};
}

ZSYNC_CASE(splice, waits_for_bytes, beside) {
    const auto from = pipe_pair();
    const auto to = pipe_pair();
    ZCO_TRY(auto moving, io.concurrent([&, io]() -> Task<Result<std::uint32_t>> {
        co_return co_await io.splice(from.a, Io::current_position, to.b, Io::current_position, 64);
    }));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(moving.is_finished());
    put(from.b, "late");
    EXPECT_EQ(co_await moving, 4U);
    EXPECT_EQ(take(to.a), "late");
    co_return {};
}

// A kernel worker thread takes the splice up while the task goes on: the cancels, each a little
// later than the one before, meet it before, while and after it falls asleep.
ZSYNC_CASE(splice, is_canceled_wherever_it_has_come_to, beside) {
    const auto from = pipe_pair();
    const auto to = pipe_pair();
    for (int passes = 0; passes < 2048; passes += 64) {
        ZCO_TRY(auto moving, io.concurrent([&, io]() -> Task<Result<std::uint32_t>> {
            co_return co_await io.splice(
                from.a, Io::current_position, to.b, Io::current_position, 64
            );
        }));
        for (int pass = 0; pass < passes; ++pass) {
            ZCO_CHECK(co_await io.yield());
        }
        EXPECT_IS(co_await moving.cancel(), "Canceled") << "after " << passes << " passes";
    }
    co_return {};
}

ZSYNC_CASE(splice, gives_0_at_the_end, nothing) {
    auto from = pipe_pair();
    const auto to = pipe_pair();
    from.b.reset();
    EXPECT_EQ(co_await io.splice(from.a, Io::current_position, to.b, Io::current_position, 64), 0U);
    co_return {};
}

ZSYNC_CASE(splice, between_files_is_einval, nothing) {
    const Folder folder;
    const Fd a = file_with(folder, "a", "text");
    const Fd b = file_with(folder, "b", "");
    EXPECT_IS(co_await io.splice(a, 0, b, 0, 4), "EINVAL");
    co_return {};
}

ZSYNC_CASE(pipe, carries_bytes, writing) {
    const auto pair = pipe_pair();
    ZCO_CHECK((co_await io.write(pair.b, Bytes::copy_of("piped"))).count);
    EXPECT_EQ(text_of(co_await io.read(pair.a, Bytes(16))), "piped");
    co_return {};
}

ZSYNC_CASE(pipe, gives_what_there_is_and_keeps_the_rest, nothing) {
    const auto pair = pipe_pair();
    put(pair.b, "0123456789");
    EXPECT_EQ(text_of(co_await io.read(pair.a, Bytes(4))), "0123");
    EXPECT_EQ(text_of(co_await io.read(pair.a, Bytes(16))), "456789");
    co_return {};
}

ZSYNC_CASE(pipe, ends_when_its_writers_have_gone, nothing) {
    auto pair = pipe_pair();
    put(pair.b, "last");
    pair.b.reset();
    EXPECT_EQ(text_of(co_await io.read(pair.a, Bytes(16))), "last");
    EXPECT_EQ((co_await io.read(pair.a, Bytes(16))).count, 0U);
    co_return {};
}

ZSYNC_CASE(pipe, is_waited_for_until_bytes_come, beside) {
    const auto pair = pipe_pair();
    ZCO_TRY(auto reading, io.concurrent(read_some, io, FdRef(pair.a)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(reading.is_finished());
    put(pair.b, "late");
    EXPECT_EQ(co_await reading, "late");
    co_return {};
}

ZSYNC_CASE(pipe, is_waited_for_until_its_end_comes, beside) {
    auto pair = pipe_pair();
    ZCO_TRY(auto reading, io.concurrent(read_some, io, FdRef(pair.a)));
    ZCO_CHECK(co_await at_rest(io));
    pair.b.reset();
    EXPECT_EQ(co_await reading, "");
    co_return {};
}

ZSYNC_CASE(pipe, that_is_full_is_waited_for_until_there_is_room, beside | writing) {
    const auto pair = pipe_pair();
    const int bytes = ::fcntl(pair.b.get(), F_SETPIPE_SZ, 4096);
    put(pair.b, std::string(static_cast<std::size_t>(bytes), 'x'));
    ZCO_TRY(auto writing_more, io.concurrent([&, io]() -> Task<Result<std::size_t>> {
        co_return (co_await io.write(pair.b, Bytes::copy_of("more"))).count;
    }));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(writing_more.is_finished());
    std::string got = take(pair.a);
    EXPECT_EQ(co_await writing_more, 4U);
    got += take(pair.a);
    EXPECT_TRUE(got.ends_with("xmore"));
    co_return {};
}

ZSYNC_CASE(pipe, that_others_made_non_blocking_is_waited_for, beside) {
    const auto pair = pipe_pair(O_NONBLOCK);
    ZCO_TRY(auto reading, io.concurrent(read_some, io, FdRef(pair.a)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(reading.is_finished());
    put(pair.b, "now");
    EXPECT_EQ(co_await reading, "now");
    co_return {};
}

ZSYNC_CASE(pipe, that_others_made_non_blocking_can_be_canceled, beside) {
    const auto pair = pipe_pair(O_NONBLOCK);
    ZCO_TRY(auto reading, io.concurrent(read_some, io, FdRef(pair.a)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await reading.cancel(), "Canceled");
    put(pair.b, "kept");
    EXPECT_EQ(take(pair.a), "kept");
    co_return {};
}

ZSYNC_CASE(pipe, that_others_made_non_blocking_times_out, timer) {
    const auto pair = pipe_pair(O_NONBLOCK);
    TIMES_OUT(co_await io.read(pair.a, Bytes(4)).until(io.now() + soon));
    co_return {};
}

ZSYNC_CASE(splice, waits_for_pipes_that_others_made_non_blocking, beside) {
    const auto from = pipe_pair(O_NONBLOCK);
    const auto to = pipe_pair(O_NONBLOCK);
    const std::string block(4096, 'x');
    while (::write(to.b.get(), block.data(), block.size()) > 0) {
    }
    constexpr auto here = Io::current_position;
    ZCO_TRY(auto moving, io.concurrent([&, io]() -> Task<Result<std::uint32_t>> {
        co_return co_await io.splice(from.a, here, to.b, here, 16);
    }));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(moving.is_finished());
    put(from.b, "now");
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_FALSE(moving.is_finished()) << "there is no room";
    std::string got = take(to.a);
    EXPECT_EQ(co_await moving, 3U);
    got += take(to.a);
    EXPECT_TRUE(got.ends_with("xnow"));
    co_return {};
}

ZSYNC_CASE(splice, of_pipes_that_others_made_non_blocking_times_out, timer) {
    const auto from = pipe_pair(O_NONBLOCK);
    const auto to = pipe_pair(O_NONBLOCK);
    constexpr auto here = Io::current_position;
    TIMES_OUT(co_await io.splice(from.a, here, to.b, here, 16).until(io.now() + soon));
    co_return {};
}

ZSYNC_CASE(pipe, a_read_times_out_and_loses_nothing, timer) {
    const auto pair = pipe_pair();
    TIMES_OUT(co_await io.read(pair.a, Bytes(4)).until(io.now() + soon));
    put(pair.b, "kept");
    EXPECT_EQ(take(pair.a), "kept");
    co_return {};
}

ZSYNC_CASE(pipe, a_canceled_read_loses_nothing, beside) {
    const auto pair = pipe_pair();
    ZCO_TRY(auto reading, io.concurrent(read_some, io, FdRef(pair.a)));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_IS(co_await reading.cancel(), "Canceled");
    put(pair.b, "kept");
    EXPECT_EQ(text_of(co_await io.read(pair.a, Bytes(16))), "kept");
    co_return {};
}

// The other end of a FIFO may never be opened, and openat(2) waits for it. A ring tries with
// O_NONBLOCK first, so there it depends on the kernel's cache of names whether it waits.

ZSYNC_CASE(fifo, whose_other_end_is_not_open_times_out, timer | outside) {
    const Folder folder;
    make_fifo(folder);
    for (const int mode : {O_RDONLY, O_WRONLY}) {
        const auto opened = co_await io.open(folder.path("fifo"), mode).until(io.now() + soon);
        if (what(opened) == "Unsupported") {
            co_return fail(opened.error());
        }
        EXPECT_TRUE(what(opened) == "TimedOut" || is_opened_by_ring(io, opened)) << what(opened);
    }
    co_return {};
}

ZSYNC_CASE(fifo, whose_other_end_is_not_open_can_be_canceled, beside | outside) {
    const Folder folder;
    make_fifo(folder);
    for (const int mode : {O_RDONLY, O_WRONLY}) {
        ZCO_TRY(auto opening, io.concurrent([&folder, mode, io]() -> Task<Result<Fd>> {
            co_return co_await io.open(folder.path("fifo"), mode);
        }));
        ZCO_CHECK(co_await at_rest(io));
        const Result<Fd> opened = co_await std::move(opening).cancel();
        EXPECT_TRUE(what(opened) == "Canceled" || is_opened_by_ring(io, opened)) << what(opened);
    }
    co_return {};
}

ZSYNC_CASE(fifo, is_opened_when_its_other_end_is, beside | outside) {
    const Folder folder;
    make_fifo(folder);
    ZCO_TRY(auto reading, io.concurrent([&folder, io]() -> Task<Result<Fd>> {
        co_return co_await io.open(folder.path("fifo"), O_RDONLY);
    }));
    ZCO_CHECK(co_await at_rest(io));
    EXPECT_TRUE(!reading.is_finished() || is_on_ring(io));
    ZCO_TRY(const Fd writer, co_await io.open(folder.path("fifo"), O_WRONLY)); // and writes nothing
    ZCO_TRY(const Fd reader, co_await std::move(reading));
    EXPECT_EQ(::fcntl(reader.get(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_EQ(::fcntl(writer.get(), F_GETFL) & O_NONBLOCK, 0);
    put(writer, "text");
    EXPECT_EQ(take(reader), "text");
    co_return {};
}

ZSYNC_CASE(buffer, of_bytes_comes_back, nothing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "0123");
    Bytes bytes(16);
    const std::byte* const at = bytes.data();
    auto got = co_await io.read(file, std::move(bytes), 0);
    EXPECT_EQ(got.buffer.data(), at);
    EXPECT_EQ(got.buffer.size(), 16U);
    co_return {};
}

ZSYNC_CASE(buffer, of_a_vector_comes_back, nothing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "0123");
    std::vector<std::byte> bytes(16);
    const std::byte* const at = bytes.data();
    auto got = co_await io.read(file, std::move(bytes), 0);
    EXPECT_EQ(got.buffer.data(), at);
    EXPECT_EQ(got.count, 4U);
    co_return {};
}

ZSYNC_CASE(buffer, of_a_span_is_borrowed, nothing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "0123");
    std::array<char, 8> bytes{};
    const auto got = co_await io.read(file, std::span(bytes), 0);
    EXPECT_EQ(got.count, 4U);
    EXPECT_EQ(std::string(bytes.data()), "0123");
    co_return {};
}

ZSYNC_CASE(buffer, of_a_string_view_is_written, writing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "");
    ZCO_CHECK((co_await io.write(file, std::string_view("viewed"), 0)).count);
    EXPECT_EQ(content_of(folder.path("file")), "viewed");
    co_return {};
}

ZSYNC_CASE(buffer, comes_back_from_a_failure, nothing) {
    const Fd none;
    auto got = co_await io.read(none, Bytes(16));
    EXPECT_IS(got, "EBADF");
    EXPECT_EQ(got.buffer.size(), 16U);
    co_return {};
}

ZSYNC_CASE(buffer, comes_back_from_a_cancel, nothing) {
    const auto pair = pipe_pair();
    io.recancel();
    auto got = co_await io.read(pair.a, Bytes(16));
    EXPECT_IS(got, "Canceled");
    EXPECT_EQ(got.buffer.size(), 16U);
    co_return {};
}

ZSYNC_CASE(buffer, comes_back_from_a_deadline, timer) {
    const auto pair = pipe_pair();
    auto got = co_await io.read(pair.a, Bytes(16)).until(io.now() + soon);
    EXPECT_EQ(got.buffer.size(), 16U);
    TIMES_OUT(got);
    co_return {};
}

ZSYNC_CASE(buffer, is_only_written_as_far_as_count_says, nothing) {
    const Folder folder;
    const Fd file = file_with(folder, "file", "01");
    std::array<char, 4> bytes{'x', 'x', 'x', 'x'};
    const auto got = co_await io.read(file, std::span(bytes), 0);
    EXPECT_EQ(got.count, 2U);
    EXPECT_EQ(std::string_view(bytes.data(), bytes.size()), "01xx");
    co_return {};
}

} // namespace zsync::conformance
