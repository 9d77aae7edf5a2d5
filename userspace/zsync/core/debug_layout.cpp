// A packaged program is stripped, and locals of an optimised coroutine have no place to look for.
// So the offsets that zsync-gdb.py needs are data of the program itself.
#include <zsync/core/debug_layout.hpp>
#include <zsync/core/fiber.hpp>
#include <zsync/core/operation.hpp>

#include <cstddef>
#include <mutex>
#include <utility>

// Offsets in classes with bases and virtual functions are what g++ and clang agree on (Itanium
// ABI).
#pragma GCC diagnostic ignored "-Winvalid-offsetof"

#ifdef ZSYNC_GDB_SCRIPT
asm(".pushsection \".debug_gdb_scripts\", \"aMS\",@progbits,1\n"
    ".byte 1\n" // SECTION_SCRIPT_ID_PYTHON_FILE
    ".asciz \"" ZSYNC_GDB_SCRIPT "\"\n"
    ".popsection\n");
#endif

namespace zsync {
namespace {

std::mutex& executors_mutex() noexcept {
    static std::mutex mutex;
    return mutex;
}

/// What `std::source_location` points to in libstdc++.
struct Place {
    const char* file;
    const char* function;
    unsigned line;
    unsigned column;
};
static_assert(sizeof(std::source_location) == sizeof(const Place*));

} // namespace

// NOLINTBEGIN(modernize-use-designated-initializers): a table
constinit const DebugNumber DebugLayout::numbers[] = {
    {"version", 1},
    {"executor.next", offsetof(Executor, next_executor_)},
    {"executor.root", offsetof(Executor, root_)},
    {"task.id", offsetof(TaskRecord, id_)},
    {"task.parent", offsetof(TaskRecord, parent_)},
    {"task.children", offsetof(TaskRecord, children_)},
    {"task.sibling", offsetof(TaskRecord, sibling_next_)},
    {"task.name", offsetof(TaskRecord, name_) + offsetof(TaskLabel, text_)},
    {"task.name_length", offsetof(TaskRecord, name_) + offsetof(TaskLabel, length_)},
    {"task.kind", offsetof(TaskRecord, kind_)},
    {"task.state", offsetof(TaskRecord, state_)},
    {"task.ending", offsetof(TaskRecord, ending_)},
    {"task.cancel_pending", offsetof(TaskRecord, cancel_pending_)},
    {"task.leaf", offsetof(TaskRecord, leaf_)},
    {"task.suspension", offsetof(TaskRecord, suspension_)},
    {"task.context", offsetof(TaskRecord, context_)},
    {"task.resumes", offsetof(TaskRecord, resumes_)},
    {"kind.coroutine", std::to_underlying(TaskKind::coroutine)},
    {"kind.fiber", std::to_underlying(TaskKind::fiber)},
    {"kind.thread", std::to_underlying(TaskKind::thread)},
    {"state.ready", std::to_underlying(TaskState::ready)},
    {"state.running", std::to_underlying(TaskState::running)},
    {"state.finished", std::to_underlying(TaskState::finished)},
    {"frame.promise", 2 * sizeof(void*)}, // behind what resumes and what destroys it
    {"promise.caller", offsetof(PromiseBase, caller)},
    {"promise.where", offsetof(PromiseBase, where)},
    {"place.file", offsetof(Place, file)},
    {"place.function", offsetof(Place, function)},
    {"place.line", offsetof(Place, line)},
    {"operation.opcode", offsetof(OperationWait, request_) + offsetof(OperationRequest, opcode)},
    {"operation.fd", offsetof(OperationWait, request_) + offsetof(OperationRequest, fd)},
    {"fiber.stack_pointer", offsetof(Fiber, stack_pointer_)},
    // Where `stack_pointer_` of a fiber that waits points to, and the registers at that place.
    {"switch.saved_pc", 0},
    {"switch.saved_rbp", 8},
    {"switch.rsp", 16 + 128},
    {"", 0},
};
// NOLINTEND(modernize-use-designated-initializers)

void DebugLayout::add(Executor& executor) noexcept {
    const std::lock_guard guard(executors_mutex());
    executor.next_executor_ = std::exchange(zsync_debug_executors, &executor);
}

void DebugLayout::remove(Executor& executor) noexcept {
    const std::lock_guard guard(executors_mutex());
    Executor** at = &zsync_debug_executors;
    while (*at != &executor) {
        at = &(*at)->next_executor_;
    }
    *at = executor.next_executor_;
}

Executor::Executor() noexcept {
    DebugLayout::add(*this);
    Ledger::open(*this, account_);
}

Executor::~Executor() {
    Ledger::close(account_);
    DebugLayout::remove(*this);
}

} // namespace zsync

zsync::Executor* zsync_debug_executors = nullptr;
