// A report that the daemon passed as an open file.
#pragma once

#include <zsync/core/fd.hpp>

#include <string>
#include <zsyncctl/refusal.hpp>
#include <zsyncctl/session.hpp>

namespace zsyncctl {

/// Copies it to standard output as it is: it may be long.
Answer<void> print_report(const Session& session, const zsync::Fd& file);

/// The document in it.
Answer<Json> read_report(const zsync::Fd& file);

} // namespace zsyncctl
