#include "tests/core/conformance/cancel_suite.hpp"

#include "tests/core/conformance/suspension_point.hpp"
#include "tests/core/seeds.hpp"

#include <algorithm>
#include <string>

namespace zsync::conformance {
namespace {

enum class Timing : std::uint8_t {
    before_submit,
    after_submit,
    racing_completion,
    after_completion,
    twice,
    during_shutdown,
};
struct NamedTiming {
    Timing timing;
    std::string_view name;
};
constexpr std::array<NamedTiming, timing_count> timings{
    NamedTiming{Timing::before_submit, "before_submit"},
    NamedTiming{Timing::after_submit, "after_submit"},
    NamedTiming{Timing::racing_completion, "racing_completion"},
    NamedTiming{Timing::after_completion, "after_completion"},
    NamedTiming{Timing::twice, "twice"},
    NamedTiming{Timing::during_shutdown, "during_shutdown"},
};

/// Who comes first in a race; `either`: two tasks, in the order of the model or its seed.
enum class Race : std::uint8_t { completion_first, cancel_first, either };

constexpr std::uint64_t seeds_per_race = 12;
constexpr std::uint64_t seeds_otherwise = 2;
/// Of threads, whose order is the machine's.
constexpr int races_on_threads = 20;

/// What the waiting task saw.
struct Seen {
    std::string outcome;
    int pending = 0; ///< cancels that were delivered behind the wait
};

struct Scene {
    const PointRow& row;
    Timing timing;
    Race race;
    std::unique_ptr<Point> point;
    Seen seen;

    void complete() const {
        if (row.ending != Ending::never) {
            point->completed = true;
            point->complete();
        }
    }
    void complete_if_it_must() const {
        if (row.ending == Ending::stays) {
            complete();
        }
    }
};

Task<void> wait_at(Io io, Point& point, Seen& seen) {
    seen.outcome = what(co_await point.wait(io));
    while (!io.check_cancel()) {
        ++seen.pending;
    }
}

Task<Result<void>> race(Io io, Scene& scene, Future<void>& waiting) {
    switch (scene.race) {
    case Race::completion_first:
        scene.complete();
        waiting.request_cancel();
        co_return {};
    case Race::cancel_first:
        waiting.request_cancel();
        scene.complete();
        co_return {};
    case Race::either:
        break;
    }
    ZCO_TRY(auto completing, io.concurrent([&scene] { scene.complete(); }));
    ZCO_TRY(auto canceling, io.concurrent([&waiting] { waiting.request_cancel(); }));
    co_await completing;
    co_await canceling;
    co_return {};
}

/// Cancels `waiting` at the scene's time.
Task<Result<void>> cancel_in_time(Io io, Scene& scene, Future<void>& waiting) {
    if (scene.timing != Timing::before_submit) {
        ZCO_CHECK(co_await at_rest(io));
    }
    switch (scene.timing) {
    case Timing::before_submit:
    case Timing::after_submit:
        waiting.request_cancel();
        scene.complete_if_it_must();
        break;
    case Timing::racing_completion:
        ZCO_CHECK(co_await race(io, scene, waiting));
        break;
    case Timing::after_completion:
        scene.complete();
        co_await waiting;
        co_await waiting.cancel();
        break;
    case Timing::twice:
        waiting.request_cancel();
        waiting.request_cancel();
        scene.complete_if_it_must();
        break;
    case Timing::during_shutdown:
        scene.complete_if_it_must();
        co_return {}; // and the root with it, which forgets the task
    }
    co_await waiting;
    co_return {};
}

Task<Result<void>> play(Io io, Scene& scene) {
    scene.point = scene.row.make(io);
    ZCO_CHECK(co_await scene.point->prepare(io));
    ZCO_TRY(
        auto waiting,
        io.concurrent("waiting", wait_at, io, std::ref(*scene.point), std::ref(scene.seen))
    );
    ZCO_CHECK(co_await cancel_in_time(io, scene, waiting));
    if (scene.timing != Timing::during_shutdown) {
        ZCO_CHECK(co_await scene.point->settle(io));
    }
    co_return {};
}

/// A result or `canceled`, and every cancel delivered once: at the wait, or behind it.
void judge(const Scene& scene, Model model) {
    const Seen& seen = scene.seen;
    EXPECT_TRUE(seen.outcome == "ok" || seen.outcome == "Canceled") << seen.outcome;
    const bool canceled = seen.outcome == "Canceled";
    const Ending ending = scene.row.ending;
    const bool delivered_here = canceled && ending != Ending::passes_on;
    const int delivered = seen.pending + (delivered_here ? 1 : 0);
    if (scene.timing == Timing::after_completion) {
        EXPECT_EQ(seen.outcome, "ok");
        EXPECT_EQ(delivered, 0);
    } else if (scene.timing == Timing::twice && model == Model::threads) {
        EXPECT_LE(delivered, 2); // the first may have been seen before the second was asked for
    } else if (scene.timing == Timing::racing_completion ||
               scene.timing == Timing::during_shutdown || ending == Ending::ends ||
               model == Model::threads) {
        EXPECT_LE(delivered, 1) << "one cancel was delivered twice"; // it may have come too late
    } else {
        EXPECT_EQ(delivered, 1) << "of one cancel";
    }
    if (ending == Ending::waits || ending == Ending::never) {
        const bool certain = scene.timing == Timing::after_submit ||
                             scene.timing == Timing::twice || scene.timing == Timing::before_submit;
        EXPECT_TRUE(canceled || !certain) << "nothing but the cancel could end the wait";
    }
    if (ending == Ending::stays) {
        EXPECT_FALSE(canceled);
    }
}

Task<void> nothing() { co_return; }

class CancelAtPoint : public testing::Test {
public:
    CancelAtPoint(const PointRow& row, Timing timing, Model model)
        : row_(row), timing_(timing), model_(model) {}

    void TestBody() override {
        if (timing_ != Timing::racing_completion) {
            run_seeds(Race::either, seeds_otherwise);
            return;
        }
        for (const Race race : {Race::completion_first, Race::cancel_first, Race::either}) {
            run_seeds(race, seeds_per_race);
        }
    }

private:
    void run_seeds(Race race, std::uint64_t seeds) {
        SCOPED_TRACE(testing::Message() << "race " << static_cast<int>(race));
        if (!is_simulated(model_)) {
            const bool races = race == Race::either && timing_ == Timing::racing_completion;
            const int times = races && model_ == Model::threads ? races_on_threads : 1;
            for (int n = 0; n < times && !HasFailure(); ++n) {
                run_once(race, 0);
            }
            return;
        }
        for (const std::uint64_t seed : seeds_to(seeds)) {
            SCOPED_TRACE(replay_of(seed));
            if (!HasFailure()) {
                run_once(race, seed);
            }
        }
    }

    void run_once(Race race, std::uint64_t seed) {
        const std::size_t descriptors = open_descriptors();
        {
            const bool by_urgency = (row_.needs & urgency) != 0;
            ModelHost host(model_, seed, by_urgency ? RunOrder::urgency : RunOrder::arrival);
            Scene scene{.row = row_, .timing = timing_, .race = race, .point = {}, .seen = {}};
            EXPECT_IS(host.io().run("root", play(host.io(), scene)), "ok");
            EXPECT_EQ(host.executor().task_count(), 0U) << "a task is left";
            judge(scene, model_);
            if (scene.point->release()) {
                host.io().run("after", nothing());
            }
            scene.point->account(scene.seen.outcome == "ok");
        }
        EXPECT_EQ(open_descriptors(), descriptors) << "a descriptor is left, or closed twice";
    }

    const PointRow& row_;
    Timing timing_;
    Model model_;
};

const std::vector<PointRow>& all_points() {
    static const std::vector<PointRow> points = suspension_points();
    return points;
}

/// A name as gtest takes it.
std::string test_name(const PointRow& row, std::string_view timing) {
    std::string name = std::string(row.name) + "." + std::string(timing);
    std::ranges::replace(name, ' ', '_');
    return name;
}

} // namespace

std::vector<PointRow> suspension_points() {
    std::vector<PointRow> all;
    for (const auto& part :
         {operation_points(),
          socket_points(),
          synchronisation_points(),
          task_points(),
          stream_points(),
          worker_points(),
          limiter_points(),
          asio_points(),
          callback_points(),
          helper_points(),
          deadline_points()}) {
        all.insert(all.end(), part.begin(), part.end());
    }
    return all;
}

void register_cancels_on(Model model) {
    for (const PointRow& row : all_points()) {
        if (((row.needs & outside) != 0 && is_simulated(model)) ||
            ((row.needs & stack) != 0 && is_stackless(model)) ||
            ((row.needs & on_worker) != 0 && model == Model::threads)) {
            continue;
        }
        for (const NamedTiming& timing : timings) {
            if (timing.timing == Timing::after_completion && row.ending == Ending::never) {
                continue;
            }
            testing::RegisterTest(
                (std::string(name_of(model)) + ".cancel_at").c_str(),
                test_name(row, timing.name).c_str(),
                nullptr,
                nullptr,
                __FILE__,
                __LINE__,
                [&row, timing, model]() -> CancelAtPoint* {
                    return new CancelAtPoint(row, timing.timing, model);
                }
            );
        }
    }
}

TEST(Table, names_every_suspension_point_once) {
    std::vector<std::string_view> names;
    for (const PointRow& row : all_points()) {
        names.push_back(row.name);
    }
    std::ranges::sort(names);
    EXPECT_EQ(std::ranges::adjacent_find(names), names.end());
    std::printf("%zu suspension points, each cancelled at %zu times\n", names.size(), timing_count);
}

} // namespace zsync::conformance
