// The store under simulated crashes: a process dies anywhere, and another one finds old or new.
#include "tests/core/seeds.hpp"
#include "tests/store/scratch.hpp"

#include <zsync/core/simulation.hpp>
#include <zsync/store/store.hpp>

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <format>
#include <map>
#include <string>
#include <unistd.h>

namespace zsync::store {
namespace {

constexpr std::uint64_t seeds = 300;
constexpr int documents = 3;
constexpr int versions = 4;

std::string name_of(int document) { return std::format("document-{}", document); }
/// Long enough to be written in several parts, and of a kind that shows a mixture.
std::string content_of(int document, int version) {
    return std::string(2000, static_cast<char>('a' + document)) + std::format(" {}", version);
}

/// Saves every version of every document, and notes in `journal` what has returned.
Task<Result<void>> save_all(Io io, Simulation& simulation, std::string directory, FdRef journal) {
    auto store = Store::open(directory, [&simulation](Step) {
        simulation.queue().pass_step();
        return 0;
    });
    if (!store) {
        co_return fail(store.error().error);
    }
    for (int version = 1; version <= versions; ++version) {
        for (int document = 0; document < documents; ++document) {
            const std::string content = content_of(document, version);
            const auto saved =
                co_await io.offload([&] { return store->put(name_of(document), content); });
            if (!saved) {
                co_return fail(saved.error().error);
            }
            // One byte each, so that none is half written.
            const char note = static_cast<char>(version * documents + document);
            ZCO_CHECK((co_await io.write(journal, std::span(&note, 1))).count);
        }
    }
    co_return {};
}

/// In a process of its own, which dies at a step that follows from the seed.
void die_while_saving(std::uint64_t seed, const std::string& directory, const Fd& journal) {
    Simulation simulation(seed, {.crash_at = 1 + (seed * 2654435761U) % 110});
    const Io io = simulation.worker().io();
    const bool saved =
        simulation.worker().run("save", save_all(io, simulation, directory, journal)).has_value();
    ::_exit(saved ? 0 : 1);
}

/// What a fresh simulation finds: for each document a whole version, no older than the last one
/// whose saving had returned.
Task<Result<void>> recover(Io io, std::string directory, std::string noted) {
    std::map<int, int> saved;
    for (const char note : noted) {
        saved[note % documents] = note / documents;
    }
    auto store = Store::open(directory);
    EXPECT_TRUE(store);
    if (!store) {
        co_return fail(store.error().error);
    }
    for (int document = 0; document < documents; ++document) {
        const auto found = co_await io.offload([&] { return store->get(name_of(document)); });
        if (!found) {
            EXPECT_FALSE(saved.contains(document)) << found.error().message();
            continue;
        }
        bool known = false;
        for (int version = std::max(saved[document], 1); version <= versions; ++version) {
            known = known || *found == content_of(document, version);
        }
        EXPECT_TRUE(known) << "a mixture, or an old version: " << found->substr(found->size() - 4);
    }
    // And it can go on from there.
    const auto again = co_await io.offload([&] { return store->put("after", "all"); });
    EXPECT_TRUE(again);
    const auto contents = store->read_all();
    EXPECT_TRUE(contents && contents->damaged.empty());
    co_return {};
}

void crash_and_recover(std::uint64_t seed, int& died) {
    SCOPED_TRACE(replay_of(seed));
    const Scratch scratch;
    Fd journal(::memfd_create("journal", MFD_CLOEXEC));
    const pid_t child = ::fork();
    if (child == 0) {
        die_while_saving(seed, scratch.path(), journal);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    ASSERT_TRUE(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == simulated_crash_code)
        << WEXITSTATUS(status);
    died += WEXITSTATUS(status) == simulated_crash_code ? 1 : 0;
    std::string noted(64, '\0');
    const ssize_t count = ::pread(journal.get(), noted.data(), noted.size(), 0);
    noted.resize(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    Simulation fresh(seed + seeds);
    EXPECT_TRUE(fresh.worker().run("recover", recover(fresh.worker().io(), scratch.path(), noted)));
}

} // namespace

TEST(StoreSimulation, whatever_a_process_dies_at_the_next_one_finds_old_or_new) {
    int died = 0;
    for (const std::uint64_t seed : seeds_to(seeds)) {
        if (!HasFailure()) {
            crash_and_recover(seed, died);
        }
    }
    if (seed_to_replay() == nullptr) {
        EXPECT_GT(died, static_cast<int>(seeds / 2)) << "most crashes come before the end";
    }
}

} // namespace zsync::store
