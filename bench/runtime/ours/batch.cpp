// Chains of open, statx, read and close on zsync: `batch_zsync FOLDER`, as its peer.
#include "bench/runtime/peers/listen.h"

#include <zsync/core/batch.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/worker.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <unistd.h>
#include <vector>

using namespace zsync;

namespace {

constexpr std::size_t buffer_bytes = 64 * 1024;
constexpr std::size_t chain_length = 4;
/// Chains at a time.
constexpr std::size_t window = 64;

struct Totals {
    std::uint64_t files = 0;
    std::uint64_t bytes = 0;
};

/// Memory that chains use, for all rounds.
struct Desk {
    std::vector<BatchSlot> slots{window * chain_length};
    std::vector<std::byte> buffers{window * buffer_bytes};
    std::vector<struct statx> found{window};
};

class Round {
public:
    Round(const Fd& folder, const std::vector<std::string>& names, Desk& desk) noexcept
        : folder_(folder), names_(names), desk_(desk) {}

    Task<Result<Totals>> run(Io io) {
        Batch batch(io, desk_.slots);
        for (std::size_t first = 0; first < names_.size(); first += window) {
            const std::size_t count = std::min(window, names_.size() - first);
            for (std::size_t at = 0; at < count; ++at) {
                ZCO_CHECK(add(batch, first, at));
            }
            ZCO_CHECK(co_await batch.all());
            while (const auto done = batch.next()) {
                ZCO_CHECK(done->value);
                if (done->operation == Opcode::read) {
                    die_if(*done->value != desk_.found[done->tag].stx_size, "read");
                    totals_.bytes += *done->value;
                    ++totals_.files;
                }
            }
        }
        co_return totals_;
    }

private:
    Result<void> add(Batch& batch, std::size_t first, std::size_t at) {
        using Op = BatchOperation;
        const std::span buffer(desk_.buffers.data() + at * buffer_bytes, buffer_bytes);
        return batch.add(
            at,
            Op::open(names_[first + at].c_str(), O_RDONLY, 0, folder_),
            Op::stat(Batch::opened, desk_.found[at], STATX_SIZE),
            Op::read(Batch::opened, buffer),
            Op::close(Batch::opened)
        );
    }

    const Fd& folder_;
    const std::vector<std::string>& names_;
    Desk& desk_;
    Totals totals_;
};

Task<Result<Totals>> run_rounds(
    Io io, long rounds, const Fd& folder, const std::vector<std::string>& names, Desk& desk
) {
    Totals all;
    for (long n = 0; n < rounds; ++n) {
        Round round(folder, names, desk);
        ZCO_TRY(const Totals totals, co_await round.run(io));
        all.files += totals.files;
        all.bytes += totals.bytes;
    }
    co_return all;
}

} // namespace

int main(int count, char** words) {
    die_if(count != 2, "usage: batch_zsync FOLDER");
    const Fd folder(::open(words[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    die_if(!folder, words[1]);
    std::vector<std::string> names;
    while (::faccessat(folder.get(), std::to_string(names.size()).c_str(), F_OK, 0) == 0) {
        names.push_back(std::to_string(names.size()));
    }
    auto worker = Worker::create();
    die_if(!worker, "worker");
    const Io io = (*worker)->io();
    Desk desk;
    say_ready();
    char line[32];
    while (std::fgets(line, sizeof line, stdin) != nullptr) {
        const TimePoint begin = Clock::now();
        const auto totals = io.run(
            "rounds",
            run_rounds(io, std::atol(line), std::cref(folder), std::cref(names), std::ref(desk))
        );
        die_if(!totals, "batch");
        const double ns = std::chrono::duration<double, std::nano>(Clock::now() - begin).count();
        std::printf(
            "%lu %lu %.1f\n",
            totals->files,
            totals->bytes,
            ns / static_cast<double>(std::max<std::uint64_t>(totals->files, 1))
        );
        (void)std::fflush(stdout);
    }
    return 0;
}
