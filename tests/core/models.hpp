// The execution models behind Io, as parameters of tests.
#pragma once

#include <zsync/core/blocking_executor.hpp>
#include <zsync/core/epoll_queue.hpp>
#include <zsync/core/failing_executor.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/simulation.hpp>
#include <zsync/core/thread_executor.hpp>
#include <zsync/core/worker.hpp>

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace zsync {

enum class Model : std::uint8_t {
    coroutines, ///< on the rung that `Worker::create` finds
    fibers,
    epoll_coroutines,
    epoll_fibers,
    threads,
    blocking,
    failing,
    simulated_coroutines,
    simulated_fibers,
};

constexpr std::array all_models{
    Model::coroutines,
    Model::fibers,
    Model::epoll_coroutines,
    Model::epoll_fibers,
    Model::threads,
    Model::blocking,
    Model::failing,
    Model::simulated_coroutines,
    Model::simulated_fibers,
};

inline std::string_view name_of(Model model) {
    switch (model) {
    case Model::coroutines:
        return "coroutines";
    case Model::fibers:
        return "fibers";
    case Model::epoll_coroutines:
        return "epoll_coroutines";
    case Model::epoll_fibers:
        return "epoll_fibers";
    case Model::threads:
        return "threads";
    case Model::blocking:
        return "blocking";
    case Model::failing:
        return "failing";
    case Model::simulated_coroutines:
        return "simulated_coroutines";
    case Model::simulated_fibers:
        return "simulated_fibers";
    }
    return "unknown";
}

inline std::string model_name(const testing::TestParamInfo<Model>& model) {
    return std::string(name_of(model.param));
}

inline auto concurrent_models() {
    using enum Model;
    return testing::Values(coroutines, fibers, epoll_coroutines, epoll_fibers, threads);
}

/// All on which operations reach the kernel.
inline auto real_models() {
    using enum Model;
    return testing::Values(coroutines, fibers, epoll_coroutines, epoll_fibers, threads, blocking);
}

inline bool is_simulated(Model model) {
    return model == Model::simulated_coroutines || model == Model::simulated_fibers;
}

inline bool is_on_epoll(Model model) {
    return model == Model::epoll_coroutines || model == Model::epoll_fibers;
}

/// Its tasks may not `wait()`.
inline bool is_stackless(Model model) {
    return model == Model::coroutines || model == Model::epoll_coroutines ||
           model == Model::simulated_coroutines;
}

/// Tasks run beside each other.
inline bool is_concurrent(Model model) {
    return model != Model::blocking && model != Model::failing;
}

/// An executor of a model, and what its `Io` starts.
class ModelHost {
public:
    /// `seed` is for simulations. Bytes move whole there and sockets have memory: a case of the
    /// table counts on both. EINTR, delays, splits and late cancels happen.
    explicit ModelHost(Model model, std::uint64_t seed = 1, RunOrder order = RunOrder::arrival)
        : kind_(TaskKind::thread) {
        if (model == Model::threads) {
            executor_ = take(ThreadExecutor::create());
        } else if (model == Model::blocking) {
            executor_ = std::make_unique<BlockingExecutor>();
        } else if (model == Model::failing) {
            executor_ = std::make_unique<FailingExecutor>();
        } else {
            kind_ = is_stackless(model) ? TaskKind::coroutine : TaskKind::fiber;
            executor_ = make_worker(model, seed, order);
        }
    }
    [[nodiscard]] Executor& executor() noexcept { return *executor_; }
    [[nodiscard]] Io io() noexcept { return {*executor_, kind_}; }

private:
    static std::unique_ptr<Worker> make_worker(Model model, std::uint64_t seed, RunOrder order) {
        if (is_simulated(model)) {
            return std::make_unique<Worker>(
                std::make_unique<SimulatedQueue>(
                    seed, SimulationFaults{.shortened = 0, .no_buffers = 0}
                ),
                order
            );
        }
        return is_on_epoll(model)
                   ? std::make_unique<Worker>(take(EpollQueue::create({}, "a test")), order)
                   : take(Worker::create(order));
    }
    template <class T> static T take(Outcome<T> outcome) {
        if (!outcome) {
            ADD_FAILURE() << outcome.error().message();
            std::abort();
        }
        return *std::move(outcome);
    }

    TaskKind kind_;
    std::unique_ptr<Executor> executor_;
};

/// A test of one model after the other.
class ModelTest : public testing::TestWithParam<Model> {
protected:
    Io io() { return host_.io(); }
    ModelHost host_{GetParam()};
};

} // namespace zsync
