// A file on its way to the daemon, which reads it from a descriptor.
#pragma once

#include <zsync/core/fd.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <zsyncctl/limits.hpp>
#include <zsyncctl/refusal.hpp>

namespace zsyncctl {

struct InputFile {
    zsync::Fd fd;
    std::string source_name; ///< as diagnostics show it
};

/// What a file is wanted for.
struct InputKind {
    std::string_view name;         ///< for refusals
    std::size_t spooled_bytes_max; ///< taken from standard input or a pipe
};

inline constexpr InputKind rule_input{
    .name = "rule file", .spooled_bytes_max = limits::spooled_bytes_max
};
inline constexpr InputKind capture_input{
    .name = "capture", .spooled_bytes_max = limits::spooled_capture_bytes_max
};

/// Opens `path`; `-` is standard input. What is not a regular file (a pipe, a terminal) is read to
/// its end into memory first, so that a writer that never ends holds up nobody but us.
Answer<InputFile> open_input_file(const std::string& path, const InputKind& kind);

} // namespace zsyncctl
