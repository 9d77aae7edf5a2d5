// Reading what a client passed as an open file.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/result.hpp>

#include <string>

namespace zsync::zsyncd {

/// A file, whose reads and writes end by themselves.
[[nodiscard]] bool is_regular(const Fd& file);

/// Everything up to the end of a file or pipe that a client opened. At most
/// `packet::limits::file_bytes_max`, within `passed_file_timeout`: a client that never finishes
/// holds nothing up but its own call. A file that is written to meanwhile is refused.
Task<Outcome<std::string>> read_text(Io io, Fd file);

} // namespace zsync::zsyncd
