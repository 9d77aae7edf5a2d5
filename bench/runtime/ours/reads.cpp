// Random reads of 4 KiB from a file on zsync: `reads_zsync FILE DEPTH SECONDS buffered|direct`
// prints the reads a second.
#include <zsync/core/io.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/worker.hpp>

#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <memory>
#include <string_view>

using namespace zsync;

namespace {

constexpr std::size_t block_bytes = 4096;

struct Job {
    Fd file;
    std::uint64_t blocks = 0;
    TimePoint end{};
    std::uint64_t reads = 0;
    bool failed = false;
};

std::uint64_t next_random(std::uint64_t& state) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
};

Task<void> read_often(Io io, Job* job, std::uint64_t seed) {
    const std::unique_ptr<std::byte, Free> memory(
        static_cast<std::byte*>(std::aligned_alloc(block_bytes, block_bytes))
    );
    const std::span<std::byte> block(memory.get(), block_bytes);
    std::uint64_t state = seed;
    while (Clock::now() < job->end) {
        const auto done =
            co_await io.read(job->file, block, next_random(state) % job->blocks * block_bytes);
        if (!done.count || *done.count != block_bytes) {
            job->failed = true;
            co_return;
        }
        ++job->reads;
    }
}

Task<void> read_all(Io io, Job* job, unsigned depth) {
    Scope readers(io, "readers");
    for (unsigned i = 0; i < depth; ++i) {
        (void)readers.spawn("reader", read_often(io, job, 0x9e3779b97f4a7c15ULL * (i + 1)));
    }
    (void)co_await readers.join();
}

} // namespace

int main(int count, char** words) {
    if (count != 5) {
        (void)std::fprintf(stderr, "usage: reads_zsync FILE DEPTH SECONDS buffered|direct\n");
        return 2;
    }
    const int direct = std::string_view(words[4]) == "direct" ? O_DIRECT : 0;
    auto worker = Worker::create();
    Job job{.file = Fd(::open(words[1], O_RDONLY | O_CLOEXEC | direct))};
    struct stat info{};
    if (!worker || !job.file || ::fstat(job.file.get(), &info) != 0) {
        std::perror(words[1]);
        return 1;
    }
    job.blocks = static_cast<std::uint64_t>(info.st_size) / block_bytes;
    const TimePoint begin = Clock::now();
    job.end = begin + std::chrono::seconds(std::atoi(words[3]));
    (*worker)->run(
        "reads", read_all((*worker)->io(), &job, static_cast<unsigned>(std::atoi(words[2])))
    );
    std::printf(
        "%.1f\n",
        static_cast<double>(job.reads) / std::chrono::duration<double>(Clock::now() - begin).count()
    );
    return job.failed ? 1 : 0;
}
