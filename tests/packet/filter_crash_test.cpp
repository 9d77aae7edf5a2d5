// A process that dies after any step leaves all of the old state or all of the new.
#include "tests/packet/filter_fixture.hpp"

#include <zsync/packet/limits.hpp>

#include <sys/wait.h>

#include <filesystem>
#include <functional>
#include <unistd.h>

using namespace zsync;
using namespace zsync::packet;
using namespace zsync::packet::test;

namespace {

constexpr std::uint32_t in_old = 0x0a010001;
constexpr std::uint32_t in_new = 0x0a020001;

class FilterCrashTest : public FilterTest {
protected:
    using Work = std::function<void(const FilterOptions&)>;

    /// The steps that `work` takes when nothing stops it.
    std::vector<std::string> steps_of(const Work& work) {
        std::vector<std::string> steps;
        FilterOptions watched = options();
        watched.on_step = [&](std::string_view step) { steps.emplace_back(step); };
        work(watched);
        return steps;
    }

    /// Does `work` in a process that is gone right after its step number `last`.
    void die_after(std::size_t last, const Work& work) {
        const pid_t child = fork();
        if (child == 0) {
            FilterOptions dying = options();
            dying.on_step = [step = std::size_t{0}, last](std::string_view) mutable {
                if (step++ == last) {
                    _exit(7);
                }
            };
            try {
                work(dying);
            } catch (...) {
                _exit(2);
            }
            _exit(1);
        }
        int status = 0;
        waitpid(child, &status, 0);
        ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    }

    [[nodiscard]] std::string directory() const { return lab_.bpf_dir() + "/packet/zt0"; }

    /// Names in the interface's directory: after adoption, the link and one generation.
    [[nodiscard]] std::size_t entries() const {
        const std::filesystem::directory_iterator all(directory());
        return static_cast<std::size_t>(std::distance(begin(all), end(all)));
    }

    /// Adopts, and proves by packets that the rules it shows are the rules that match.
    std::string adopt_and_probe() {
        Filter filter = must(Filter::adopt(options()));
        EXPECT_EQ(entries(), 2U);
        const std::uint64_t before = filter.rule_counts()->front().packets;
        const FrameSender sender(veth_.peer());
        const bool is_new = filter.live_rules().front().text == "drop from 10.2.0.0/16";
        sender.send(udp_from(in_old));
        sender.send(udp_from(in_new));
        sender.send(udp_from(is_new ? in_new : in_old));
        EXPECT_EQ(filter.rule_counts()->front().packets, before + 2);
        return is_new ? "new" : "old";
    }
};

} // namespace

TEST_F(FilterCrashTest, attach_leaves_nothing_or_everything) {
    const Work attach = [&](const FilterOptions& how) {
        (void)must(Filter::attach(how, drop_source("10.2.0.0/16")));
    };
    const std::vector<std::string> steps = steps_of(attach);
    must(must(Filter::adopt(options())).detach());
    ASSERT_EQ(steps.back(), "pin_link");
    for (std::size_t last = 0; last < steps.size(); ++last) {
        SCOPED_TRACE(steps[last]);
        die_after(last, attach);
        const bool attached = must(interface_facts("zt0")).xdp_mode != XdpMode::none;
        EXPECT_EQ(attached, last + 1 == steps.size());
        EXPECT_EQ(Filter::list_pinned(lab_.bpf_dir()).size(), attached ? 1U : 0U);
        if (attached) {
            EXPECT_EQ(adopt_and_probe(), "new");
        } else {
            EXPECT_EQ(Filter::adopt(options()).error().error, Error(PacketError::not_attached));
            EXPECT_FALSE(std::filesystem::exists(directory()));
        }
    }
}

TEST_F(FilterCrashTest, attach_over_the_leftovers_of_a_crash) {
    const Work attach = [&](const FilterOptions& how) {
        (void)must(Filter::attach(how, drop_source("10.2.0.0/16")));
    };
    const std::size_t steps = steps_of(attach).size();
    must(must(Filter::adopt(options())).detach());
    for (std::size_t last = 0; last + 1 < steps; ++last) {
        die_after(last, attach);
        Filter filter = must(Filter::attach(options(), drop_source("10.1.0.0/16")));
        EXPECT_EQ(entries(), 2U);
        must(filter.detach());
    }
}

TEST_F(FilterCrashTest, load_leaves_the_old_or_the_new_rules) {
    Filter filter = must(Filter::attach(options(), drop_source("10.1.0.0/16")));
    const Work load = [&](const FilterOptions& how) {
        must(must(Filter::adopt(how)).load(drop_source("10.2.0.0/16")));
    };
    const std::vector<std::string> steps = steps_of(load);
    const auto update = std::ranges::find(steps, "update_link");
    ASSERT_NE(update, steps.end());
    for (std::size_t last = 0; last < steps.size(); ++last) {
        SCOPED_TRACE(steps[last]);
        must(must(Filter::adopt(options())).load(drop_source("10.1.0.0/16")));
        die_after(last, load);
        EXPECT_NE(must(interface_facts("zt0")).xdp_mode, XdpMode::none);
        const bool updated = last >= static_cast<std::size_t>(update - steps.begin());
        EXPECT_EQ(adopt_and_probe(), updated ? "new" : "old");
    }
}

TEST_F(FilterCrashTest, detach_leaves_the_filter_or_nothing) {
    const Work detach = [&](const FilterOptions& how) { must(must(Filter::adopt(how)).detach()); };
    (void)must(Filter::attach(options(), drop_source("10.1.0.0/16")));
    const std::vector<std::string> steps = steps_of(detach);
    for (std::size_t last = 0; last < steps.size(); ++last) {
        SCOPED_TRACE(steps[last]);
        (void)must(Filter::attach(options(), drop_source("10.1.0.0/16")));
        die_after(last, detach);
        EXPECT_EQ(must(interface_facts("zt0")).xdp_mode, XdpMode::none);
        EXPECT_FALSE(Filter::adopt(options()));
        EXPECT_FALSE(std::filesystem::exists(directory()));
    }
}

TEST_F(FilterCrashTest, a_failed_load_leaves_the_old_rules_and_nothing_else) {
    Filter filter = must(Filter::attach(options(), drop_source("10.1.0.0/16")));
    RuleSet too_many;
    for (std::uint32_t i = 0; i <= limits::rules_max; ++i) {
        add_rule(too_many, Verdict::drop, std::to_string(i));
    }
    EXPECT_EQ(filter.load(too_many).error().error, Error(PacketError::rule_set_too_big));
    EXPECT_EQ(adopt_and_probe(), "old");
}
