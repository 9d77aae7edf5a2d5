// A rule file on its way to the daemon, which reads it from a descriptor.
#pragma once

#include <zsync/core/fd.hpp>

#include <string>
#include <zsyncctl/refusal.hpp>

namespace zsyncctl {

struct RuleFile {
    zsync::Fd fd;
    std::string source_name; ///< as diagnostics show it
};

/// Opens `path`; `-` is standard input. What is not a regular file (a pipe, a terminal) is read to
/// its end into memory first, so that a writer that never ends holds up nobody but us.
Answer<RuleFile> open_rule_file(const std::string& path);

} // namespace zsyncctl
