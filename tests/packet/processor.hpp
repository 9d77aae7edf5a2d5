// One processor for a thread: what two of them do at once, and rates that a third cannot disturb.
#pragma once

#include <system_error>

#include <cerrno>
#include <sched.h>

namespace zsync::packet::test {

/// The calling thread, and those that it starts from here on, run on this processor only.
inline void stay_on(unsigned cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (::sched_setaffinity(0, sizeof set, &set) != 0) {
        throw std::system_error(errno, std::generic_category(), "sched_setaffinity");
    }
}

} // namespace zsync::packet::test
