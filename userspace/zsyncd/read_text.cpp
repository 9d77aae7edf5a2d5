#include "read_text.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <format>
#include <unistd.h>

namespace zsync::zsyncd {
namespace {

constexpr auto passed_file_timeout = std::chrono::seconds(10);
constexpr std::size_t chunk_bytes = std::size_t{256} << 10;

std::unexpected<Fault> cannot_read(Error error) {
    return fail(error, "cannot read the passed file: " + error.message());
}

std::unexpected<Fault> too_large(std::size_t bytes_max) {
    return fail(
        CoreError::limit_reached,
        std::format("the passed file is larger than {} bytes, which is the limit", bytes_max)
    );
}

bool is_regular(const Fd& file) {
    struct stat status{};
    return ::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode);
}

Outcome<std::string> read_regular(const Fd& file, std::size_t bytes_max) {
    std::string text;
    std::size_t size = 0;
    for (;;) {
        text.resize(size + chunk_bytes);
        const ssize_t got = ::read(file.get(), text.data() + size, chunk_bytes);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return cannot_read(os_error(errno));
        }
        size += static_cast<std::size_t>(got);
        if (size > bytes_max) {
            return too_large(bytes_max);
        }
        if (got == 0) {
            text.resize(size);
            return text;
        }
    }
}

Task<Outcome<std::string>> read_stream(Io io, Fd file, std::size_t bytes_max) {
    const TimePoint deadline = Clock::now() + passed_file_timeout;
    std::string text;
    Bytes chunk(chunk_bytes);
    for (;;) {
        auto [count, buffer] = co_await io.read(file, std::move(chunk)).until(deadline);
        chunk = std::move(buffer);
        if (!count && count.error() == Error(CoreError::timed_out)) {
            co_return fail(
                CoreError::timed_out,
                std::format("the passed file did not end within {}", passed_file_timeout)
            );
        }
        if (!count) {
            co_return cannot_read(count.error());
        }
        if (*count == 0) {
            co_return text;
        }
        text.append(chunk.text(*count));
        if (text.size() > bytes_max) {
            co_return too_large(bytes_max);
        }
    }
}

} // namespace

Task<Outcome<std::string>> read_text(Io io, Fd file, std::size_t bytes_max) {
    // Read on the ring, a file is handed to a worker thread of the kernel where the file system
    // cannot promise not to block, and that thread wakes every 5 s for as long as the ring lives.
    if (is_regular(file)) {
        co_return co_await io.offload([&file, bytes_max] { return read_regular(file, bytes_max); });
    }
    co_return co_await read_stream(io, std::move(file), bytes_max);
}

} // namespace zsync::zsyncd
