// A clock that tests move.
#pragma once

#include <zsync/core/assert.hpp>
#include <zsync/core/operation_queue.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace zsync {

/// Jumps to the next deadline when all tasks wait, and takes time when a test says that it does.
class ManualClock final : public OperationQueue {
public:
    void queue(const OperationRequest& /*request*/, CompletionTarget /*target*/) noexcept override {
        ZASSERT(false, "these tests make no system calls");
    }
    void queue_cancel(CompletionTarget /*target*/) noexcept override {}
    void queue_cancel_all() noexcept override {}
    void redirect(CompletionTarget /*target*/, int /*fd*/) noexcept override {}
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

    void pass(Duration time) noexcept { now_ += time; }

private:
    TimePoint now_{std::chrono::hours(1)};
};

} // namespace zsync
