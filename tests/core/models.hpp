// The execution models behind Io, as parameters of tests.
#pragma once

#include <zsync/core/blocking_executor.hpp>
#include <zsync/core/epoll_queue.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/thread_executor.hpp>
#include <zsync/core/worker.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

namespace zsync {

enum class Model : std::uint8_t {
    coroutines, ///< on the rung that `Worker::create` finds
    fibers,
    epoll_coroutines,
    epoll_fibers,
    threads,
    blocking,
};

inline std::string model_name(const testing::TestParamInfo<Model>& model) {
    switch (model.param) {
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
    }
    return "unknown";
}

inline auto concurrent_models() {
    using enum Model;
    return testing::Values(coroutines, fibers, epoll_coroutines, epoll_fibers, threads);
}

/// An executor of a model, and what its `Io` starts.
class ModelHost {
public:
    explicit ModelHost(Model model) : kind_(TaskKind::thread) {
        if (model == Model::threads) {
            executor_ = take(ThreadExecutor::create());
        } else if (model == Model::blocking) {
            executor_ = std::make_unique<BlockingExecutor>();
        } else {
            const bool fibers = model == Model::fibers || model == Model::epoll_fibers;
            const bool epoll = model == Model::epoll_coroutines || model == Model::epoll_fibers;
            kind_ = fibers ? TaskKind::fiber : TaskKind::coroutine;
            executor_ = epoll ? std::make_unique<Worker>(take(EpollQueue::create({}, "a test")))
                              : take(Worker::create());
        }
    }
    [[nodiscard]] Executor& executor() noexcept { return *executor_; }
    [[nodiscard]] Io io() noexcept { return {*executor_, kind_}; }

private:
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

} // namespace zsync
