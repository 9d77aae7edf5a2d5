#include <zsync/core/io.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/pinned_memory.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/worker.hpp>

#include <gtest/gtest.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <memory>
#include <poll.h>
#include <string>
#include <unistd.h>
#include <vector>

using namespace zsync;
using namespace std::chrono_literals;

namespace {

/// Both kinds of task that a worker runs, each with a folder of its own.
class OperationsTest : public testing::TestWithParam<TaskKind> {
protected:
    OperationsTest() {
        auto worker = Worker::create();
        EXPECT_TRUE(worker);
        worker_ = *std::move(worker);
        std::string name = testing::TempDir() + "zsync-operations-XXXXXX";
        EXPECT_NE(::mkdtemp(name.data()), nullptr);
        folder_ = name;
    }
    ~OperationsTest() override { std::filesystem::remove_all(folder_); }

    Io io() { return {*worker_, GetParam()}; }
    [[nodiscard]] std::string path(const char* name) const { return folder_ / name; }

    std::unique_ptr<Worker> worker_;
    std::filesystem::path folder_;
};

INSTANTIATE_TEST_SUITE_P(
    Kinds,
    OperationsTest,
    testing::Values(TaskKind::coroutine, TaskKind::fiber),
    [](const auto& kind) {
        return std::string(kind.param == TaskKind::coroutine ? "coroutine" : "fiber");
    }
);

SocketAddress loopback(std::uint16_t port = 0) {
    SocketAddress address;
    auto& in = reinterpret_cast<sockaddr_in&>(address.storage);
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.length = sizeof in;
    return address;
}

SocketAddress name_of(const Fd& socket) {
    SocketAddress address;
    address.length = sizeof address.storage;
    EXPECT_EQ(
        ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address.storage), &address.length),
        0
    );
    return address;
}

std::uint16_t port_of(const SocketAddress& address) {
    return reinterpret_cast<const sockaddr_in&>(address.storage).sin_port;
}

} // namespace

TEST_P(OperationsTest, a_file_is_made_written_read_and_removed) {
    struct Body {
        static Task<Result<void>> run(Io io, std::string folder) {
            ZCO_CHECK(co_await io.mkdir(folder + "/inner", 0700));
            const std::string name = folder + "/inner/file";
            ZCO_TRY(Fd file, co_await io.open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
            EXPECT_EQ((co_await io.write(file, Bytes::copy_of("0123456789"))).count, 10U);
            EXPECT_EQ((co_await io.write(file, Bytes::copy_of("abc"), 3)).count, 3U);
            ZCO_CHECK(co_await io.fsync(file));
            ZCO_CHECK(co_await io.fsync(file, true));
            auto read = co_await io.read(file, Bytes(32), 1);
            EXPECT_EQ(read.buffer.text(*read.count), "12abc6789");
            ZCO_CHECK(co_await io.truncate(file, 4));
            ZCO_CHECK(co_await io.allocate(file, 0, 0, 8192));
            ZCO_CHECK(co_await io.advise(file, 0, 0, POSIX_FADV_SEQUENTIAL));
            ZCO_TRY(const struct statx by_fd, co_await io.stat(file));
            EXPECT_EQ(by_fd.stx_size, 8192U);
            ZCO_CHECK(co_await io.close(std::move(file)));
            ZCO_CHECK(co_await io.rename(name, folder + "/moved"));
            ZCO_TRY(const struct statx by_name, co_await io.stat(folder + "/moved"));
            EXPECT_EQ(by_name.stx_ino, by_fd.stx_ino);
            EXPECT_EQ((co_await io.stat(name)).error(), os_error(ENOENT));
            ZCO_CHECK(co_await io.unlink(folder + "/moved"));
            EXPECT_EQ((co_await io.unlink(folder + "/inner")).error(), os_error(EISDIR));
            co_return co_await io.unlink(folder + "/inner", AT_REMOVEDIR);
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io(), folder_)));
}

TEST_P(OperationsTest, an_error_keeps_the_kernels_number) {
    struct Body {
        static Task<void> run(Io io, std::string folder) {
            const Result<Fd> missing = co_await io.open(folder + "/missing", O_RDONLY);
            EXPECT_EQ(missing.error().os_error(), ENOENT);
            const Fd closed;
            EXPECT_EQ((co_await io.read(closed, Bytes(1))).count.error().os_error(), EBADF);
            EXPECT_EQ((co_await io.mkdir(folder)).error().os_error(), EEXIST);
        }
    };
    io().run("root", Body::run(io(), folder_));
}

TEST_P(OperationsTest, vectors_are_filled_and_written_in_order) {
    struct Body {
        static Task<Result<void>> run(Io io, std::string folder) {
            ZCO_TRY(const Fd file, co_await io.open(folder + "/file", O_RDWR | O_CREAT));
            std::string one = "one ";
            std::string two = "two";
            const std::array<iovec, 2> out{
                iovec{.iov_base = one.data(), .iov_len = one.size()},
                iovec{.iov_base = two.data(), .iov_len = two.size()},
            };
            EXPECT_EQ(co_await io.write_from(file, out, 0), 7U);
            std::array<char, 3> first{};
            std::array<char, 8> second{};
            const std::array<iovec, 2> in{
                iovec{.iov_base = first.data(), .iov_len = first.size()},
                iovec{.iov_base = second.data(), .iov_len = second.size()},
            };
            EXPECT_EQ(co_await io.read_into(file, in, 0), 7U);
            EXPECT_EQ(std::string(first.data(), 3), "one");
            EXPECT_EQ(std::string(second.data(), 4), " two");
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io(), folder_)));
}

TEST_P(OperationsTest, splice_moves_bytes_from_a_file_into_a_pipe) {
    struct Body {
        static Task<Result<void>> run(Io io, std::string folder) {
            ZCO_TRY(const Fd file, co_await io.open(folder + "/file", O_RDWR | O_CREAT));
            EXPECT_EQ((co_await io.write(file, Bytes::copy_of("spliced"), 0)).count, 7U);
            std::array<int, 2> ends{};
            EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
            const Fd reader(ends[0]);
            const Fd writer(ends[1]);
            EXPECT_EQ(co_await io.splice(file, 2, writer, Io::current_position, 5), 5U);
            auto read = co_await io.read(reader, Bytes(16));
            EXPECT_EQ(read.buffer.text(*read.count), "liced");
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io(), folder_)));
}

TEST_P(OperationsTest, a_tcp_connection_is_made_used_and_shut_down) {
    struct Body {
        static Task<Result<void>> serve(Io io, const Fd& listener) {
            ZCO_TRY(const Fd client, co_await io.accept(listener));
            auto got = co_await io.recv(client, Bytes(16));
            ZCO_CHECK(got.count);
            EXPECT_EQ(got.buffer.text(*got.count), "ping");
            const auto sent = co_await io.send(client, Bytes::copy_of("pong"), MSG_WAITALL);
            EXPECT_EQ(sent.count, 4U);
            co_return {};
        }
        static Task<Result<void>> run(Io io) {
            ZCO_TRY(const Fd listener, co_await io.socket(AF_INET, SOCK_STREAM));
            ZCO_CHECK(co_await io.bind(listener, loopback()));
            ZCO_CHECK(co_await io.listen(listener, 8));
            auto server = io.async(&Body::serve, io, std::cref(listener));
            ZCO_TRY(const Fd client, co_await io.socket(AF_INET, SOCK_STREAM));
            ZCO_CHECK(co_await io.connect(client, name_of(listener)));
            EXPECT_EQ((co_await io.send(client, Bytes::copy_of("ping"))).count, 4U);
            ZCO_CHECK(co_await io.shutdown(client, SHUT_WR));
            auto got = co_await io.recv(client, Bytes(16), MSG_WAITALL);
            ZCO_CHECK(got.count);
            EXPECT_EQ(got.buffer.text(*got.count), "pong");
            co_return co_await server;
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(OperationsTest, a_refused_connection_says_so) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            ZCO_TRY(Fd bound, co_await io.socket(AF_INET, SOCK_STREAM));
            ZCO_CHECK(co_await io.bind(bound, loopback()));
            ZCO_TRY(const Fd client, co_await io.socket(AF_INET, SOCK_STREAM));
            const Result<void> connected = co_await io.connect(client, name_of(bound));
            EXPECT_EQ(connected.error().os_error(), ECONNREFUSED);
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(OperationsTest, datagrams_keep_their_bounds_and_say_where_they_come_from) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            ZCO_TRY(const Fd a, co_await io.socket(AF_INET, SOCK_DGRAM));
            ZCO_TRY(const Fd b, co_await io.socket(AF_INET, SOCK_DGRAM));
            ZCO_CHECK(co_await io.bind(a, loopback()));
            ZCO_CHECK(co_await io.bind(b, loopback()));
            for (const char* text : {"first", "", "longer than the buffer"}) {
                const auto sent = co_await io.send_to(a, Bytes::copy_of(text), name_of(b));
                EXPECT_EQ(sent.count, std::string_view(text).size());
            }
            auto first = co_await io.receive_from(b, Bytes(8));
            EXPECT_EQ(first.count, 5U);
            EXPECT_EQ(first.buffer.text(5), "first");
            EXPECT_FALSE(first.truncated);
            EXPECT_EQ(port_of(first.from), port_of(name_of(a)));
            auto empty = co_await io.receive_from(b, Bytes(8));
            EXPECT_EQ(empty.count, 0U);
            EXPECT_EQ(port_of(empty.from), port_of(name_of(a)));
            auto cut = co_await io.receive_from(b, Bytes(8));
            EXPECT_EQ(cut.count, 8U);
            EXPECT_TRUE(cut.truncated);
            const auto none = co_await io.receive_from(b, Bytes(8)).until(io.now() + 2ms);
            EXPECT_EQ(none.count.error(), Error(CoreError::timed_out));
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(OperationsTest, a_zero_copy_send_ends_when_its_buffer_is_free_and_says_if_it_was_copied) {
    struct Body {
        static Task<Result<std::size_t>> read_all(Io io, const Fd& from, std::size_t wanted) {
            std::size_t got = 0;
            while (got < wanted) {
                auto [count, buffer] = co_await io.recv(from, Bytes(8192));
                ZCO_CHECK(count);
                for (const char c : buffer.text(*count)) {
                    EXPECT_EQ(c, 'z');
                }
                got += *count;
            }
            co_return got;
        }
        static Task<Result<void>> run(Io io) {
            ZCO_TRY(const Fd listener, co_await io.socket(AF_INET, SOCK_STREAM));
            ZCO_CHECK(co_await io.bind(listener, loopback()));
            ZCO_CHECK(co_await io.listen(listener, 8));
            ZCO_TRY(const Fd client, co_await io.socket(AF_INET, SOCK_STREAM));
            ZCO_CHECK(co_await io.connect(client, name_of(listener)));
            ZCO_TRY(const Fd server, co_await io.accept(listener));
            const std::string text(32768, 'z');
            auto reading = io.async(&Body::read_all, io, std::cref(server), text.size());
            std::size_t sent = 0;
            while (sent < text.size()) {
                const auto done = co_await io.send_zero_copy(client, std::span(text).subspan(sent));
                ZCO_CHECK(done.count);
                EXPECT_TRUE(done.copied) << "loopback copies on delivery";
                sent += *done.count;
            }
            EXPECT_EQ(co_await reading, text.size());
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(OperationsTest, pinned_memory_is_sent_and_is_memory_like_any_other_past_its_limit) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            std::vector<std::unique_ptr<PinnedMemory>> memories;
            for (unsigned n = 0; n <= limits::pinned_memories_max; ++n) {
                ZCO_TRY(memories.emplace_back(), PinnedMemory::create(io, 4096));
            }
            EXPECT_FALSE(memories.back()->is_pinned());
            const bool has_pinned = memories.front()->is_pinned();
            memories.erase(memories.begin() + 1);
            ZCO_TRY(memories.emplace_back(), PinnedMemory::create(io, 4096));
            EXPECT_EQ(
                memories.back()->is_pinned(), has_pinned
            ); // in the place of the one that went
            ZCO_TRY(const Fd listener, co_await io.socket(AF_INET, SOCK_STREAM));
            ZCO_CHECK(co_await io.bind(listener, loopback()));
            ZCO_CHECK(co_await io.listen(listener, 8));
            ZCO_TRY(const Fd client, co_await io.socket(AF_INET, SOCK_STREAM));
            ZCO_CHECK(co_await io.connect(client, name_of(listener)));
            ZCO_TRY(const Fd server, co_await io.accept(listener));
            for (const auto& memory : memories) {
                memory->bytes()[100] = std::byte{42};
                const auto sent = co_await io.send_zero_copy(client, memory->part(100, 10));
                EXPECT_EQ(sent.count, 10U);
                auto [count, got] = co_await io.recv(server, Bytes(16));
                EXPECT_EQ(count, 10U);
                EXPECT_EQ(got.data()[0], std::byte{42});
                EXPECT_EQ((co_await io.send(client, memory->part(100, 1))).count, 1U);
                EXPECT_EQ((co_await io.recv(server, Bytes(1))).count, 1U);
            }
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(OperationsTest, a_descriptor_that_others_made_non_blocking_is_waited_for) {
    struct Body {
        static Task<Result<std::string>> read_one(Io io, const Fd& from) {
            auto [count, buffer] = co_await io.read(from, Bytes(16));
            ZCO_CHECK(count);
            co_return std::string(buffer.text(*count));
        }
        static Task<Result<void>> run(Io io) {
            std::array<int, 2> ends{};
            EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK), 0);
            const Fd reader(ends[0]);
            const Fd writer(ends[1]);
            auto reading = io.async(&Body::read_one, io, std::cref(reader));
            ZCO_CHECK(co_await io.sleep_for(2ms));
            EXPECT_FALSE(reading.is_finished());
            EXPECT_EQ((co_await io.write(writer, Bytes::copy_of("now"))).count, 3U);
            EXPECT_EQ(co_await reading, "now");

            auto stopped = io.async(&Body::read_one, io, std::cref(reader));
            ZCO_CHECK(co_await io.sleep_for(2ms));
            EXPECT_EQ((co_await stopped.cancel()).error(), Error(CoreError::canceled));
            const auto late = co_await io.read(reader, Bytes(4)).until(io.now() + 2ms);
            EXPECT_EQ(late.count.error(), Error(CoreError::timed_out));
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(OperationsTest, a_futex_is_waited_for_while_it_has_the_value) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            std::atomic<std::uint32_t> word = 1;
            EXPECT_EQ((co_await io.futex_wait(word, 2)).error().os_error(), EAGAIN);
            auto waiting = io.async(
                [](Io inner, const std::atomic<std::uint32_t>* at) -> Task<Result<void>> {
                    co_return co_await inner.futex_wait(*at, 1);
                },
                io,
                &word
            );
            ZCO_CHECK(co_await io.sleep_for(2ms));
            EXPECT_FALSE(waiting.is_finished());
            word = 2;
            EXPECT_EQ(::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0), 1);
            EXPECT_TRUE(co_await waiting);
            const auto late = co_await io.futex_wait(word, 2).until(io.now() + 2ms);
            EXPECT_EQ(late.error(), Error(CoreError::timed_out));
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(OperationsTest, a_close_that_is_canceled_still_closes) {
    struct Body {
        static Task<Result<void>> run(Io io, std::string folder) {
            ZCO_TRY(Fd file, co_await io.open(folder + "/file", O_RDWR | O_CREAT));
            const int number = file.get();
            io.recancel();
            EXPECT_EQ((co_await io.close(std::move(file))).error(), Error(CoreError::canceled));
            EXPECT_EQ(::fcntl(number, F_GETFD), -1);
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io(), folder_)));
}
