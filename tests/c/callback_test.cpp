// Tasks that await a library written in C.
#include "tests/c/library.h"
#include "tests/core/models.hpp"

#include <zsync/c/callback.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>

using namespace zsync;
using zsync::c::Callback;

namespace {

class CCallback : public ModelTest {
protected:
    template <class F> void run(F body) {
        const Result<void> done = io().run("test", make_task(body, io()));
        EXPECT_TRUE(done) << done.error().message();
    }
};

INSTANTIATE_TEST_SUITE_P(
    Models, CCallback, testing::Values(Model::coroutines, Model::fibers), model_name
);

Task<std::pair<int, std::string>> ask(library& library) {
    Callback<int, const char*> answered(&library_abort, &library);
    library_ask(&library, answered.function(), answered.user());
    const auto [status, text] = co_await answered;
    co_return {status, text};
}

Task<int> do_without_stop(library& library) {
    Callback<int> done;
    library_do(&library, done.function_with_user_last(), done.user());
    co_return co_await done;
}

} // namespace

TEST_P(CCallback, a_task_awaits_the_values_of_the_call) {
    run([](Io io) -> Task<Result<void>> {
        library library{};
        auto asking = io.async(ask, std::ref(library));
        ZCO_CHECK(co_await io.yield());
        EXPECT_FALSE(asking.is_finished());
        library_answer(&library, 7, "seven");
        EXPECT_EQ(co_await asking, std::pair(7, std::string("seven")));
        co_return {};
    });
}

TEST_P(CCallback, a_call_that_comes_before_the_wait_is_not_lost) {
    run([](Io /*io*/) -> Task<Result<void>> {
        library library{};
        Callback<int> done;
        library_do(&library, done.function_with_user_last(), done.user());
        library_answer(&library, 3, "");
        EXPECT_EQ(co_await done, 3);
        co_return {};
    });
}

TEST_P(CCallback, a_cancel_asks_the_library_to_end_and_stays_pending) {
    run([](Io io) -> Task<Result<void>> {
        library library{};
        const auto ask_then_yield = [](Io own, struct library& asked) -> Task<Result<int>> {
            const auto [status, text] = co_await ask(asked);
            const Result<void> next = co_await own.yield();
            EXPECT_TRUE(next.error().is_canceled());
            co_return status;
        };
        auto asking = io.async(ask_then_yield, io, std::ref(library));
        ZCO_CHECK(co_await io.yield());
        EXPECT_EQ(co_await asking.cancel(), Result<int>(library_aborted));
        co_return {};
    });
}

TEST_P(CCallback, a_library_that_knows_no_cancel_is_waited_for) {
    run([](Io io) -> Task<Result<void>> {
        library library{};
        auto doing = io.async(do_without_stop, std::ref(library));
        ZCO_CHECK(co_await io.yield());
        doing.request_cancel();
        ZCO_CHECK(co_await io.yield());
        EXPECT_FALSE(doing.is_finished());
        library_answer(&library, 5, "");
        EXPECT_EQ(co_await doing, 5);
        co_return {};
    });
}

TEST(CCallbackDeathTest, a_place_that_goes_before_the_call_is_named) {
    EXPECT_DEATH(
        {
            Callback<int> done;
            (void)done.function();
        },
        "a callback ends before the library has called it"
    );
}
