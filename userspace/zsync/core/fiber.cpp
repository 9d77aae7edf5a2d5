#include <zsync/core/assert.hpp>
#include <zsync/core/fiber.hpp>
#include <zsync/core/fiber_switch.hpp>
#include <zsync/core/limits.hpp>

#include <sys/mman.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>
#include <unistd.h>
#include <vector>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(low, high) 0
#define VALGRIND_STACK_DEREGISTER(id) ((void)(id))
#endif

namespace zsync {
namespace {

thread_local Fiber* beginning = nullptr;

// write(2) is all that a signal handler may print with.
void print(std::string_view text) noexcept {
    (void)!::write(STDERR_FILENO, text.data(), text.size());
}

struct sigaction& previous_handler() noexcept {
    static struct sigaction previous{};
    return previous;
}

} // namespace

struct FiberFault {
    static bool hits_guard(const Fiber& fiber, const void* address) noexcept {
        const auto* at = static_cast<const std::byte*>(address);
        return at >= fiber.mapping_ && at < fiber.mapping_ + fiber_guard_bytes;
    }

    static void on_fault(int signal, siginfo_t* info, void* context) noexcept {
        const TaskRecord* task = TaskRecord::current();
        const Fiber* fiber = task != nullptr && task->kind() == TaskKind::fiber
                                 ? static_cast<const Fiber*>(task->context())
                                 : nullptr;
        if (fiber != nullptr && hits_guard(*fiber, info->si_addr)) {
            print("zsync: the stack of fiber task \"");
            print(task->name());
            print("\" has overflowed; its frames are too large or its recursion too deep for ");
            std::array<char, 24> digits{};
            const int length =
                std::snprintf(digits.data(), digits.size(), "%zu", fiber->stack_bytes_);
            print({digits.data(), static_cast<std::size_t>(length)});
            print(" bytes\n");
        }
        const struct sigaction& previous = previous_handler();
        if ((previous.sa_flags & SA_SIGINFO) != 0) {
            previous.sa_sigaction(signal, info, context);
        } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
            previous.sa_handler(signal);
        } else {
            // The fault comes again on return, and then it ends the process.
            (void)::signal(signal, SIG_DFL);
        }
    }

    static void install_fault_handler() noexcept {
        [[maybe_unused]] static const bool installed = [] {
            struct sigaction action{};
            action.sa_sigaction = &on_fault;
            action.sa_flags = SA_SIGINFO | SA_ONSTACK;
            sigemptyset(&action.sa_mask);
            return ::sigaction(SIGSEGV, &action, &previous_handler()) == 0;
        }();
    }
};

void Fiber::run() noexcept {
    Fiber& self = *beginning;
    FiberSwitch::arrived(self);
    for (;;) {
        self.root_->frame().resume();
        self.ended_ = true;
        FiberSwitch::out_of(self);
    }
}

Fiber* FiberPool::map(std::size_t stack_bytes) noexcept {
    const std::size_t mapping_bytes = fiber_guard_bytes + stack_bytes;
    void* memory = ::mmap(
        nullptr,
        mapping_bytes,
        PROT_NONE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK,
        -1,
        0
    );
    if (memory == MAP_FAILED) {
        return nullptr;
    }
    auto* mapping = static_cast<std::byte*>(memory);
    // Where the process is kept in memory (mlockall) the stack alone is to count for that.
    (void)::munlock(mapping, fiber_guard_bytes);
    if (::mprotect(mapping + fiber_guard_bytes, stack_bytes, PROT_READ | PROT_WRITE) != 0) {
        ::munmap(mapping, mapping_bytes);
        return nullptr;
    }
    constexpr std::size_t fiber_bytes = (sizeof(Fiber) + 15) / 16 * 16;
    std::byte* top = mapping + mapping_bytes - fiber_bytes;
    auto* fiber = new (top) Fiber;
    fiber->mapping_ = mapping;
    fiber->stack_bytes_ = stack_bytes;
    auto* stack = reinterpret_cast<void**>(top);
    *--stack = nullptr; // where a caller's return address would be
    *--stack = reinterpret_cast<void*>(&Fiber::run);
    fiber->stack_pointer_ = static_cast<void*>(stack);
    fiber->valgrind_id_ =
        VALGRIND_STACK_REGISTER(mapping + fiber_guard_bytes, mapping + mapping_bytes);
#ifdef ZSYNC_TSAN
    fiber->sanitizer_fiber_ = __tsan_create_fiber(0);
#endif
    return fiber;
}

void FiberPool::unmap(Fiber& fiber) noexcept {
#ifdef ZSYNC_TSAN
    __tsan_destroy_fiber(fiber.sanitizer_fiber_);
#endif
    VALGRIND_STACK_DEREGISTER(fiber.valgrind_id_);
    ::munmap(fiber.mapping_, fiber_guard_bytes + fiber.stack_bytes_);
}

FiberPool::FiberPool() { FiberFault::install_fault_handler(); }

FiberPool::~FiberPool() {
    while (free_ != nullptr) {
        unmap(*std::exchange(free_, free_->next_free_));
    }
}

Fiber* FiberPool::acquire(std::size_t stack_bytes) noexcept {
    Fiber* fiber = stack_bytes == limits::fiber_stack_bytes ? free_ : nullptr;
    if (fiber != nullptr) {
        free_ = fiber->next_free_;
        --stats_.pooled;
    } else {
        fiber = map(stack_bytes);
        if (fiber == nullptr) {
            return nullptr;
        }
        ++stats_.mapped;
    }
    ++stats_.live;
    fiber->root_ = nullptr;
    return fiber;
}

void FiberPool::begin(Fiber& fiber, PromiseBase& root) noexcept {
    fiber.root_ = &root;
    fiber.ended_ = false;
    beginning = &fiber;
}

void FiberPool::release(Fiber& fiber) noexcept {
    --stats_.live;
    if (!ended_name_.empty()) {
        mark(fiber);
    }
    if (stats_.pooled == limits::pooled_fibers_max ||
        fiber.stack_bytes_ != limits::fiber_stack_bytes) {
        unmap(fiber);
        return;
    }
    ++stats_.pooled;
    fiber.next_free_ = free_;
    free_ = &fiber;
}

} // namespace zsync
