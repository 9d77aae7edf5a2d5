// What a debugger needs to find tasks in a process or a core file that has no debug information.
#pragma once

#include <zsync/core/executor.hpp>

#include <cstdint>

namespace zsync {

/// One named number: an offset, or a constant.
struct DebugNumber {
    char name[24];
    std::int64_t value;
};

/// Reaches the parts that debuggers are shown.
struct DebugLayout {
    /// Every executor of the process is in a list that begins at `zsync_debug_executors`.
    static void add(Executor& executor) noexcept;
    static void remove(Executor& executor) noexcept;

    /// Ends with an empty name. Found by this name in a symbol table, as the list of executors is;
    /// in `.dynsym` where a program was stripped.
    static const DebugNumber numbers[] __asm__("zsync_debug_layout");
};

} // namespace zsync

extern "C" zsync::Executor* zsync_debug_executors;
