// FiberSwitch: from a worker's loop onto a fiber's stack, and back. For the runtime's own sources.
#pragma once

#include <zsync/core/fiber.hpp>
#include <zsync/core/limits.hpp>

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define ZSYNC_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ZSYNC_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define ZSYNC_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ZSYNC_TSAN 1
#endif
#endif
#ifdef ZSYNC_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef ZSYNC_TSAN
#include <sanitizer/tsan_interface.h>
#endif

#ifndef __x86_64__
#error "fibers know the x86-64 calling convention only"
#endif

namespace zsync {

/// Below each stack: as much as a frame may have that is not to pass over it.
constexpr std::size_t fiber_guard_bytes = 64UL * 1024;

/// Saves this stack's pointer and goes on where `target` was left. Only the frame pointer and the
/// address to go on at are pushed: the compiler saves what else it needs around it, which is less
/// than a function call would have to, and no return address is popped that the processor's return
/// predictor did not see pushed.
inline void switch_stack(void** save, void* target) noexcept {
    asm volatile("leaq -128(%%rsp), %%rsp\n\t" // the red zone
                 "pushq %%rbp\n\t"
                 "leaq 1f(%%rip), %%rax\n\t"
                 "pushq %%rax\n\t"
                 "movq %%rsp, (%%rdi)\n\t"
                 "movq %%rsi, %%rsp\n\t"
                 "popq %%rax\n\t"
                 "notrack jmpq *%%rax\n\t"
                 "1:\n\t"
                 "popq %%rbp\n\t"
                 "leaq 128(%%rsp), %%rsp\n\t"
                 : "+D"(save), "+S"(target)
                 :
                 : "rax",
                   "rbx",
                   "rcx",
                   "rdx",
                   "r8",
                   "r9",
                   "r10",
                   "r11",
                   "r12",
                   "r13",
                   "r14",
                   "r15",
                   "xmm0",
                   "xmm1",
                   "xmm2",
                   "xmm3",
                   "xmm4",
                   "xmm5",
                   "xmm6",
                   "xmm7",
                   "xmm8",
                   "xmm9",
                   "xmm10",
                   "xmm11",
                   "xmm12",
                   "xmm13",
                   "xmm14",
                   "xmm15",
                   "memory",
                   "cc");
}

/// Inlined into the loop and into the wait: a call that is made on one stack and returned from
/// after a switch is a return that the processor predicts wrong, some 15 cycles for each.
struct FiberSwitch {
    [[gnu::always_inline]] static void into(Fiber& fiber) noexcept {
#ifdef ZSYNC_ASAN
        __sanitizer_start_switch_fiber(
            &fiber.loop_fake_stack_, fiber.mapping_ + fiber_guard_bytes, fiber.stack_bytes_
        );
#endif
#ifdef ZSYNC_TSAN
        fiber.sanitizer_loop_ = __tsan_get_current_fiber();
        __tsan_switch_to_fiber(fiber.sanitizer_fiber_, 0);
#endif
        switch_stack(&fiber.loop_stack_pointer_, fiber.stack_pointer_);
#ifdef ZSYNC_ASAN
        __sanitizer_finish_switch_fiber(fiber.loop_fake_stack_, nullptr, nullptr);
#endif
    }

    [[gnu::always_inline]] static void arrived([[maybe_unused]] Fiber& fiber) noexcept {
#ifdef ZSYNC_ASAN
        __sanitizer_finish_switch_fiber(fiber.fake_stack_, &fiber.loop_bottom_, &fiber.loop_size_);
#endif
    }

    [[gnu::always_inline]] static void out_of(Fiber& fiber) noexcept {
#ifdef ZSYNC_ASAN
        __sanitizer_start_switch_fiber(&fiber.fake_stack_, fiber.loop_bottom_, fiber.loop_size_);
#endif
#ifdef ZSYNC_TSAN
        __tsan_switch_to_fiber(fiber.sanitizer_loop_, 0);
#endif
        switch_stack(&fiber.stack_pointer_, fiber.loop_stack_pointer_);
        arrived(fiber);
    }
};

inline void Fiber::leave() noexcept { FiberSwitch::out_of(*this); }

inline void FiberPool::enter(Fiber& fiber, PromiseBase& root) noexcept {
    if (fiber.root_ == nullptr) [[unlikely]] {
        begin(fiber, root);
    }
    FiberSwitch::into(fiber);
    if (fiber.ended_) [[unlikely]] {
        release(fiber);
    }
}

} // namespace zsync
