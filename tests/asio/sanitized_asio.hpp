// Asio with atomic operations where it has fences (std::atomic_thread_fence), which ThreadSanitizer
// does not follow: it would tell of races that there are none of. Included before everything else,
// in builds under TSan alone; of Asio's own code these are the only two places with a fence.
#pragma once

// Around the calls of handlers: what they share with other threads passes through the scheduler's
// mutex.
#define BOOST_ASIO_DISABLE_FENCED_BLOCK 1

#include <boost/asio/detail/config.hpp>

#ifndef BOOST_ASIO_HAS_THREADS
#error "Asio without threads has no fences, and no use for this file"
#endif
// In place of Asio's header of this name: the last reference to go has seen what the others did.
#define BOOST_ASIO_DETAIL_ATOMIC_COUNT_HPP

#include <atomic>

namespace boost::asio::detail {

using atomic_count = std::atomic<long>;

inline void increment(atomic_count& count, long by) { count += by; }
inline void decrement(atomic_count& count, long by) { count -= by; }
inline void ref_count_up(atomic_count& count) { count.fetch_add(1, std::memory_order_relaxed); }
inline bool ref_count_down(atomic_count& count) {
    return count.fetch_sub(1, std::memory_order_acq_rel) == 1;
}

} // namespace boost::asio::detail
