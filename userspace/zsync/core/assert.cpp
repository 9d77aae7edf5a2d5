#include <zsync/core/assert.hpp>

#include <cstdio>
#include <cstdlib>

namespace zsync {

void assertion_failed(
    const char* condition, const char* file, unsigned line, const char* explanation
) noexcept {
    (void)std::fprintf(
        stderr, "%s:%u: invariant violated: %s (%s)\n", file, line, explanation, condition
    );
    std::abort();
}

} // namespace zsync
