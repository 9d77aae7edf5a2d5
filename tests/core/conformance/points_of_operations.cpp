// Suspension points of files, pipes, events and calls.
#include "tests/core/conformance/suspension_point.hpp"

#include <zsync/core/clocks.hpp>
#include <zsync/core/interval.hpp>
#include <zsync/core/signals.hpp>
#include <zsync/core/worker.hpp>

#include <linux/futex.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <ctime>
#include <fcntl.h>
#include <poll.h>
#include <string>
#include <unistd.h>

namespace zsync::conformance {
namespace {

/// Bytes that come through a pipe.
class PipeIn : public Point {
public:
    void complete() override {
        given_ = 5;
        put(pipe_.b, "bytes");
    }
    void account(bool got) override {
        EXPECT_EQ(got, got_ != 0);
        EXPECT_EQ(got_ + take(pipe_.a).size(), given_) << "a byte was lost or doubled";
    }

protected:
    Pair pipe_ = pipe_pair();
    std::size_t got_ = 0;
    std::size_t given_ = 0;
};

struct Read final : PipeIn {
    Task<Result<void>> wait(Io io) override {
        const auto read = co_await io.read(pipe_.a, Bytes(16));
        EXPECT_EQ(read.buffer.size(), 16U);
        ZCO_CHECK(read.count);
        got_ += *read.count;
        co_return {};
    }
};

struct ReadInto final : PipeIn {
    Task<Result<void>> wait(Io io) override {
        ZCO_TRY(got_, co_await io.read_into(pipe_.a, parts_));
        co_return {};
    }

private:
    std::array<char, 16> bytes_{};
    std::array<iovec, 1> parts_{iovec{.iov_base = bytes_.data(), .iov_len = bytes_.size()}};
};

/// A pipe that is full.
class PipeOut : public Point {
public:
    PipeOut() {
        const int size = ::fcntl(pipe_.b.get(), F_SETPIPE_SZ, 4096);
        given_ = static_cast<std::size_t>(size);
        put(pipe_.b, std::string(given_, 'x'));
    }
    void complete() override { drained_ = take(pipe_.a).size(); }
    void account(bool got) override {
        EXPECT_EQ(got, got_ != 0);
        EXPECT_EQ(drained_ + take(pipe_.a).size(), given_ + got_) << "a byte was lost or doubled";
    }

protected:
    Pair pipe_ = pipe_pair();
    std::string text_ = "more";
    std::size_t got_ = 0;
    std::size_t given_ = 0;
    std::size_t drained_ = 0;
};

struct Write final : PipeOut {
    Task<Result<void>> wait(Io io) override {
        const auto written = co_await io.write(pipe_.b, std::span(text_));
        ZCO_CHECK(written.count);
        got_ += *written.count;
        co_return {};
    }
};

struct WriteFrom final : PipeOut {
    Task<Result<void>> wait(Io io) override {
        ZCO_TRY(got_, co_await io.write_from(pipe_.b, parts_));
        co_return {};
    }

private:
    std::array<iovec, 1> parts_{iovec{.iov_base = text_.data(), .iov_len = text_.size()}};
};

struct Splice final : PipeIn {
    Task<Result<void>> wait(Io io) override {
        constexpr auto here = Io::current_position;
        ZCO_TRY(got_, co_await io.splice(pipe_.a, here, to_.b, here, 16));
        co_return {};
    }
    void account(bool got) override {
        EXPECT_EQ(take(to_.a).size(), got_);
        PipeIn::account(got);
    }

private:
    Pair to_ = pipe_pair();
};

/// Things done to a file, which the file shows.
class OnFile : public Point {
protected:
    [[nodiscard]] std::string path(const char* name) const { return folder_.path(name); }
    [[nodiscard]] bool exists(const char* name) const {
        return ::access(path(name).c_str(), F_OK) == 0;
    }
    [[nodiscard]] off_t size() const {
        struct stat found{};
        EXPECT_EQ(::fstat(file_.get(), &found), 0);
        return found.st_size;
    }
    Folder folder_;
    Fd file_ = file_with(folder_, "file", "text");
};

struct Open final : OnFile {
    Task<Result<void>> wait(Io io) override {
        ZCO_TRY(opened_, co_await io.open(path("file"), O_RDONLY));
        co_return {};
    }
    void account(bool got) override {
        EXPECT_EQ(got, static_cast<bool>(opened_));
        EXPECT_TRUE(!got || take(opened_) == "text");
    }

private:
    Fd opened_;
};

struct Close final : OnFile {
    Task<Result<void>> wait(Io io) override { co_return co_await io.close(std::move(file_)); }
    // Its number may be another one's by then.
    void account(bool /*got*/) override {
        struct stat named{};
        struct stat numbered{};
        EXPECT_EQ(::stat(path("file").c_str(), &named), 0);
        const bool open = ::fstat(number_, &numbered) == 0 && numbered.st_ino == named.st_ino &&
                          numbered.st_dev == named.st_dev;
        EXPECT_FALSE(open);
    }

private:
    int number_ = file_.get();
};

struct Fsync final : OnFile {
    Task<Result<void>> wait(Io io) override { co_return co_await io.fsync(file_); }
    void account(bool /*got*/) override { EXPECT_EQ(size(), 4); }
};

struct StatPath final : OnFile {
    Task<Result<void>> wait(Io io) override {
        ZCO_TRY(const struct statx found, co_await io.stat(path("file")));
        EXPECT_EQ(found.stx_size, 4U);
        co_return {};
    }
    void account(bool /*got*/) override {}
};

struct StatFd final : OnFile {
    Task<Result<void>> wait(Io io) override {
        ZCO_TRY(const struct statx found, co_await io.stat(file_));
        EXPECT_EQ(found.stx_size, 4U);
        co_return {};
    }
    void account(bool /*got*/) override {}
};

struct Rename final : OnFile {
    Task<Result<void>> wait(Io io) override {
        co_return co_await io.rename(path("file"), path("new"));
    }
    void account(bool got) override {
        EXPECT_EQ(exists("new"), got);
        EXPECT_EQ(exists("file"), !got);
    }
};

struct Unlink final : OnFile {
    Task<Result<void>> wait(Io io) override { co_return co_await io.unlink(path("file")); }
    void account(bool got) override { EXPECT_EQ(exists("file"), !got); }
};

struct Mkdir final : OnFile {
    Task<Result<void>> wait(Io io) override { co_return co_await io.mkdir(path("inner")); }
    void account(bool got) override { EXPECT_EQ(exists("inner"), got); }
};

struct Allocate final : OnFile {
    Task<Result<void>> wait(Io io) override { co_return co_await io.allocate(file_, 0, 0, 4096); }
    void account(bool got) override { EXPECT_EQ(size(), got ? 4096 : 4); }
};

struct Advise final : OnFile {
    Task<Result<void>> wait(Io io) override {
        co_return co_await io.advise(file_, 0, 0, POSIX_FADV_SEQUENTIAL);
    }
    void account(bool /*got*/) override {}
};

struct Truncate final : OnFile {
    Task<Result<void>> wait(Io io) override { co_return co_await io.truncate(file_, 1); }
    void account(bool got) override { EXPECT_EQ(size(), got ? 1 : 4); }
};

struct Poll final : PipeIn {
    Task<Result<void>> wait(Io io) override {
        co_return (co_await io.poll(pipe_.a, POLLIN)).transform([](std::uint32_t) {});
    }
    void account(bool /*got*/) override { EXPECT_EQ(take(pipe_.a).size(), given_); }
};

struct FutexWait final : Point {
    Task<Result<void>> wait(Io io) override {
        while (word_.load() == 1) {
            const Result<void> waited = co_await io.futex_wait(word_, 1);
            if (!waited && what(waited) != "EAGAIN") {
                co_return waited;
            }
        }
        // Found changed: whether a wait was needed is not to be told from here.
        co_return {};
    }
    void complete() override {
        word_ = 2;
        ::syscall(SYS_futex, &word_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }
    void account(bool got) override { EXPECT_TRUE(!got || word_ == 2); }

private:
    std::atomic<std::uint32_t> word_ = 1;
};

/// A child that ends when its pipe says so.
struct WaitExit final : Point {
    WaitExit() : child_(::fork()) {
        if (child_ == 0) {
            // It has the pipe's other end as well, and so would never see it closed.
            (void)::prctl(PR_SET_PDEATHSIG, SIGKILL);
            char byte = 0;
            (void)!::read(gate_.a.get(), &byte, 1);
            ::_exit(3);
        }
        pidfd_ = Fd(static_cast<int>(::syscall(SYS_pidfd_open, child_, 0)));
    }
    Task<Result<void>> wait(Io io) override {
        ZCO_TRY(const ExitStatus status, co_await io.wait_exit(pidfd_));
        EXPECT_EQ(status.code, 3);
        co_return {};
    }
    void complete() override { put(gate_.b, "x"); }
    void account(bool got) override {
        if (!completed) {
            put(gate_.b, "x");
        }
        int status = 0;
        EXPECT_EQ(::waitpid(child_, &status, 0), got ? -1 : child_) << "reaped twice, or never";
    }

private:
    Pair gate_ = pipe_pair();
    pid_t child_;
    Fd pidfd_;
};

struct Sleep final : Point {
    Task<Result<void>> wait(Io io) override {
        const TimePoint deadline = io.now() + 500us;
        ZCO_CHECK(co_await io.sleep_until(deadline));
        EXPECT_GE(io.now(), deadline);
        co_return {};
    }
    void account(bool /*got*/) override {}
};

struct SleepByTheExecutor final : Point {
    Task<Result<void>> wait(Io io) override { co_return co_await sleep_until(io, io.now() + 24h); }
    void account(bool got) override { EXPECT_FALSE(got); }
};

struct SleepByTheWall final : Point {
    Task<Result<void>> wait(Io io) override {
        co_return co_await sleep_until(io, std::chrono::system_clock::now() + 1h);
    }
    void account(bool /*got*/) override {}
};

struct SleepSinceBoot final : Point {
    Task<Result<void>> wait(Io io) override {
        const auto time = BootClock::now() + soon;
        ZCO_CHECK(co_await sleep_until(io, time));
        EXPECT_TRUE(simulated_ || BootClock::now() >= time);
        co_return {};
    }
    void account(bool /*got*/) override {}

public:
    explicit SleepSinceBoot(Io io)
        : simulated_(
              io.kind() != TaskKind::thread &&
              static_cast<const Worker&>(io.executor()).is_simulated()
          ) {}

private:
    bool simulated_;
};

struct SleepLong final : Point {
    Task<Result<void>> wait(Io io) override { co_return co_await io.sleep_for(24h); }
    void account(bool got) override { EXPECT_FALSE(got); }
};

struct Yield final : Point {
    Task<Result<void>> wait(Io io) override { co_return co_await io.yield(); }
    void account(bool /*got*/) override {}
};

struct Tick final : Point {
    explicit Tick(Io io) : ticks_(io, 500us) {}
    Task<Result<void>> wait(Io /*io*/) override {
        co_return (co_await ticks_.tick()).transform([](TimePoint) {});
    }
    void account(bool /*got*/) override {}

private:
    Interval ticks_;
};

struct Offload final : Point {
    Task<Result<void>> wait(Io io) override {
        co_return co_await io.offload([this] { ran_ = true; });
    }
    void account(bool got) override { EXPECT_EQ(ran_, got); }

private:
    bool ran_ = false;
};

struct NextSignal final : Point {
    NextSignal() : signals_(SignalSet::create({SIGUSR1})) {}
    Task<Result<void>> wait(Io io) override {
        co_return (co_await signals_->next(io)).transform([](int) {});
    }
    void complete() override { (void)::kill(::getpid(), SIGUSR1); }
    void account(bool got) override {
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, SIGUSR1);
        const timespec now{};
        const bool left = ::sigtimedwait(&mask, nullptr, &now) == SIGUSR1;
        EXPECT_EQ(static_cast<int>(got) + static_cast<int>(left), static_cast<int>(completed));
    }

private:
    Result<SignalSet> signals_;
};

} // namespace

std::vector<PointRow> operation_points() {
    using enum Ending;
    return {
        {"io.read", "TransferWait", nothing, waits, &make_point<Read>},
        {"io.write", "TransferWait", writing, waits, &make_point<Write>},
        {"io.read_into", "NumberWait", nothing, waits, &make_point<ReadInto>},
        {"io.write_from", "NumberWait", writing, waits, &make_point<WriteFrom>},
        {"io.open", "OpenWait", nothing, ends, &make_point<Open>},
        {"io.close", "CloseWait", nothing, ends, &make_point<Close>},
        {"io.fsync", "PlainWait", writing, ends, &make_point<Fsync>},
        {"io.stat", "StatWait", nothing, ends, &make_point<StatPath>},
        {"io.stat of a descriptor", "StatWait", nothing, ends, &make_point<StatFd>},
        {"io.rename", "PathWait", writing, ends, &make_point<Rename>},
        {"io.unlink", "PathWait", nothing, ends, &make_point<Unlink>},
        {"io.mkdir", "PathWait", writing, ends, &make_point<Mkdir>},
        {"io.allocate", "PlainWait", writing, ends, &make_point<Allocate>},
        {"io.advise", "PlainWait", nothing, ends, &make_point<Advise>},
        {"io.truncate", "PlainWait", writing, ends, &make_point<Truncate>},
        {"io.splice", "NumberWait", nothing, waits, &make_point<Splice>},
        {"io.poll", "NumberWait", nothing, waits, &make_point<Poll>},
        {"io.futex_wait", "PlainWait", nothing, waits, &make_point<FutexWait>},
        {"io.wait_exit", "ProcessWait", outside, waits, &make_point<WaitExit>},
        {"io.sleep_until", "SleepWait", timer, ends, &make_point<Sleep>},
        {"io.sleep_for", "SleepWait", timer, never, &make_point<SleepLong>},
        {"sleep_until", "sleep_until", timer, never, &make_point<SleepByTheExecutor>},
        {"sleep_until wall", "sleep_until", timer, never, &make_point<SleepByTheWall>},
        {"sleep_until boot", "sleep_until", timer, ends, &make_point<SleepSinceBoot>},
        {"io.yield", "YieldWait", nothing, ends, &make_point<Yield>},
        {"io.offload", "OffloadWait", nothing, ends, &make_point<Offload>},
        {"interval.tick", "Interval::Tick", timer, ends, &make_point<Tick>},
        {"signals.next", "SignalSet::next", nothing, waits, &make_point<NextSignal>},
    };
}

} // namespace zsync::conformance
