#include <zsync/store/store.hpp>

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <functional>
#include <sched.h>
#include <tests/store/scratch.hpp>
#include <unistd.h>

using namespace zsync;
using namespace zsync::store;

namespace {

constexpr std::array put_steps{
    Step::create, Step::write, Step::sync, Step::rename, Step::sync_directory
};

/// Runs `body` in a child and gives its exit status: what `body` returns, or what it exits with.
int in_child(const std::function<int()>& body) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::_exit(body());
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::string content_of(const std::string& directory, std::string_view name) {
    auto store = Store::open(directory);
    const auto content = store ? store->get(name) : Outcome<std::string>("(cannot open)");
    return content ? *content : content.error().message();
}

std::size_t files_in(const std::string& directory) {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(directory)) {
        ++count;
    }
    return count;
}

} // namespace

TEST(Store, put_makes_its_calls_in_the_order_that_durability_needs) {
    const Scratch scratch;
    std::vector<Step> steps;
    auto store = Store::open(scratch.path(), [&](Step step) {
        steps.push_back(step);
        return 0;
    });
    ASSERT_TRUE(store && store->put("a", "x"));
    EXPECT_TRUE(std::ranges::equal(steps, put_steps));
    steps.clear();
    ASSERT_TRUE(store->erase("a"));
    EXPECT_EQ(steps, (std::vector{Step::remove, Step::sync_directory}));
}

TEST(Store, a_crash_before_any_step_leaves_old_or_new) {
    for (const Step fatal : put_steps) {
        const Scratch scratch;
        ASSERT_TRUE(Store::open(scratch.path()).value().put("a", "old"));
        const int status = in_child([&] {
            auto store = Store::open(scratch.path(), [&](Step step) {
                if (step == fatal) {
                    ::_exit(42);
                }
                return 0;
            });
            (void)store->put("a", "new");
            return 0;
        });
        ASSERT_EQ(status, 42);
        EXPECT_EQ(content_of(scratch.path(), "a"), fatal == Step::sync_directory ? "new" : "old");
        EXPECT_EQ(files_in(scratch.path()), 1U) << "opening cleans up";
    }
}

TEST(Store, a_failing_step_leaves_the_old_content_and_nothing_else) {
    constexpr std::array errors{ENOSPC, EIO, EROFS, EDQUOT};
    for (const Step failing : put_steps) {
        for (const int error : errors) {
            const Scratch scratch;
            ASSERT_TRUE(Store::open(scratch.path()).value().put("a", "old"));
            {
                auto store = Store::open(scratch.path(), [&](Step step) {
                    return step == failing ? error : 0;
                });
                const auto put = store->put("a", "new");
                ASSERT_FALSE(put);
                EXPECT_EQ(put.error().error.os_error(), error);
                const bool late = failing == Step::sync_directory;
                EXPECT_EQ(
                    put.error().message(),
                    (late ? "cannot make sure of " : "cannot save ") + scratch.file("a") + ": " +
                        os_error(error).message()
                );
            }
            EXPECT_EQ(
                content_of(scratch.path(), "a"), failing == Step::sync_directory ? "new" : "old"
            );
            EXPECT_EQ(files_in(scratch.path()), 1U);
        }
    }
}

TEST(Store, a_failing_removal_says_so) {
    const Scratch scratch;
    auto store =
        Store::open(scratch.path(), [&](Step step) { return step == Step::remove ? EROFS : 0; });
    ASSERT_TRUE(store->put("a", "x"));
    EXPECT_EQ(
        store->erase("a").error().message(),
        "cannot remove " + scratch.file("a") + ": Read-only file system"
    );
    EXPECT_EQ(store->get("a").value(), "x");
}

TEST(Store, a_file_size_limit_leaves_the_old_content) {
    const Scratch scratch;
    ASSERT_TRUE(Store::open(scratch.path()).value().put("a", "old"));
    const int status = in_child([&] {
        ::signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{.rlim_cur = 4096, .rlim_max = 4096};
        auto store = Store::open(scratch.path());
        if (::setrlimit(RLIMIT_FSIZE, &limit) != 0 || !store) {
            return 1;
        }
        const auto put = store->put("a", std::string(100'000, 'x'));
        return !put && put.error().error.os_error() == EFBIG ? 0 : 2;
    });
    EXPECT_EQ(status, 0);
    EXPECT_EQ(content_of(scratch.path(), "a"), "old");
    EXPECT_EQ(files_in(scratch.path()), 1U);
}

namespace {

constexpr int no_namespace = 77;

/// Mounts a tmpfs of a few pages on `path` in a mount namespace of this process's own.
bool mount_tiny(const std::string& path) {
    const bool own = ::unshare(CLONE_NEWNS) == 0 || ::unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0;
    return own && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           ::mount("zsync-store-test", path.c_str(), "tmpfs", 0, "size=64k") == 0;
}

/// The directory must be opened after the mount, by the body.
void on_a_tiny_disk(const std::function<int(const std::string&)>& body) {
    const Scratch scratch;
    const int status =
        in_child([&] { return mount_tiny(scratch.path()) ? body(scratch.path()) : no_namespace; });
    if (status == no_namespace) {
        GTEST_SKIP() << "needs CAP_SYS_ADMIN or user namespaces: no mount namespace of its own";
    }
    EXPECT_EQ(status, 0);
}

} // namespace

TEST(Store, a_full_disk_leaves_the_old_content) {
    on_a_tiny_disk([](const std::string& directory) {
        auto store = Store::open(directory);
        if (!store || !store->put("a", "old")) {
            return 1;
        }
        const auto put = store->put("a", std::string(200'000, 'x'));
        if (put || put.error().error.os_error() != ENOSPC ||
            put.error().message() != "cannot save " + directory + "/a: No space left on device") {
            return 2;
        }
        return store->get("a").value_or("") == "old" && files_in(directory) == 1 ? 0 : 3;
    });
}

TEST(Store, a_read_only_disk_is_read_and_refuses_changes) {
    on_a_tiny_disk([](const std::string& directory) {
        if (!Store::open(directory)->put("a", "old")) {
            return 1;
        }
        std::ofstream(directory + "/bad") << "garbage";
        if (::mount("none", directory.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) != 0) {
            return 2;
        }
        auto store = Store::open(directory);
        if (!store || store->get("a").value_or("") != "old") {
            return 3;
        }
        const auto put = store->put("a", "new");
        if (put ||
            put.error().message() != "cannot save " + directory + "/a: Read-only file system") {
            return 4;
        }
        const auto bad = store->get("bad");
        const bool said =
            !bad &&
            bad.error().message().ends_with("it cannot be set aside: Read-only file system");
        return said ? 0 : 5;
    });
}
