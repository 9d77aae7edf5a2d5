// Bulk data on its way to a client.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>

#include <string_view>

namespace zsync::zsyncd {

/// A memfd that holds `text` and that nobody can change any more, at its beginning.
Outcome<Fd> sealed_file(std::string_view text);

} // namespace zsync::zsyncd
