#include "tests/core/conformance/conditions.hpp"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <unistd.h>

namespace zsync::conformance {
namespace {

bool refuse_io_uring() {
    std::array filter{
        sock_filter(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))),
        sock_filter(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1)),
        sock_filter(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)),
        sock_filter(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)),
    };
    const sock_fprog program{.len = filter.size(), .filter = filter.data()};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

bool limit(__rlimit_resource resource, rlim_t most) {
    const rlimit limits{.rlim_cur = most, .rlim_max = most};
    return ::setrlimit(resource, &limits) == 0;
}

bool drop_capabilities() {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    std::array<__user_cap_data_struct, 2> none{};
    return ::syscall(SYS_capset, &header, none.data()) == 0;
}

bool take(std::string_view condition) {
    constexpr rlim_t few_descriptors = 48;
    if (condition == "no_io_uring") {
        return refuse_io_uring();
    }
    if (condition == "no_locked_memory") {
        return limit(RLIMIT_MEMLOCK, 0) && drop_capabilities();
    }
    return condition == "few_descriptors" && limit(RLIMIT_NOFILE, few_descriptors);
}

} // namespace

void take_conditions_from_environment() {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread
    const char* condition = std::getenv("ZSYNC_TEST_CONDITION");
    if (condition != nullptr && *condition != '\0' && !take(condition)) {
        std::fprintf(
            stderr, "ZSYNC_TEST_CONDITION=%s: not known, or not to be had here\n", condition
        );
        std::exit(2); // NOLINT(concurrency-mt-unsafe)
    }
}

} // namespace zsync::conformance
