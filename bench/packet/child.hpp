// Child: a process that a benchmark forks and that ends with it.
#pragma once

#include <sys/prctl.h>
#include <sys/wait.h>

#include <csignal>
#include <functional>
#include <unistd.h>

namespace zsync::bench {

/// Runs `run` in a child process, which gets SIGTERM when this object ends, and SIGKILL when the
/// benchmark does.
class Child {
public:
    explicit Child(const std::function<void()>& run) : pid_(::fork()) {
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            run();
            ::_exit(127);
        }
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() {
        ::kill(pid_, SIGCONT);
        ::kill(pid_, SIGTERM);
        ::waitpid(pid_, nullptr, 0);
    }

    [[nodiscard]] pid_t pid() const noexcept { return pid_; } ///< -1: it could not be forked

private:
    pid_t pid_;
};

} // namespace zsync::bench
