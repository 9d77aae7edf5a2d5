// Child: a process that a benchmark forks and that ends with it.
#pragma once

#include <sys/prctl.h>
#include <sys/wait.h>

#include <csignal>
#include <functional>
#include <optional>
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
        if (ended_) {
            return;
        }
        ::kill(pid_, SIGCONT);
        ::kill(pid_, SIGTERM);
        ::waitpid(pid_, nullptr, 0);
    }

    /// Its status (waitpid(2)) if it has ended.
    std::optional<int> ended() {
        int status = 0;
        if (!ended_ && pid_ > 0 && ::waitpid(pid_, &status, WNOHANG) == pid_) {
            ended_ = status;
        }
        return ended_;
    }
    [[nodiscard]] pid_t pid() const noexcept { return pid_; } ///< -1: it could not be forked

private:
    pid_t pid_;
    std::optional<int> ended_;
};

} // namespace zsync::bench
