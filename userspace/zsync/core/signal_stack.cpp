#include <zsync/core/limits.hpp>
#include <zsync/core/signal_stack.hpp>

#include <csignal>

namespace zsync {

SignalStack::SignalStack() {
    stack_t before{};
    ::sigaltstack(nullptr, &before);
    if ((before.ss_flags & SS_DISABLE) != 0) {
        memory_ = std::make_unique<std::byte[]>(limits::signal_stack_bytes);
        stack_t stack{};
        stack.ss_sp = memory_.get();
        stack.ss_size = limits::signal_stack_bytes;
        ::sigaltstack(&stack, nullptr);
    }
}

SignalStack::~SignalStack() {
    if (memory_) {
        stack_t none{};
        none.ss_flags = SS_DISABLE;
        ::sigaltstack(&none, nullptr);
    }
}

} // namespace zsync
