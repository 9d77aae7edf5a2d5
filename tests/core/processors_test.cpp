#include <zsync/core/processors.hpp>

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sched.h>
#include <string>
#include <unistd.h>

namespace zsync {
namespace {

/// A hierarchy of cgroups as the kernel shows it, in a folder.
class Hierarchy : public testing::Test {
protected:
    Hierarchy() : root_(std::filesystem::temp_directory_path() / "zsync-cgroups-XXXXXX") {
        std::string name = root_;
        root_ = ::mkdtemp(name.data());
    }
    ~Hierarchy() override { std::filesystem::remove_all(root_); }

    void limit(const std::string& cgroup, const std::string& cpu_max) const {
        std::filesystem::create_directories(root_ / cgroup);
        std::ofstream(root_ / cgroup / "cpu.max") << cpu_max << '\n';
    }
    [[nodiscard]] std::uint32_t processors_of(const std::string& cgroup) const {
        return processors_by_quota(root_, cgroup);
    }

    std::filesystem::path root_; // NOLINT(readability-identifier-naming): GoogleTest's idiom
};

constexpr std::uint32_t unlimited = std::numeric_limits<std::uint32_t>::max();

TEST_F(Hierarchy, a_quota_is_rounded_up_to_whole_processors) {
    limit("one", "50000 100000");
    limit("two", "100001 100000");
    limit("eight", "400000 50000");
    limit("all", "max 100000");
    EXPECT_EQ(processors_of("/one"), 1U);
    EXPECT_EQ(processors_of("/two"), 2U);
    EXPECT_EQ(processors_of("/eight"), 8U);
    EXPECT_EQ(processors_of("/all"), unlimited);
}

TEST_F(Hierarchy, the_least_of_a_cgroup_and_those_above_it_counts) {
    limit("a.slice", "300000 100000");
    limit("a.slice/b.service", "max 100000");
    limit("a.slice/b.service/c", "500000 100000");
    limit("a.slice/d.service", "100000 100000");
    EXPECT_EQ(processors_of("/a.slice/b.service/c"), 3U);
    EXPECT_EQ(processors_of("/a.slice/b.service"), 3U);
    EXPECT_EQ(processors_of("/a.slice/d.service"), 1U);
    EXPECT_EQ(processors_of("/"), unlimited);
}

TEST_F(Hierarchy, a_container_sees_the_limit_of_its_own_root) {
    limit(".", "200000 100000");
    EXPECT_EQ(processors_of("/"), 2U);
    EXPECT_EQ(processors_of("/../elsewhere"), 2U);
}

TEST_F(Hierarchy, what_is_not_there_or_makes_no_sense_is_no_limit) {
    limit("broken", "many");
    limit("never", "100000 0");
    EXPECT_EQ(processors_of("/missing"), unlimited);
    EXPECT_EQ(processors_of("/broken"), unlimited);
    EXPECT_EQ(processors_of("/never"), unlimited);
}

TEST(Processors, no_more_than_the_affinity_has) {
    cpu_set_t before;
    ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
    EXPECT_GE(usable_processors(), 1U);
    EXPECT_LE(usable_processors(), static_cast<std::uint32_t>(CPU_COUNT(&before)));
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(::sched_getcpu(), &one);
    ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
    EXPECT_EQ(usable_processors(), 1U);
    EXPECT_EQ(::sched_setaffinity(0, sizeof before, &before), 0);
}

} // namespace
} // namespace zsync
