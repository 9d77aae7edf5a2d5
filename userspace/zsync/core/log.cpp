#include <zsync/core/log.hpp>

#include <sys/stat.h>
#include <sys/uio.h>

// Otherwise sd_journal_sendv() says of each record that it was written here, beside where it was.
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <format>
#include <unistd.h>
#include <vector>

namespace zsync::log {
namespace {

struct LevelName {
    Level level;
    std::string_view name;
};
constexpr std::array level_names{
    LevelName{.level = Level::error, .name = "error"},
    LevelName{.level = Level::warning, .name = "warning"},
    LevelName{.level = Level::notice, .name = "notice"},
    LevelName{.level = Level::info, .name = "info"},
    LevelName{.level = Level::debug, .name = "debug"},
};

std::atomic<Level> level_max = Level::info;

/// True when stderr is the journal's own stream: JOURNAL_STREAM=device:inode, systemd.exec(5).
bool stderr_is_journal() noexcept {
    static const bool is_journal = [] {
        const char* stream = std::getenv("JOURNAL_STREAM"); // NOLINT(concurrency-mt-unsafe)
        if (stream == nullptr) {
            return false;
        }
        std::uint64_t device = 0;
        std::uint64_t inode = 0;
        const char* end = stream + std::strlen(stream);
        const auto [colon, error] = std::from_chars(stream, end, device);
        if (error != std::errc() || colon == end || *colon != ':' ||
            std::from_chars(colon + 1, end, inode).ec != std::errc()) {
            return false;
        }
        struct stat own{};
        return ::fstat(STDERR_FILENO, &own) == 0 && own.st_dev == device && own.st_ino == inode;
    }();
    return is_journal;
}

void write_journal(
    Level level,
    std::string_view message,
    std::initializer_list<Field> fields,
    const std::source_location& where
) {
    std::vector<std::string> entries;
    entries.reserve(fields.size() + 6);
    entries.push_back(std::format("MESSAGE={}", message));
    entries.push_back(std::format("PRIORITY={}", static_cast<int>(level)));
    entries.push_back(std::format("SYSLOG_IDENTIFIER={}", program_invocation_short_name));
    entries.push_back(std::format("CODE_FILE={}", where.file_name()));
    entries.push_back(std::format("CODE_LINE={}", where.line()));
    entries.push_back(std::format("CODE_FUNC={}", where.function_name()));
    for (const Field& field : fields) {
        entries.push_back(std::format("{}={}", field.name, field.value));
    }
    std::vector<iovec> vectors;
    vectors.reserve(entries.size());
    for (std::string& entry : entries) {
        vectors.push_back({.iov_base = entry.data(), .iov_len = entry.size()});
    }
    (void)sd_journal_sendv(vectors.data(), static_cast<int>(vectors.size()));
}

void append_escaped(std::string& line, std::string_view text) {
    for (const char c : text) {
        if (const auto byte = static_cast<unsigned char>(c); byte < 0x20 || byte == 0x7f) {
            line += std::format("\\x{:02x}", byte);
        } else {
            line += c;
        }
    }
}

void write_stderr(Level level, std::string_view message, std::initializer_list<Field> fields) {
    std::string line;
    for (const LevelName& entry : level_names) {
        if (entry.level == level) {
            line = std::format("{}: {}: ", program_invocation_short_name, entry.name);
        }
    }
    append_escaped(line, message);
    for (const Field& field : fields) {
        line += std::format(" {}=", field.name);
        append_escaped(line, field.value);
    }
    line += '\n';
    // One write a record, so that records of several threads stay whole.
    (void)!::write(STDERR_FILENO, line.data(), line.size());
}

} // namespace

void write(
    Level level,
    std::string_view message,
    std::initializer_list<Field> fields,
    std::source_location where
) {
    if (level > level_max.load(std::memory_order_relaxed)) {
        return;
    }
    if (stderr_is_journal()) {
        write_journal(level, message, fields, where);
    } else {
        write_stderr(level, message, fields);
    }
}

void set_level(Level level) noexcept { level_max.store(level, std::memory_order_relaxed); }

std::optional<Level> level_from(std::string_view name) noexcept {
    for (const LevelName& entry : level_names) {
        if (entry.name == name) {
            return entry.level;
        }
    }
    return std::nullopt;
}

} // namespace zsync::log
