// Batches on every execution model: chains, many at once, and what a cancel leaves.
#include "models.hpp"
#include "tests/core/seeds.hpp"

#include <zsync/core/batch.hpp>
#include <zsync/core/failing_executor.hpp>
#include <zsync/core/simulation.hpp>

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <format>
#include <map>
#include <memory>
#include <poll.h>
#include <span>
#include <string>
#include <unistd.h>
#include <vector>

using namespace zsync;
using namespace std::chrono_literals;
using Op = BatchOperation;

namespace {

class AnyBatch : public ModelTest {};
INSTANTIATE_TEST_SUITE_P(Models, AnyBatch, real_models(), model_name);

class ConcurrentBatch : public AnyBatch {};
INSTANTIATE_TEST_SUITE_P(Models, ConcurrentBatch, concurrent_models(), model_name);

std::array<Fd, 2> socket_pair(int flags = 0) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0, ends.data()), 0);
    return {Fd(ends[0]), Fd(ends[1])};
}

/// A folder with files 0, 1, 2 ..., each with a text of its own; gone with the object.
class Folder {
public:
    explicit Folder(unsigned files) {
        path_ = testing::TempDir() + std::format("zsync-batch-{}", ::getpid());
        std::filesystem::create_directory(path_);
        for (unsigned n = 0; n < files; ++n) {
            const Fd file(::open(path(n).c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644));
            EXPECT_EQ(::write(file.get(), text(n).data(), text(n).size()), text(n).size());
        }
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    ~Folder() { std::filesystem::remove_all(path_); }
    [[nodiscard]] std::string path(unsigned n) const { return std::format("{}/{}", path_, n); }
    [[nodiscard]] const std::string& path() const { return path_; }
    /// Descriptors of this process that are open in it.
    [[nodiscard]] int open_files() const {
        int count = 0;
        for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
            std::error_code gone; // of the directory that is being read
            const std::string file = std::filesystem::read_symlink(entry.path(), gone).string();
            count += file.starts_with(path_) ? 1 : 0;
        }
        return count;
    }
    static std::string text(unsigned n) { return std::format("the text of file {}", n); }

private:
    std::string path_;
};

std::span<const std::byte> bytes_of(std::string_view text) {
    return std::as_bytes(std::span(text));
}

std::string_view text_of(std::span<const std::byte> bytes, std::size_t count) {
    return {reinterpret_cast<const char*>(bytes.data()), count};
}

/// What a chain of one file needs and gives.
struct FileWork {
    std::string path;
    struct statx found{};
    std::array<std::byte, 64> buffer{};
    std::map<Opcode, Result<std::uint32_t>> results;
};

Result<void> add_file(Batch& batch, std::uint64_t tag, FileWork& work) {
    return batch.add(
        tag,
        Op::open(work.path.c_str(), O_RDONLY),
        Op::stat(Batch::opened, work.found),
        Op::read(Batch::opened, work.buffer, 0),
        Op::close(Batch::opened)
    );
}

void take_all(Batch& batch, std::span<FileWork> works) {
    while (const auto done = batch.next()) {
        EXPECT_FALSE(done->fd) << name_of(done->operation);
        EXPECT_TRUE(works[done->tag].results.emplace(done->operation, done->value).second);
    }
}

} // namespace

TEST_P(AnyBatch, chains_side_by_side_use_what_they_have_opened) {
    struct Body {
        static Task<Result<void>> run(Io io, std::span<FileWork> works) {
            std::vector<BatchSlot> storage(works.size() * 4);
            Batch batch(io, storage);
            for (std::size_t n = 0; n < works.size(); ++n) {
                ZCO_CHECK(add_file(batch, n, works[n]));
            }
            ZCO_CHECK(co_await batch.all());
            EXPECT_EQ(batch.in_flight(), 0U);
            EXPECT_EQ(batch.completions(), works.size() * 4);
            take_all(batch, works);
            co_return {};
        }
    };
    const Folder folder(100);
    std::vector<FileWork> works(100);
    for (unsigned n = 0; n < works.size(); ++n) {
        works[n].path = folder.path(n);
    }
    EXPECT_TRUE(io().run("root", Body::run(io(), works)));
    EXPECT_EQ(folder.open_files(), 0);
    for (unsigned n = 0; n < works.size(); ++n) {
        const std::string text = Folder::text(n);
        EXPECT_EQ(works[n].results.size(), 4U);
        EXPECT_EQ(works[n].results.at(Opcode::open), 0U);
        EXPECT_EQ(works[n].found.stx_size, text.size());
        EXPECT_EQ(works[n].results.at(Opcode::read), text.size());
        EXPECT_EQ(text_of(works[n].buffer, text.size()), text);
        EXPECT_EQ(works[n].results.at(Opcode::close), 0U);
    }
}

TEST_P(AnyBatch, a_failure_ends_its_own_chain_and_closes_what_that_opened) {
    struct Body {
        static Task<Result<void>> run(Io io, std::span<FileWork> works) {
            std::array<BatchSlot, 12> storage;
            Batch batch(io, storage);
            for (std::size_t n = 0; n < works.size(); ++n) {
                ZCO_CHECK(add_file(batch, n, works[n]));
            }
            ZCO_CHECK(co_await batch.all());
            take_all(batch, works);
            co_return {};
        }
    };
    const Folder folder(1);
    std::array<FileWork, 3> works;
    works[0].path = folder.path(0);
    works[1].path = folder.path(1); // is not there
    works[2].path = folder.path();  // cannot be read
    EXPECT_TRUE(io().run("root", Body::run(io(), works)));
    EXPECT_EQ(folder.open_files(), 0);
    EXPECT_EQ(works[0].results.at(Opcode::read), Folder::text(0).size());
    EXPECT_EQ(works[1].results.at(Opcode::open).error().os_error(), ENOENT);
    for (const Opcode never : {Opcode::statx, Opcode::read, Opcode::close}) {
        EXPECT_EQ(works[1].results.at(never).error().os_error(), ECANCELED);
    }
    EXPECT_EQ(works[2].results.at(Opcode::statx), 0U);
    EXPECT_EQ(works[2].results.at(Opcode::read).error().os_error(), EISDIR);
    EXPECT_EQ(works[2].results.at(Opcode::close), 0U);
}

TEST_P(AnyBatch, a_descriptor_comes_with_the_last_completion_of_its_chain) {
    struct Body {
        static Task<Result<void>> run(Io io, const Folder& folder) {
            const std::string path = folder.path(0);
            std::array<BatchSlot, 4> storage;
            struct statx found{};
            {
                Batch batch(io, storage);
                ZCO_CHECK(batch.add(1, Op::open(path.c_str(), O_RDONLY)));
                ZCO_CHECK(co_await batch.all());
                auto opened = batch.next();
                EXPECT_TRUE(opened && opened->value && opened->fd);
                ZCO_CHECK(
                    batch.add(2, Op::open(path.c_str(), O_RDONLY), Op::stat(Batch::opened, found))
                );
                ZCO_CHECK(co_await batch.all());
                EXPECT_FALSE(batch.next()->fd);
                auto stat = batch.next();
                EXPECT_TRUE(stat && stat->value && stat->fd);
                EXPECT_EQ(found.stx_size, Folder::text(0).size());
                EXPECT_FALSE(batch.next());
                // This one nobody takes.
                ZCO_CHECK(batch.add(3, Op::open(path.c_str(), O_RDONLY)));
                ZCO_CHECK(co_await batch.all());
                EXPECT_EQ(folder.open_files(), 3); // two are in completions that were taken
            }
            EXPECT_EQ(folder.open_files(), 0);
            co_return {};
        }
    };
    const Folder folder(1);
    EXPECT_TRUE(io().run("root", Body::run(io(), folder)));
}

TEST_P(AnyBatch, the_ready_one_of_two_is_given_and_the_other_keeps_its_byte) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            auto [a, b] = socket_pair();
            auto [c, d] = socket_pair();
            std::array<std::byte, 8> first{};
            std::array<std::byte, 8> second{};
            std::array<BatchSlot, 2> storage;
            Batch batch(io, storage);
            ZCO_CHECK(batch.add(1, Op::recv(a, first)));
            ZCO_CHECK(batch.add(2, Op::recv(c, second)));
            EXPECT_EQ(
                (co_await batch.at_least(1).until(io.now() + 3ms)).error(),
                Error(CoreError::timed_out)
            );
            EXPECT_EQ(batch.in_flight(), 2U);
            EXPECT_EQ((co_await io.send(d, Bytes::copy_of("ready"))).count, 5U);
            ZCO_CHECK(co_await batch.at_least(1));
            const auto ready = batch.next();
            EXPECT_TRUE(ready && ready->tag == 2 && ready->value == 5U);
            EXPECT_EQ(text_of(second, 5), "ready");
            co_await batch.cancel();
            const auto stopped = batch.next();
            EXPECT_TRUE(stopped && stopped->tag == 1);
            EXPECT_EQ(stopped->value.error(), Error(CoreError::canceled));
            EXPECT_EQ((co_await io.send(b, Bytes::copy_of("kept"))).count, 4U);
            EXPECT_EQ((co_await io.recv(a, Bytes(8))).count, 4U);
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(AnyBatch, a_deadline_for_all_stops_what_is_left) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            auto [a, b] = socket_pair();
            std::array<std::byte, 8> buffer{};
            std::array<BatchSlot, 2> storage;
            Batch batch(io, storage);
            ZCO_CHECK(batch.add(1, Op::recv(a, buffer)));
            ZCO_CHECK(batch.add(2, Op::send(a, bytes_of("x"))));
            EXPECT_EQ(
                (co_await batch.all().until(io.now() + 3ms)).error(), Error(CoreError::timed_out)
            );
            EXPECT_EQ(batch.in_flight(), 0U);
            EXPECT_EQ(batch.next()->value, 1U);
            EXPECT_EQ(batch.next()->value.error(), Error(CoreError::canceled));
            // In time there is nothing to stop.
            ZCO_CHECK(batch.add(3, Op::poll(b, POLLIN)));
            ZCO_CHECK(co_await batch.all().until(io.now() + 1h));
            EXPECT_EQ(batch.next()->value, POLLIN);
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(AnyBatch, storage_holds_what_it_says_and_one_more_is_refused_whole) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            std::array<BatchSlot, 2> storage;
            struct statx found{};
            Batch batch(io, storage);
            EXPECT_EQ(
                batch.add(1, Op::stat("/", found), Op::stat("/", found), Op::stat("/", found))
                    .error(),
                Error(CoreError::limit_reached)
            );
            EXPECT_EQ(batch.in_flight(), 0U);
            EXPECT_TRUE(batch.add(2, Op::stat("/", found), Op::stat("/", found)));
            EXPECT_EQ(batch.add(3, Op::stat("/", found)).error(), Error(CoreError::limit_reached));
            ZCO_CHECK(co_await batch.all());
            // A completion holds its place until it is taken.
            EXPECT_EQ(batch.add(3, Op::stat("/", found)).error(), Error(CoreError::limit_reached));
            EXPECT_EQ(batch.next()->tag, 2U);
            EXPECT_TRUE(batch.add(3, Op::stat("/", found)));
            ZCO_CHECK(co_await batch.all());
            EXPECT_EQ(batch.next()->tag, 2U);
            EXPECT_EQ(batch.next()->tag, 3U);
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(AnyBatch, chains_that_make_no_sense_are_refused) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            std::array<BatchSlot, 4> storage;
            struct statx found{};
            Batch batch(io, storage);
            const Error senseless(CoreError::invalid_argument);
            const auto open = [] { return Op::open("/", O_RDONLY); };
            EXPECT_EQ(batch.add(1, Op::stat(Batch::opened, found)).error(), senseless);
            EXPECT_EQ(batch.add(1, open(), open()).error(), senseless);
            EXPECT_EQ(
                batch.add(1, open(), Op::close(Batch::opened), Op::stat(Batch::opened, found))
                    .error(),
                senseless
            );
            EXPECT_EQ(batch.add_chain(1, {}).error(), senseless);
            EXPECT_EQ(batch.in_flight(), 0U);
            co_return co_await batch.all(); // there is nothing to wait for
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(AnyBatch, a_descriptor_given_to_be_closed_is_closed_whatever_happens) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            auto [a, b] = socket_pair();
            const int never_added = a.get();
            const int added = b.get();
            std::array<BatchSlot, 2> storage;
            (void)Op::close(std::move(a));
            EXPECT_EQ(::fcntl(never_added, F_GETFD), -1);
            Batch batch(io, storage);
            ZCO_CHECK(batch.add(1, Op::close(std::move(b))));
            co_await batch.cancel();
            EXPECT_EQ(batch.next()->tag, 1U);
            EXPECT_EQ(::fcntl(added, F_GETFD), -1);
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(AnyBatch, waits_on_a_socket_that_does_not_block) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            auto [a, b] = socket_pair(SOCK_NONBLOCK);
            std::array<std::byte, 8> buffer{};
            std::array<BatchSlot, 1> storage;
            Batch batch(io, storage);
            ZCO_CHECK(batch.add(1, Op::recv(a, buffer)));
            EXPECT_EQ(
                (co_await batch.at_least(1).until(io.now() + 3ms)).error(),
                Error(CoreError::timed_out)
            );
            EXPECT_EQ((co_await io.send(b, Bytes::copy_of("late"))).count, 4U);
            ZCO_CHECK(co_await batch.all());
            EXPECT_EQ(batch.next()->value, 4U);
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(AnyBatch, files_are_written_renamed_and_removed) {
    struct Body {
        static Task<Result<void>> run(Io io, std::string folder) {
            std::array<BatchSlot, 8> storage;
            struct statx found{};
            const std::string inner = folder + "/inner";
            const std::string before = inner + "/before";
            const std::string after = inner + "/after";
            Batch batch(io, storage);
            ZCO_CHECK(batch.add(
                1,
                Op::mkdir(inner.c_str()),
                Op::open(before.c_str(), O_WRONLY | O_CREAT),
                Op::write(Batch::opened, bytes_of("written"), 0),
                Op::fsync(Batch::opened, true),
                Op::rename(before.c_str(), after.c_str()),
                Op::stat(after.c_str(), found),
                Op::unlink(after.c_str()),
                Op::close(Batch::opened)
            ));
            ZCO_CHECK(co_await batch.all());
            while (const auto done = batch.next()) {
                EXPECT_TRUE(done->value) << name_of(done->operation);
            }
            EXPECT_EQ(found.stx_size, 7U);
            ZCO_CHECK(batch.add(2, Op::unlink(inner.c_str(), AT_REMOVEDIR)));
            ZCO_CHECK(co_await batch.all());
            co_return batch.next()->value.transform([](auto) {});
        }
    };
    const Folder folder(0);
    EXPECT_TRUE(io().run("root", Body::run(io(), folder.path())));
}

TEST_P(AnyBatch, in_batch_stops_what_an_early_return_leaves) {
    struct Body {
        static Task<Result<void>>
        leave_early(Batch& batch, FdRef socket, std::span<std::byte> buffer) {
            ZCO_CHECK(batch.add(1, Op::recv(socket, buffer)));
            co_return fail(CoreError::closed);
        }
        static Task<Result<void>> run(Io io) {
            auto [a, b] = socket_pair();
            std::array<std::byte, 8> buffer{};
            std::array<BatchSlot, 1> storage;
            co_return co_await
                [](Io at, std::span<BatchSlot> slots, FdRef fd, std::span<std::byte> into
                ) -> Task<Result<void>> {
                    return in_batch(at, slots, &Body::leave_early, fd, into);
                }(io, storage, FdRef(a), buffer);
        }
    };
    EXPECT_EQ(io().run("root", Body::run(io())).error(), Error(CoreError::closed));
}

TEST_P(ConcurrentBatch, a_connection_is_accepted_and_answered_by_chains) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            SocketAddress address{.length = sizeof(sockaddr_in)};
            auto* generic = reinterpret_cast<sockaddr*>(&address.storage);
            generic->sa_family = AF_INET;
            const Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            EXPECT_EQ(::bind(listener.get(), generic, address.length), 0);
            EXPECT_EQ(::listen(listener.get(), 4), 0);
            EXPECT_EQ(::getsockname(listener.get(), generic, &address.length), 0);
            const Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            std::array<std::byte, 8> asked{};
            std::array<std::byte, 8> answered{};
            std::array<BatchSlot, 7> storage;
            Batch batch(io, storage);
            ZCO_CHECK(batch.add(
                1,
                Op::accept(listener),
                Op::recv(Batch::opened, asked),
                Op::send(Batch::opened, bytes_of("answer")),
                Op::close(Batch::opened)
            ));
            ZCO_CHECK(batch.add(
                2,
                Op::connect(client, address),
                Op::send(client, bytes_of("question"), MSG_WAITALL),
                Op::recv(client, answered, MSG_WAITALL)
            ));
            ZCO_CHECK(co_await batch.all());
            while (const auto done = batch.next()) {
                EXPECT_TRUE(done->value) << name_of(done->operation);
                EXPECT_FALSE(done->fd);
            }
            EXPECT_EQ(text_of(asked, 8), "question");
            EXPECT_EQ(text_of(answered, 6), "answer");
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(ConcurrentBatch, a_cancel_stops_all_and_at_least_goes_on) {
    struct Body {
        struct Shared {
            std::array<std::byte, 8> buffer{};
            std::array<BatchSlot, 2> storage;
            std::atomic<bool> waits = false;
            std::atomic<bool> stopped = false;
        };
        static Task<Result<void>> wait_all(Io io, FdRef socket, Shared& shared) {
            Batch batch(io, shared.storage);
            ZCO_CHECK(batch.add(1, Op::recv(socket, shared.buffer)));
            shared.waits = true;
            const Result<void> ended = co_await batch.all();
            EXPECT_EQ(batch.in_flight(), 0U);
            EXPECT_EQ(batch.next()->value.error(), Error(CoreError::canceled));
            co_return ended;
        }
        static Task<Result<void>> wait_some(Io io, FdRef socket, Shared& shared) {
            Batch batch(io, shared.storage);
            ZCO_CHECK(batch.add(1, Op::recv(socket, shared.buffer)));
            shared.waits = true;
            const Result<void> ended = co_await batch.at_least(1);
            EXPECT_EQ(batch.in_flight(), 1U);
            EXPECT_EQ(batch.completions(), 0U);
            shared.stopped = true;
            const CancelProtection protection;
            ZCO_CHECK(co_await batch.all());
            EXPECT_EQ(batch.next()->value, 4U);
            co_return ended;
        }
        static Task<Result<void>> run(Io io) {
            auto [a, b] = socket_pair();
            for (const auto body : {&Body::wait_all, &Body::wait_some}) {
                for (const bool at_once : {true, false}) {
                    Shared shared;
                    auto waiting = io.async("waiting", body, io, FdRef(a), std::ref(shared));
                    while (!at_once && !shared.waits) {
                        ZCO_CHECK(co_await io.yield());
                    }
                    if (!at_once) {
                        ZCO_CHECK(co_await io.yield());
                    }
                    waiting.request_cancel();
                    if (body == &Body::wait_some) {
                        // On a thread bytes that are there first would be what it waited for.
                        while (!shared.stopped) {
                            ZCO_CHECK(co_await io.yield());
                        }
                        EXPECT_EQ((co_await io.send(b, Bytes::copy_of("kept"))).count, 4U);
                    }
                    const Result<void> ended = co_await waiting;
                    EXPECT_EQ(ended.error(), Error(CoreError::canceled));
                }
            }
            co_return {};
        }
    };
    EXPECT_TRUE(io().run("root", Body::run(io())));
}

TEST_P(ConcurrentBatch, a_cancel_that_races_the_bytes_loses_none) {
    struct Body {
        static Task<Result<std::size_t>> receive(Io io, FdRef socket) {
            std::array<std::byte, 16> buffer{};
            std::array<BatchSlot, 2> storage;
            Batch batch(io, storage);
            ZCO_CHECK(batch.add(1, Op::recv(socket, buffer)));
            ZCO_CHECK(batch.add(2, Op::poll(socket, POLLIN)));
            const Result<void> ended = co_await batch.all();
            std::size_t received = 0;
            while (const auto done = batch.next()) {
                received += done->tag == 1 && done->value ? *done->value : 0;
            }
            EXPECT_TRUE(ended || ended.error().is_canceled());
            co_return received;
        }
        static Task<void> run(Io io) {
            auto [a, b] = socket_pair();
            constexpr std::size_t count = 200;
            std::size_t received = 0;
            for (std::size_t n = 0; n < count; ++n) {
                auto receiving = io.async(receive, io, FdRef(a));
                if (n % 2 == 0) {
                    (void)co_await io.yield();
                }
                EXPECT_EQ((co_await io.send(b, Bytes::copy_of("x"))).count, 1U);
                received += (co_await receiving.cancel()).value_or(0);
            }
            while (received < count) {
                const auto rest = co_await io.recv(a, Bytes(256), MSG_DONTWAIT);
                EXPECT_TRUE(rest.count);
                if (!rest.count) {
                    co_return;
                }
                received += *rest.count;
            }
            EXPECT_EQ(received, count);
        }
    };
    io().run("root", Body::run(io()));
}

TEST_P(ConcurrentBatch, a_destructor_that_can_wait_cancels_and_waits) {
    struct Body {
        static Result<void> leave(Io io, FdRef socket) {
            std::array<std::byte, 8> buffer{};
            std::array<BatchSlot, 1> storage;
            Batch batch(io, storage);
            return batch.add(1, Op::recv(socket, buffer));
        }
        static Task<void> run(Io io) {
            auto [a, b] = socket_pair();
            auto left = io.async(leave, io, FdRef(a));
            EXPECT_TRUE(co_await left);
            EXPECT_EQ((co_await io.send(b, Bytes::copy_of("kept"))).count, 4U);
            EXPECT_EQ((co_await io.recv(a, Bytes(8))).count, 4U);
        }
    };
    if (io().kind() != TaskKind::coroutine) {
        io().run("root", Body::run(io()));
        return;
    }
    EXPECT_DEATH(io().run("root", Body::run(io())), "await all\\(\\) or cancel\\(\\)");
}

TEST(Batch, a_turn_of_a_worker_hands_over_all_that_was_added) {
    struct Body {
        static Task<Result<void>> run(Io io, Worker& worker) {
            std::array<std::array<Fd, 2>, 50> pairs;
            std::array<BatchSlot, 100> storage;
            std::array<std::byte, 8> buffer{};
            Batch batch(io, storage);
            for (auto& pair : pairs) {
                pair = socket_pair();
            }
            const std::uint64_t before = worker.stats().enters;
            for (auto& pair : pairs) {
                ZCO_CHECK(batch.add(1, Op::send(pair[0], bytes_of("x")), Op::recv(pair[1], buffer))
                );
            }
            ZCO_CHECK(co_await batch.all());
            // One for the sends, one for the receives.
            EXPECT_LE(worker.stats().enters - before, 2U);
            co_return {};
        }
    };
    auto worker = Worker::create();
    ASSERT_TRUE(worker);
    const Io io = (*worker)->io();
    EXPECT_TRUE(io.run("root", Body::run(io, **worker)));
}

TEST(Batch, fails_by_class_on_the_worst_machine) {
    struct Body {
        static Task<void> run(Io io) {
            auto [a, b] = socket_pair();
            struct statx found{};
            std::array<BatchSlot, 4> storage;
            Batch batch(io, storage);
            EXPECT_TRUE(batch.add(1, Op::send(a, bytes_of("x"))));
            EXPECT_TRUE(batch.add(2, Op::open("/", O_RDONLY), Op::stat(Batch::opened, found)));
            EXPECT_TRUE(co_await batch.all());
            EXPECT_EQ(batch.next()->value.error().os_error(), ENETDOWN);
            EXPECT_TRUE(batch.next()->value);
            EXPECT_TRUE(batch.next()->fd);
            EXPECT_TRUE(batch.add(3, Op::poll(a, POLLIN)));
            EXPECT_EQ(
                (co_await batch.at_least(1).until(io.now() + 1h)).error(),
                Error(CoreError::unsupported)
            );
            co_await batch.cancel();
        }
    };
    FailingExecutor executor;
    executor.io().run("root", Body::run(executor.io()));
}

TEST(Batch, chains_lose_nothing_under_any_seed) {
    struct Body {
        static Task<Result<void>> work(Io io, std::span<FileWork> works) {
            std::array<BatchSlot, 32> storage;
            Batch batch(io, storage);
            for (std::size_t n = 0; n < works.size(); ++n) {
                ZCO_CHECK(add_file(batch, n, works[n]));
            }
            const Result<void> ended = co_await batch.all();
            EXPECT_EQ(batch.completions(), works.size() * 4);
            take_all(batch, works);
            co_return ended;
        }
        static Task<Result<void>> run(Io io, std::span<FileWork> works, unsigned yields) {
            auto working = io.async(work, io, works);
            for (unsigned n = 0; n < yields; ++n) {
                ZCO_CHECK(co_await io.yield());
            }
            co_return co_await working.cancel();
        }
    };
    const Folder folder(8);
    unsigned canceled = 0;
    constexpr unsigned seeds = 500;
    for (const std::uint64_t seed : seeds_to(seeds)) {
        SCOPED_TRACE(replay_of(seed));
        std::array<FileWork, 8> works;
        for (unsigned n = 0; n < works.size(); ++n) {
            works[n].path = folder.path(n);
        }
        Simulation simulation(seed);
        const TaskKind kind = seed % 2 == 0 ? TaskKind::coroutine : TaskKind::fiber;
        const Io io(simulation.worker(), kind);
        const Result<void> ended = io.run("root", Body::run(io, works, seed % 50 * 100));
        EXPECT_TRUE(ended || ended.error().is_canceled());
        canceled += ended ? 0 : 1;
        for (unsigned n = 0; n < works.size(); ++n) {
            EXPECT_EQ(works[n].results.size(), 4U);
            const Result<std::uint32_t> read = works[n].results.at(Opcode::read);
            EXPECT_TRUE(!ended || read);
            if (read) {
                EXPECT_EQ(text_of(works[n].buffer, *read), Folder::text(n).substr(0, *read));
            }
            EXPECT_EQ(
                works[n].results.at(Opcode::close).has_value(),
                works[n].results.at(Opcode::open).has_value()
            );
        }
        ASSERT_EQ(folder.open_files(), 0);
    }
    if (seed_to_replay() == nullptr) {
        EXPECT_GT(canceled, seeds / 10);
        EXPECT_LT(canceled, seeds);
    }
}
