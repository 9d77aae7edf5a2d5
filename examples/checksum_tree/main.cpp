// Checksums of every file below a folder: `checksum_tree FOLDER`, one line a file as cksum(1)
// prints it, sorted by name.
//
// Reads wait on the ring, many at a time. Both of the rest would hold up everybody else on this
// thread, so it goes elsewhere: listing a folder blocks in the kernel (`io.offload`), computing a
// sum keeps a processor busy (`io.compute`).
#include "crc.hpp"

#include <zsync/core/channel.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/worker.hpp>

#include <cstdio>
#include <fcntl.h>
#include <filesystem>
#include <format>
#include <map>
#include <string>

using namespace zsync;
namespace fs = std::filesystem;

namespace {

constexpr int readers = 32;
constexpr std::size_t names_queued_max = 256;
constexpr std::size_t block_bytes = 256UZ * 1024;

struct Sum {
    std::uint32_t crc = 0;
    std::uint64_t length = 0;
};
struct Run {
    Channel<std::string> names{names_queued_max};
    std::map<std::string, Sum> sums;
    bool failed = false;

    void complain(std::string_view name, const Error& error) {
        failed = true;
        (void)std::fprintf(
            stderr,
            "checksum_tree: %.*s: %s\n",
            static_cast<int>(name.size()),
            name.data(),
            error.message().c_str()
        );
    }
};

Task<Result<Sum>> checksum(Io io, std::string name) {
    ZCO_TRY(const Fd file, co_await io.open(std::move(name), O_RDONLY | O_NOFOLLOW));
    Crc crc;
    Bytes block(block_bytes);
    for (std::uint64_t at = 0;;) {
        auto [count, filled] = co_await io.read(file, std::move(block), at);
        block = std::move(filled);
        ZCO_CHECK(count);
        if (*count == 0) {
            co_return Sum{.crc = crc.finish(), .length = crc.length()};
        }
        at += *count;
        ZCO_CHECK(co_await io.compute([&crc, &block, length = *count] {
            crc.add({block.data(), length});
        }));
    }
}

Task<Result<void>> read_files(Io io, Run& run) {
    for (;;) {
        Result<std::string> name = co_await run.names.receive();
        if (!name) {
            co_return {}; // closed, and all names taken
        }
        const Result<Sum> sum = co_await checksum(io, *name);
        if (sum) {
            run.sums.emplace(*std::move(name), *sum);
        } else if (sum.error().is_canceled()) {
            co_return fail(sum.error());
        } else {
            run.complain(*name, sum.error());
        }
    }
}

struct Listing {
    std::vector<std::string> files;
    std::vector<std::string> folders;
    std::error_code error;
};

Listing list(const std::string& folder) {
    Listing found;
    for (fs::directory_iterator at(folder, found.error), end; !found.error && at != end;
         at.increment(found.error)) {
        if (at->is_symlink(found.error)) {
            continue;
        }
        if (at->is_directory(found.error)) {
            found.folders.push_back(at->path());
        } else if (at->is_regular_file(found.error)) {
            found.files.push_back(at->path());
        }
    }
    return found;
}

Task<Result<void>> find_files(Io io, Run& run, std::string top) {
    std::vector<std::string> open{std::move(top)};
    while (!open.empty()) {
        const std::string folder = std::move(open.back());
        open.pop_back();
        ZCO_TRY(Listing found, co_await io.offload([&folder] { return list(folder); }));
        if (found.error) {
            run.complain(folder, os_error(found.error.value()));
        }
        std::ranges::move(found.folders, std::back_inserter(open));
        for (std::string& name : found.files) {
            ZCO_CHECK(co_await run.names.send(std::move(name)));
        }
    }
    run.names.close();
    co_return {};
}

Task<Result<void>> checksum_all(Scope& scope, Io io, Run* run, std::string top) {
    for (int n = 0; n < readers; ++n) {
        scope.spawn("reader", read_files(io, *run));
    }
    scope.spawn("finder", find_files(io, *run, std::move(top)));
    co_return {};
}

} // namespace

int main(int count, char** words) {
    if (count != 2) {
        (void)std::fprintf(stderr, "usage: checksum_tree FOLDER\n");
        return 2;
    }
    auto worker = Worker::create();
    if (!worker) {
        (void)std::fprintf(stderr, "checksum_tree: %s\n", worker.error().message().c_str());
        return 1;
    }
    const Io io = (*worker)->io();
    Run run;
    const Result<void> done =
        io.run("main", in_scope(io, "tree", &checksum_all, io, &run, std::string(words[1])));
    for (const auto& [name, sum] : run.sums) {
        const std::string line = std::format("{} {} {}\n", sum.crc, sum.length, name);
        (void)std::fwrite(line.data(), 1, line.size(), stdout);
    }
    return done && !run.failed ? 0 : 1;
}
