#include "read_text.hpp"

#include <chrono>
#include <format>

namespace zsync::zsyncd {
namespace {

constexpr auto passed_file_timeout = std::chrono::seconds(10);
constexpr std::size_t chunk_bytes = std::size_t{256} << 10;

} // namespace

Task<Outcome<std::string>> read_text(Io io, Fd file, std::size_t bytes_max) {
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
            co_return fail(
                count.error(), "cannot read the passed file: " + count.error().message()
            );
        }
        if (*count == 0) {
            co_return text;
        }
        text.append(chunk.text(*count));
        if (text.size() > bytes_max) {
            co_return fail(
                CoreError::limit_reached,
                std::format(
                    "the passed file is larger than {} bytes, which is the limit", bytes_max
                )
            );
        }
    }
}

} // namespace zsync::zsyncd
