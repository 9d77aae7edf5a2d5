// SignalStack: where signal handlers run that must not run on a fiber's stack.
#pragma once

#include <cstddef>
#include <memory>

namespace zsync {

/// Gives the calling thread a stack for handlers with SA_ONSTACK (sigaltstack(2)), unless it has
/// one, and takes its own away again. Ends on the thread that made it.
class SignalStack {
public:
    SignalStack();
    SignalStack(const SignalStack&) = delete;
    SignalStack& operator=(const SignalStack&) = delete;
    ~SignalStack();

private:
    std::unique_ptr<std::byte[]> memory_; ///< null when the thread had one before
};

} // namespace zsync
