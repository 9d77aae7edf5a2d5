// What a machine may deny a process, for a whole run of the table.
#pragma once

namespace zsync::conformance {

/// ZSYNC_TEST_CONDITION is empty, or one of:
///
/// - `no_io_uring`: a seccomp filter refuses io_uring_setup(2) with EPERM, as the sysctl
///   kernel.io_uring_disabled does
/// - `no_locked_memory`: RLIMIT_MEMLOCK 0, without CAP_IPC_LOCK
/// - `few_descriptors`: RLIMIT_NOFILE 48
///
/// Holds for this process from here on. Ends it where the word is not known or it cannot be done.
void take_conditions_from_environment();

} // namespace zsync::conformance
