// Runs the conformance table on every execution model.
#include "tests/core/conformance/cancel_suite.hpp"
#include "tests/core/conformance/conditions.hpp"
#include "tests/core/conformance/conformance.hpp"
#include "tests/core/models.hpp"
#include "tests/core/seeds.hpp"

#include <zsync/core/frame_pool.hpp>

#include <algorithm>
#include <cstdio>
#include <set>
#include <string>

namespace zsync::conformance {
namespace {

/// The table is the specification: it may grow, and nobody shortens it unseen.
constexpr std::size_t cases_min = 400;
/// Orders and mishaps that each case meets in a simulation.
constexpr std::uint64_t seeds_per_case = 4;

/// How a model says that it lacks what a case needs; empty when it lacks nothing.
std::set<std::string> refusals_of(Model model, Needs needs) {
    std::set<std::string> refusals;
    const bool alone = model == Model::blocking || model == Model::failing;
    if (alone && (needs & beside) != 0) {
        refusals.insert("ConcurrencyUnavailable");
    }
    if (model == Model::failing) {
        if ((needs & timer) != 0) {
            refusals.insert("Unsupported");
        }
        if ((needs & network) != 0) {
            refusals.insert("ENETDOWN");
        }
        if ((needs & writing) != 0) {
            refusals.insert("ENOSPC");
        }
    }
    return refusals;
}

bool has_meaning_on(Model model, Needs needs) {
    if ((needs & stack) != 0 && is_stackless(model)) {
        return false;
    }
    return (needs & outside) == 0 || !is_simulated(model);
}

class CaseOnModel : public testing::Test {
public:
    CaseOnModel(const Case& one, Model model) : case_(one), model_(model) {}

    void TestBody() override {
        if (!is_simulated(model_)) {
            run_once(0);
            return;
        }
        for (const std::uint64_t seed : seeds_to(seeds_per_case)) {
            SCOPED_TRACE(replay_of(seed));
            if (!HasFailure()) {
                run_once(seed);
            }
        }
    }

private:
    void run_once(std::uint64_t seed) {
        const std::size_t descriptors = open_descriptors();
        [[maybe_unused]] const std::uint64_t frames = frame_pool_stats().live;
        {
            ModelHost host(model_, seed);
            const Result<void> result = host.io().run("case", case_.body(host.io()));
            judge(what(result));
            EXPECT_EQ(host.executor().task_count(), 0U) << "a task is left";
        }
        EXPECT_EQ(open_descriptors(), descriptors) << "a descriptor is left, or closed twice";
#ifndef ZSYNC_SANITIZED
        if (model_ != Model::threads) { // each thread counts its own
            EXPECT_EQ(frame_pool_stats().live, frames) << "a frame is left";
        }
#endif
    }

    void judge(const std::string& outcome) const {
        const std::set<std::string> refusals = refusals_of(model_, case_.needs);
        if (refusals.empty()) {
            EXPECT_EQ(outcome, "ok") << case_.file << ":" << case_.line;
        } else {
            EXPECT_TRUE(refusals.contains(outcome))
                << case_.file << ":" << case_.line << ": this model lacks what the case needs, and "
                << "the case ended with \"" << outcome << "\"";
        }
    }

    const Case& case_;
    Model model_;
};

std::vector<Case> sorted_table() {
    std::vector<Case> cases = table();
    std::ranges::stable_sort(cases, {}, [](const Case& one) {
        return std::pair(one.subject, one.line);
    });
    return cases;
}

std::string needs_of(const Case& one) {
    constexpr std::array words{
        std::pair{beside, " beside"},
        std::pair{timer, " timer"},
        std::pair{network, " network"},
        std::pair{writing, " writing"},
        std::pair{stack, " stack"},
        std::pair{outside, " outside"},
    };
    std::string text;
    for (const auto& [need, word] : words) {
        text += (one.needs & need) != 0 ? word : "";
    }
    return text.empty() ? "" : "  [" + text.substr(1) + "]";
}

std::string words_of(std::string_view name) {
    std::string words(name);
    std::ranges::replace(words, '_', ' ');
    return words;
}

void print(const std::vector<Case>& cases) {
    std::string_view subject;
    for (const Case& one : cases) {
        if (one.subject != subject) {
            subject = one.subject;
            std::printf("\n%s\n", words_of(subject).c_str());
        }
        std::printf("  %s%s\n", words_of(one.name).c_str(), needs_of(one).c_str());
    }
    std::printf("\n%zu cases\n", cases.size());
}

void register_on(Model model, const std::vector<Case>& cases) {
    for (const Case& one : cases) {
        if (has_meaning_on(model, one.needs)) {
            testing::RegisterTest(
                (std::string(name_of(model)) + "." + std::string(one.subject)).c_str(),
                std::string(one.name).c_str(),
                nullptr,
                nullptr,
                one.file,
                one.line,
                [&one, model]() -> CaseOnModel* { return new CaseOnModel(one, model); }
            );
        }
    }
}

const std::vector<Case>& all_cases() {
    static const std::vector<Case> cases = sorted_table();
    return cases;
}

} // namespace

TEST(Table, has_at_least_400_distinct_cases) {
    std::set<std::string> names;
    for (const Case& one : all_cases()) {
        names.insert(std::string(one.subject) + "." + std::string(one.name));
    }
    EXPECT_EQ(names.size(), all_cases().size()) << "two cases have one name";
    EXPECT_GE(names.size(), cases_min);
    std::printf("%zu distinct cases, on %zu models\n", names.size(), all_models.size());
}

} // namespace zsync::conformance

int main(int argc, char** argv) {
    using namespace zsync::conformance;
    if (argc == 2 && std::string_view(argv[1]) == "--list") {
        print(all_cases());
        return 0;
    }
    take_conditions_from_environment();
    testing::InitGoogleTest(&argc, argv);
    for (const zsync::Model model : zsync::all_models) {
        register_on(model, all_cases());
        if (zsync::is_concurrent(model)) {
            register_cancels_on(model);
        }
    }
    return RUN_ALL_TESTS();
}
