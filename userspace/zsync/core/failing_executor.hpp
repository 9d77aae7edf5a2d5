// FailingExecutor: the worst machine a program can meet, for tests.
#pragma once

#include <zsync/core/blocking_executor.hpp>
#include <zsync/core/operation_request.hpp>

#include <array>
#include <cstdint>
#include <vector>

namespace zsync {

/// What operations are about, and so how they fail together.
enum class OperationClass : std::uint8_t {
    file_read,  ///< read, stat, advise
    file_write, ///< write, sync, allocate, truncate, names; open with O_CREAT
    network,    ///< sockets
    process,    ///< the end of a process
    other,
};
constexpr std::size_t operation_class_count = 5;
[[nodiscard]] OperationClass class_of(const OperationRequest& request) noexcept;

/// Nothing runs beside anything, the disk is full, the network is down, and there is no clock: the
/// time stands still, sleeps and waits with a deadline give `unsupported`. A program that meets
/// only errors it knows how to report here will not be surprised elsewhere.
///
///     FailingExecutor nowhere;
///     EXPECT_EQ(nowhere.io().run("save", save(nowhere.io())).error(), os_error(ENOSPC));
///
/// What does not fail is done as by `BlockingExecutor`.
class FailingExecutor final : public BlockingExecutor {
public:
    /// From here on operations of a class fail with this errno; 0 lets them succeed.
    void set_failure(OperationClass of, int error) noexcept {
        failures_[static_cast<std::size_t>(of)] = error;
    }

    [[nodiscard]] TimePoint now() const noexcept override { return {}; }
    [[nodiscard]] std::vector<RuntimeFeature> features() const override;
    void submit(OperationWait& wait) noexcept override;
    [[nodiscard]] int refusal(const OperationRequest& request) const noexcept override {
        return failures_[static_cast<std::size_t>(class_of(request))];
    }

private:
    void wait_for(TimedSuspension& timer) noexcept override;

    std::array<int, operation_class_count> failures_ = standard_failures();
    static std::array<int, operation_class_count> standard_failures() noexcept;
};

} // namespace zsync
