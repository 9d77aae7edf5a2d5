// What the tests of synchronisation share: every kind of task that a worker runs, by a clock that
// jumps to the next deadline when all tasks wait, so a sleep takes no time and the order of events
// is always the same.
#pragma once

#include <zsync/core/assert.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/operation_queue.hpp>
#include <zsync/core/worker.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace zsync {

class VirtualClock final : public OperationQueue {
public:
    void queue(const OperationRequest& /*request*/, CompletionTarget /*target*/) noexcept override {
        ZASSERT(false, "these tests make no system calls");
    }
    void queue_cancel(CompletionTarget /*target*/) noexcept override {}
    void enter(bool wait, std::optional<TimePoint> deadline) noexcept override {
        if (wait) {
            ZASSERT(deadline.has_value(), "every task waits for another one, for ever");
            now_ = std::max(now_, *deadline);
        }
    }
    unsigned deliver() noexcept override { return 0; }
    [[nodiscard]] std::uint64_t in_flight() const noexcept override { return 0; }
    [[nodiscard]] std::uint64_t enters() const noexcept override { return 0; }
    [[nodiscard]] std::vector<RuntimeFeature> features() const override { return {}; }
    [[nodiscard]] TimePoint now() const noexcept override { return now_; }

private:
    TimePoint now_{std::chrono::hours(1)};
};

class SyncTest : public testing::TestWithParam<TaskKind> {
protected:
    ~SyncTest() override { EXPECT_EQ(worker_.task_count(), 0U); }
    Io io() { return {worker_, GetParam()}; }
    /// Runs `body(io)` as the first task; its failure is the test's.
    template <class Body> void run(Body body) {
        const Result<void> result = io().run("test", body(io()));
        EXPECT_TRUE(result) << result.error().message();
    }

private:
    Worker worker_{std::make_unique<VirtualClock>()};
};

inline std::string kind_name(const testing::TestParamInfo<TaskKind>& kind) {
    return kind.param == TaskKind::coroutine ? "coroutine" : "fiber";
}

/// A suite that runs on every kind of task.
#define ZSYNC_SYNC_SUITE(name)                                                                     \
    class name : public ::zsync::SyncTest {};                                                      \
    INSTANTIATE_TEST_SUITE_P(                                                                      \
        Kinds,                                                                                     \
        name,                                                                                      \
        ::testing::Values(::zsync::TaskKind::coroutine, ::zsync::TaskKind::fiber),                 \
        ::zsync::kind_name                                                                         \
    )

/// Long enough for every other task to come to rest: the clock moves only then.
inline SleepWait at_rest(Io io) { return io.sleep_for(std::chrono::milliseconds(10)); }

const Error canceled_error = Error(CoreError::canceled);
const Error timed_out_error = Error(CoreError::timed_out);
const Error closed_error = Error(CoreError::closed);

} // namespace zsync
