// within: a deadline for a whole call.
#include "tests/core/conformance/conformance.hpp"

#include <zsync/core/event.hpp>
#include <zsync/core/within.hpp>

#include <memory>

namespace zsync::conformance {
namespace {

Task<Result<void>> see(Event& event) { co_return co_await event.wait(); }
Task<Result<int>> number_later(Io io, int number) {
    ZCO_CHECK(co_await io.sleep_for(soon));
    ZCO_CHECK(co_await io.sleep_for(soon));
    co_return number;
}
Task<Result<void>> refuse_later(Io io) {
    ZCO_CHECK(co_await io.yield());
    co_return fail(CoreError::closed);
}
Task<Outcome<void>> see_with_words(Event& event) {
    if (const Result<void> seen = co_await event.wait(); !seen) {
        co_return fail(seen.error(), "what was not seen");
    }
    co_return {};
}
/// Goes on after its cancel, and ends well.
Task<Result<int>> clean_up(Io io, Event& never, bool& cleaned) {
    EXPECT_IS(co_await never.wait(), "Canceled");
    ZCO_CHECK(co_await io.sleep_for(soon));
    cleaned = true;
    co_return 7;
}
Task<Result<void>> see_in(Io io, Duration time, Event& event) {
    co_return co_await within(io, io.now() + time, see, std::ref(event));
}

} // namespace

ZSYNC_CASE(within, gives_what_the_call_gives_in_time, beside | timer) {
    ZCO_TRY(const int number, co_await within(io, io.now() + 1h, number_later, io, 5));
    EXPECT_EQ(number, 5);
    EXPECT_IS(co_await within(io, io.now() + 1h, refuse_later, io), "Closed");
    co_return {};
}

ZSYNC_CASE(within, takes_plain_functions_and_gives_a_result, beside | timer) {
    bool called = false;
    ZCO_CHECK(co_await within(io, io.now() + 1h, [&called] { called = true; }));
    EXPECT_TRUE(called);
    ZCO_TRY(
        const auto owned,
        co_await within(
            io,
            io.now() + 1h,
            [](std::unique_ptr<int> given) { return given; },
            std::make_unique<int>(3)
        )
    );
    EXPECT_EQ(*owned, 3);
    co_return {};
}

ZSYNC_CASE(within, a_late_call_is_canceled_and_timed_out, beside | timer) {
    Event never;
    const Result<void> late = co_await within(io, io.now() + soon, see, std::ref(never));
    if (!late && late.error() != Error(CoreError::timed_out)) {
        co_return late;
    }
    EXPECT_IS(late, "TimedOut");
    co_return co_await io.yield(); // the cancel was the call's
}

ZSYNC_CASE(within, a_deadline_that_has_passed_ends_the_first_wait, beside | timer) {
    Event never;
    const Result<void> late = co_await within(io, io.now() - 1s, see, std::ref(never));
    if (!late && late.error() != Error(CoreError::timed_out)) {
        co_return late;
    }
    EXPECT_IS(late, "TimedOut");
    co_return {};
}

ZSYNC_CASE(within, returns_when_the_late_call_has_cleaned_up, beside | timer) {
    Event never;
    bool cleaned = false;
    ZCO_TRY(
        const int number,
        co_await within(io, io.now() + soon, clean_up, io, std::ref(never), std::ref(cleaned))
    );
    EXPECT_TRUE(cleaned);
    EXPECT_EQ(number, 7) << "what the call made of it";
    co_return {};
}

ZSYNC_CASE(within, outcomes_time_out_too, beside | timer) {
    Event never;
    const Outcome<void> late =
        co_await within(io, io.now() + soon, see_with_words, std::ref(never));
    if (late || late.error().error != Error(CoreError::timed_out)) {
        co_return late ? Result<void>() : fail(late.error().error);
    }
    co_return {};
}

ZSYNC_CASE(within, the_earlier_of_two_deadlines_counts, beside | timer) {
    Event never;
    const Result<void> inner =
        co_await within(io, io.now() + 1h, see_in, io, soon, std::ref(never));
    if (!inner && inner.error() != Error(CoreError::timed_out)) {
        co_return inner;
    }
    EXPECT_IS(inner, "TimedOut");
    EXPECT_IS(co_await within(io, io.now() + soon, see_in, io, 1h, std::ref(never)), "TimedOut");
    co_return {};
}

ZSYNC_CASE(within, takes_deadlines_of_other_clocks, beside | timer) {
    Event never;
    const auto by_the_wall = std::chrono::system_clock::now() + soon;
    const Result<void> late = co_await within(io, by_the_wall, see, std::ref(never));
    if (!late && late.error() != Error(CoreError::timed_out)) {
        co_return late;
    }
    EXPECT_IS(late, "TimedOut");
    EXPECT_IS(co_await within(io, BootClock::now() + soon, see, std::ref(never)), "TimedOut");
    EXPECT_EQ(co_await within(io, BootClock::now() + 1h, number_later, io, 5), 5);
    co_return {};
}

ZSYNC_CASE(within, a_cancel_of_the_waiting_task_is_a_cancel, beside | timer) {
    Event never;
    ZCO_TRY(auto waiting, io.concurrent(see_in, io, 1h, std::ref(never)));
    ZCO_CHECK(co_await at_rest(io));
    const Result<void> ended = co_await waiting.cancel();
    if (!ended && !ended.error().is_canceled()) {
        co_return ended;
    }
    EXPECT_IS(ended, "Canceled");
    co_return {};
}

} // namespace zsync::conformance
