// What the runtime does where io_uring is missing, forbidden or short of something.
#include <zsync/core/batch.hpp>
#include <zsync/core/epoll_queue.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/ring.hpp>
#include <zsync/core/runtime_options.hpp>
#include <zsync/core/send_stream.hpp>
#include <zsync/core/signals.hpp>
#include <zsync/core/stream.hpp>
#include <zsync/core/thread_executor.hpp>
#include <zsync/core/worker.hpp>

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

using namespace zsync;
using namespace std::chrono_literals;

namespace {

/// Bytes through a socket and a file, a timeout and a cancel: what any rung must be able to do.
Task<Result<void>> program(Io io) {
    std::array<int, 2> raw{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, raw.data()), 0);
    const Fd a(raw[0]);
    const Fd b(raw[1]);
    EXPECT_EQ(
        (co_await io.recv(a, Bytes(8)).until(io.now() + 2ms)).count.error(),
        Error(CoreError::timed_out)
    );
    auto receiving = io.async(
        [](Io task_io, FdRef from) -> Task<Result<std::size_t>> {
            co_return (co_await task_io.recv(from, Bytes(8))).count;
        },
        io,
        FdRef(a)
    );
    (void)co_await io.yield();
    EXPECT_EQ((co_await receiving.cancel()).error(), Error(CoreError::canceled));

    ZCO_TRY(auto pool, BufferPool::create(io, 4, 64));
    RecvStream in(io, a, pool);
    EXPECT_EQ((co_await io.send(b, Bytes::copy_of("ping"))).count, 4U);
    ZCO_TRY(const Chunk chunk, co_await in.next());
    EXPECT_EQ(chunk.size(), 4U);

    ZCO_TRY(const Fd file, co_await io.open("/tmp", O_TMPFILE | O_RDWR, 0600));
    EXPECT_EQ((co_await io.write(file, Bytes::copy_of("on disk"), 0)).count, 7U);
    auto [count, buffer] = co_await io.read(file, Bytes(16), 0);
    EXPECT_EQ(buffer.text(count.value_or(0)), "on disk");
    co_return {};
}

/// What a process of its own says.
std::string said_by_child(const std::function<std::string()>& child_says) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const Fd out(ends[0]);
    Fd in(ends[1]);
    const pid_t child = ::fork();
    if (child == 0) {
        ::unsetenv("ZSYNC_IO");
        ::unsetenv("ZSYNC_WITHOUT");
        const std::string said = child_says();
        (void)!::write(in.get(), said.data(), said.size());
        ::_exit(0);
    }
    in.reset();
    std::array<char, 512> text{};
    const ssize_t length = ::read(out.get(), text.data(), text.size());
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    return {text.data(), static_cast<std::size_t>(std::max<ssize_t>(length, 0))};
}

/// Runs `prepare`, then a worker by `Worker::create`, in a process of their own. Gives the name of
/// the rung it ran on.
std::string rung_in_child(const std::function<void()>& prepare, bool expect_worker = true) {
    const std::string said = said_by_child([&]() -> std::string {
        prepare();
        const auto worker = Worker::create();
        if (!worker) {
            return "none: " + worker.error().message();
        }
        const auto features = (*worker)->features();
        const auto uring = std::ranges::find(features, "io_uring", &RuntimeFeature::name);
        const Result<void> result = (*worker)->run("root", program((*worker)->io()));
        const bool failed = !result || testing::Test::HasFailure();
        return failed ? "failed" : uring->available ? "io_uring" : "epoll: " + uring->detail;
    });
    EXPECT_EQ(said.starts_with("none"), !expect_worker) << said;
    return said;
}

/// A seccomp filter under which a system call fails with an errno.
void refuse(unsigned call, unsigned error) {
    std::array filter{
        sock_filter(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))),
        sock_filter(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1)),
        sock_filter(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error)),
        sock_filter(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)),
    };
    const sock_fprog program{.len = filter.size(), .filter = filter.data()};
    const bool installed = ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
    if (!installed) {
        ::_exit(1);
    }
}

void limit(__rlimit_resource resource, rlim_t most) {
    const rlimit limits{.rlim_cur = most, .rlim_max = most};
    if (::setrlimit(resource, &limits) != 0) {
        ::_exit(1);
    }
}

void drop_capabilities() {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    std::array<__user_cap_data_struct, 2> none{};
    if (::syscall(SYS_capset, &header, none.data()) != 0) {
        ::_exit(1);
    }
}

Task<Result<void>> send_and_flush(SendStream& stream, Chunk& chunk) {
    auto sending = stream.send(std::move(chunk));
    const Result<void> sent = co_await sending;
    if (!sent) {
        chunk = sending.take_back();
        co_return sent;
    }
    co_return co_await stream.flush();
}

/// Cancels a stream's task some rests later; gives what came of it.
Task<Result<std::string>> cancel_a_send(Io io) {
    std::array<int, 2> raw{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, raw.data()), 0);
    const Fd a(raw[0]);
    const Fd b(raw[1]);
    ZCO_TRY(auto pool, BufferPool::create(io, 4, 64));
    RecvStream in(io, a, pool);
    SendStream out(io, a, pool);
    EXPECT_EQ(::write(b.get(), "ping", 4), 4);
    ZCO_TRY(Chunk chunk, co_await in.next());
    ZCO_TRY(auto sending, io.concurrent(send_and_flush, std::ref(out), std::ref(chunk)));
    ZCO_CHECK(co_await io.sleep_for(std::chrono::milliseconds(3 * limits::send_stream_rest_ms)));
    const Result<void> sent = co_await sending.cancel();
    chunk = Chunk();
    const bool holds = pool->stats().held != 0;
    co_return (sent ? "sent" : sent.error().message()) + (holds ? ", chunk queued" : "");
}

/// What comes of a program in a process for which the system has no thread: `ok`, or what failed.
std::string said_without_threads(Task<Result<void>> (*program)(Io)) {
    return said_by_child([program]() -> std::string {
        constexpr uid_t nobody = 65534; // the limit does not hold for root
        if (::geteuid() == 0 && ::setresuid(nobody, nobody, nobody) != 0) {
            return "root cannot be another user";
        }
        limit(RLIMIT_NPROC, 1); // with 0 the kernel lets what is for a thread wait for ever
        const auto worker = *Worker::create();
        const Result<void> result = worker->run("root", program(worker->io()));
        return !result ? result.error().message() : testing::Test::HasFailure() ? "failed" : "ok";
    });
}

} // namespace

TEST(Fallback, a_send_stream_without_memory_waits_for_it_until_canceled) {
    const auto in_child = [](const std::function<std::unique_ptr<Executor>()>& make,
                             TaskKind kind) {
        return said_by_child([&]() -> std::string {
            refuse(SYS_sendto, ENOBUFS);
            const auto executor = make();
            const Io io(*executor, kind);
            const auto said = io.run("root", cancel_a_send(io));
            return said ? *said : said.error().message();
        });
    };
    const auto threads = []() -> std::unique_ptr<Executor> { return *ThreadExecutor::create(); };
    const auto epoll = []() -> std::unique_ptr<Executor> {
        return std::make_unique<Worker>(*EpollQueue::create({}, "a test"));
    };
    const std::string canceled = Error(CoreError::canceled).message();
    EXPECT_EQ(in_child(threads, TaskKind::thread), canceled);
    EXPECT_EQ(in_child(epoll, TaskKind::fiber), canceled + ", chunk queued");
}

TEST(Fallback, files_are_there_where_the_system_gives_no_thread) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            ZCO_CHECK(co_await io.stat("/"));
            std::array<BatchSlot, 1> storage;
            Batch batch(io, storage);
            struct statx found{};
            ZCO_CHECK(batch.add(1, BatchOperation::stat("/", found)));
            ZCO_CHECK(co_await batch.all());
            ZCO_CHECK(batch.next()->value);
            const Result<int> refused = co_await io.offload([] { return 1; });
            EXPECT_EQ(refused, fail(CoreError::limit_reached));
            co_return {};
        }
    };
    EXPECT_EQ(said_without_threads(&Body::run), "ok");
}

// Memory that is a file is one of tmpfs, where Linux 6.18 reads in threads.
TEST(Fallback, file_data_is_there_where_the_system_gives_no_thread) {
    struct Body {
        static Task<Result<std::size_t>> move(Io io, FdRef from, FdRef to) {
            co_return co_await io.splice(from, Io::current_position, to, 0, 4);
        }
        static Task<Result<void>> run(Io io) {
            const Fd file(::memfd_create("data", MFD_CLOEXEC));
            EXPECT_EQ((co_await io.write(file, Bytes::copy_of("data"), 0)).count, 4U);
            auto [count, buffer] = co_await io.read(file, Bytes(16), 0);
            EXPECT_EQ(buffer.text(count.value_or(0)), "data");
            std::array<BatchSlot, 1> storage;
            Batch batch(io, storage);
            std::array<std::byte, 4> found{};
            ZCO_CHECK(batch.add(1, BatchOperation::read(file, found, 0)));
            ZCO_CHECK(co_await batch.all());
            EXPECT_EQ(batch.next()->value, 4U);
            EXPECT_EQ(std::memcmp(found.data(), "data", found.size()), 0);
            // The kernel splices in threads alone.
            std::array<int, 2> ends{};
            EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
            const Fd out(ends[0]);
            const Fd in(ends[1]);
            EXPECT_EQ(co_await io.splice(file, 0, in, Io::current_position, 4), 4U);
            auto later = io.async(&Body::move, io, FdRef(out), FdRef(file));
            EXPECT_EQ(co_await later, 4U);
            auto waits = io.async(&Body::move, io, FdRef(out), FdRef(file));
            ZCO_CHECK(co_await io.sleep_for(std::chrono::milliseconds(5)));
            EXPECT_FALSE(waits.is_finished());
            EXPECT_EQ((co_await io.write(in, Bytes::copy_of("more"))).count, 4U);
            EXPECT_EQ(co_await waits, 4U);
            co_return {};
        }
    };
    EXPECT_EQ(said_without_threads(&Body::run), "ok");
}

// Each tick of a watched worker wakes who waits for signals. The kernel has a read that was woken
// in vain so often (APOLL_MAX_RETRY) wait in a thread.
TEST(Fallback, signals_are_received_after_many_wakes_where_the_system_gives_no_thread) {
    struct Body {
        static Task<Result<void>> run(Io io) {
            static_cast<Worker&>(io.executor()).watch(std::chrono::hours(1), [](const Stall&) {});
            ZCO_TRY(SignalSet signals, SignalSet::create({SIGTERM}));
            auto next = io.async([&signals](Io on) { return signals.next(on); }, io);
            const TimePoint end = io.now() + 300 * std::chrono::microseconds(limits::stall_tick_us);
            while (io.now() < end) {
                ZCO_CHECK(co_await io.yield());
            }
            ::kill(::getpid(), SIGTERM);
            EXPECT_EQ(co_await next, SIGTERM);
            co_return {};
        }
    };
    EXPECT_EQ(said_without_threads(&Body::run), "ok");
}

TEST(Fallback, a_filter_that_forbids_io_uring_leads_to_epoll) {
    const std::string rung = rung_in_child([] { refuse(SYS_io_uring_setup, EPERM); });
    EXPECT_TRUE(rung.starts_with("epoll: io_uring is forbidden here")) << rung;
}

TEST(Fallback, a_kernel_without_io_uring_leads_to_epoll) {
    const std::string rung = rung_in_child([] { refuse(SYS_io_uring_setup, ENOSYS); });
    EXPECT_TRUE(rung.starts_with("epoll: this kernel has no io_uring")) << rung;
}

TEST(Fallback, no_memory_for_a_ring_leads_to_epoll) {
    const std::string rung = rung_in_child([] { refuse(SYS_io_uring_setup, ENOMEM); });
    EXPECT_TRUE(rung.starts_with("epoll: no memory for an io_uring")) << rung;
}

TEST(Fallback, a_ring_that_may_not_register_anything_works) {
    EXPECT_EQ(rung_in_child([] { refuse(SYS_io_uring_register, EPERM); }).substr(0, 5), "epoll");
}

TEST(Fallback, epoll_does_without_its_newest_call) {
    const std::string rung = rung_in_child([] {
        refuse(SYS_io_uring_setup, EPERM);
        refuse(SYS_epoll_pwait2, ENOSYS);
    });
    EXPECT_TRUE(rung.starts_with("epoll")) << rung;
}

TEST(Fallback, no_lockable_memory_is_no_reason_to_stop) {
    const std::string rung = rung_in_child([] {
        limit(RLIMIT_MEMLOCK, 0);
        drop_capabilities();
    });
    EXPECT_TRUE(rung.starts_with("io_uring") || rung.starts_with("epoll")) << rung;
}

// What `features` says must be what a pool gets.
TEST(Fallback, no_lockable_memory_is_told) {
    for (const bool lockable : {true, false}) {
        const std::string said = said_by_child([lockable] {
            if (!lockable) {
                limit(RLIMIT_MEMLOCK, 0);
                drop_capabilities();
            }
            const auto worker = *Worker::create();
            if (worker->ring() == nullptr) {
                return "epoll";
            }
            const auto features = worker->features();
            const auto told =
                std::ranges::find(features, "io_uring.buffer_ring", &RuntimeFeature::name);
            const auto pool = *BufferPool::create(worker->io(), 4, 64);
            const bool refused = told->detail.starts_with("refused by the kernel: ");
            return told->available != pool->is_on_ring() || refused == told->available ? "wrong"
                   : told->available                                                   ? "has them"
                                                                                       : "has none";
        });
        EXPECT_TRUE(said == (lockable ? "has them" : "has none") || said == "epoll") << said;
    }
}

TEST(Fallback, a_ring_whose_descriptor_is_not_registered_says_so) {
    constexpr int registered_max = 16; // IO_RINGFD_REG_MAX, of one thread
    std::vector<std::unique_ptr<Ring>> rings;
    for (int n = 0; n <= registered_max; ++n) {
        auto ring = Ring::create();
        if (!ring) {
            GTEST_SKIP() << "no io_uring here: " << ring.error().message();
        }
        rings.push_back(*std::move(ring));
    }
    const auto is_registered = [](const Ring& ring) {
        const auto features = ring.features();
        return std::ranges::find(features, "io_uring.registered_ring", &RuntimeFeature::name)
            ->available;
    };
    EXPECT_TRUE(is_registered(*rings.front()));
    EXPECT_FALSE(is_registered(*rings.back()));
}

TEST(Fallback, few_descriptors_are_enough) {
    const std::string rung = rung_in_child([] { limit(RLIMIT_NOFILE, 16); });
    EXPECT_TRUE(rung.starts_with("io_uring") || rung.starts_with("epoll")) << rung;
}

// UBSan asks by a pipe whether an object may be looked at, and takes it for a wrong one where there
// is no descriptor for that.
#ifndef ZSYNC_SANITIZED
TEST(Fallback, no_descriptor_at_all_is_an_error_that_says_so) {
    const std::string said = rung_in_child([] { limit(RLIMIT_NOFILE, 0); }, false);
    EXPECT_NE(said.find("Too many open files"), std::string::npos) << said;
}
#endif

TEST(Fallback, the_environment_chooses_the_rung) {
    const std::string forced = rung_in_child([] { ::setenv("ZSYNC_IO", "epoll", 1); });
    EXPECT_EQ(forced, "epoll: switched off by ZSYNC_IO");
    const std::string refused = rung_in_child(
        [] {
            ::setenv("ZSYNC_IO", "io_uring", 1);
            refuse(SYS_io_uring_setup, EPERM);
        },
        false
    );
    EXPECT_TRUE(refused.starts_with("none: io_uring is forbidden here")) << refused;
}

TEST(Fallback, each_feature_can_be_switched_off) {
    for (const char* feature :
         {"buffer_ring",
          "multishot_recv",
          "multishot_accept",
          "registered_ring",
          "send_zc",
          "epoll_pwait2",
          "rwf_nowait"}) {
        for (const char* queue : {"", "epoll"}) {
            const std::string rung = rung_in_child([&] {
                ::setenv("ZSYNC_IO", queue, 1);
                ::setenv("ZSYNC_WITHOUT", feature, 1);
            });
            EXPECT_NE(rung, "failed") << feature;
        }
        const auto options = RuntimeOptions::parse(nullptr, feature);
        ASSERT_TRUE(options);
        auto features = (*EpollQueue::create(*options, "test"))->features();
        if (const auto ring = Ring::create(*options)) {
            const auto more = (*ring)->features();
            features.insert(features.end(), more.begin(), more.end());
        } else if (!std::string_view(feature).starts_with("epoll") &&
                   !std::string_view(feature).starts_with("rwf")) {
            continue; // this kernel has no ring to tell of
        }
        const auto named = std::ranges::find_if(features, [&](const RuntimeFeature& one) {
            return one.name.ends_with(std::string(".") + feature);
        });
        ASSERT_NE(named, features.end()) << feature;
        EXPECT_FALSE(named->available) << feature;
        EXPECT_NE(named->detail.find("switched off by ZSYNC_WITHOUT"), std::string::npos);
    }
}

TEST(Fallback, words_that_are_not_known_are_refused_by_name) {
    EXPECT_NE(
        RuntimeOptions::parse("kqueue", nullptr).error().message().find("kqueue"), std::string::npos
    );
    const auto unknown = RuntimeOptions::parse(nullptr, "send_zc,teleport");
    ASSERT_FALSE(unknown);
    EXPECT_NE(unknown.error().message().find("teleport"), std::string::npos);
    EXPECT_TRUE(RuntimeOptions::parse("", ""));
}
