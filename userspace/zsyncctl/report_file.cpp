#include <system_error>

#include <array>
#include <cerrno>
#include <format>
#include <functional>
#include <unistd.h>
#include <zsyncctl/report_file.hpp>

namespace zsyncctl {
namespace {

Answer<void> each_chunk(const zsync::Fd& file, const std::function<void(std::string_view)>& take) {
    std::array<char, 65536> chunk{};
    for (off_t at = 0;;) {
        const ssize_t got = pread(file.get(), chunk.data(), chunk.size(), at);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return refuse(std::format(
                "cannot read zsyncd's report: {}", std::generic_category().message(errno)
            ));
        }
        if (got == 0) {
            return {};
        }
        take({chunk.data(), static_cast<std::size_t>(got)});
        at += got;
    }
}

} // namespace

Answer<void> print_report(const Session& session, const zsync::Fd& file) {
    return each_chunk(file, [&session](std::string_view text) { session.print(text); });
}

Answer<Json> read_report(const zsync::Fd& file) {
    std::string text;
    ZTRY(each_chunk(file, [&text](std::string_view chunk) { text += chunk; }));
    Json document = Json::parse(text, nullptr, false);
    if (document.is_discarded()) {
        return refuse("zsyncd's report is no JSON: it is of another version");
    }
    return document;
}

} // namespace zsyncctl
