// The directories of the daemon: made where systemd has not, and held by one daemon at a time.
#pragma once

#include <zsync/core/fd.hpp>
#include <zsync/core/result.hpp>
#include <zsync/store/store.hpp>

#include <string>

namespace zsync::zsyncd {

/// Opens the store, making its directory (mode 0700) where there is none.
Outcome<store::Store> open_state(const std::string& directory);

/// Takes `DIRECTORY/zsyncd.lock`, making the directory (mode 0755) where there is none. Held until
/// the descriptor is closed, by the kernel also when the daemon is killed. Fails with the pid of
/// the process that has it.
Outcome<Fd> lock_run_directory(const std::string& directory);

} // namespace zsync::zsyncd
