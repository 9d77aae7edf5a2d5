#include "read_text.hpp"

#include <zsync/packet/limits.hpp>
#include <zsync/packet/rules.hpp>

#include <sys/stat.h>

#include <chrono>
#include <format>
#include <string_view>
#include <unistd.h>

namespace zsync::zsyncd {
namespace {

constexpr auto passed_file_timeout = std::chrono::seconds(10);
constexpr std::size_t chunk_bytes = std::size_t{256} << 10;
constexpr std::string_view passed_file = "the passed file";

std::unexpected<Fault> cannot_read(Error error) {
    return fail(error, std::format("cannot read {}: {}", passed_file, error.message()));
}

Task<Outcome<std::string>> read_stream(Io io, Fd file) {
    const TimePoint deadline = Clock::now() + passed_file_timeout;
    std::string text;
    Bytes chunk(chunk_bytes);
    for (;;) {
        auto [count, buffer] = co_await io.read(file, std::move(chunk)).until(deadline);
        chunk = std::move(buffer);
        if (!count && count.error() == Error(CoreError::timed_out)) {
            co_return fail(
                CoreError::timed_out,
                std::format("{} did not end within {}", passed_file, passed_file_timeout)
            );
        }
        if (!count) {
            co_return cannot_read(count.error());
        }
        if (*count == 0) {
            co_return text;
        }
        text.append(chunk.text(*count));
        if (text.size() > packet::limits::file_bytes_max) {
            co_return fail(
                CoreError::limit_reached,
                std::format("{} is over {} bytes", passed_file, packet::limits::file_bytes_max)
            );
        }
    }
}

} // namespace

bool is_regular(const Fd& file) {
    struct stat status{};
    return ::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode);
}

Task<Outcome<std::string>> read_text(Io io, Fd file) {
    // Read on the ring, a file is handed to a worker thread of the kernel where the file system
    // cannot promise not to block, and that thread wakes every 5 s for as long as the ring lives.
    if (is_regular(file)) {
        co_return co_await io.offload([&file] { return packet::read_open_file(file, passed_file); }
        );
    }
    co_return co_await read_stream(io, std::move(file));
}

} // namespace zsync::zsyncd
