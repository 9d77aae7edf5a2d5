// ZASSERT: invariants, checked in every build.
#pragma once

namespace zsync {

/// Prints what was violated and where, and aborts.
[[noreturn]] void assertion_failed(
    const char* condition, const char* file, unsigned line, const char* explanation
) noexcept;

} // namespace zsync

/// States an invariant of this program; stays on in release. Never for input from outside.
#define ZASSERT(condition, explanation)                                                            \
    (static_cast<bool>(condition)                                                                  \
         ? static_cast<void>(0)                                                                    \
         : ::zsync::assertion_failed(#condition, __FILE__, __LINE__, explanation))
