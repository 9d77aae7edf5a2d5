// Named limits of the runtime.
#pragma once

#include <cstddef>
#include <cstdint>

namespace zsync::limits {

/// What one operation moves; of a longer buffer it is the beginning. The kernel moves no more at a
/// time (MAX_RW_COUNT), and its results have a sign.
constexpr std::uint32_t bytes_per_operation_max = 0x7ffff000;
/// Frames larger than this go to the heap.
constexpr std::size_t pooled_frame_bytes_max = 4096;
/// Frames kept for reuse in each size class of a thread's pool.
constexpr std::uint32_t pooled_frames_max = 4096;
/// Frames that a thread gives back at once when it has more.
constexpr std::uint32_t frames_given_back = 256;
/// What a thread takes at once of frames of one size.
constexpr std::size_t frame_batch_bytes = 4096;
/// Memory for frames comes in regions, each twice as large as the one before it.
constexpr std::size_t frame_region_bytes_min = 256UL * 1024;
constexpr std::size_t frame_region_bytes_max = 1024UL * 1024 * 1024;
/// With the largest, 60 GiB.
constexpr std::size_t frame_regions_max = 72;
/// Pieces of 64 KiB without a frame that keep their memory whatever else there is; beyond that,
/// half of all.
constexpr std::uint32_t empty_slabs_kept = 64;
/// The stack of a fiber. Only pages that are touched take memory.
constexpr std::size_t fiber_stack_bytes = 64UL * 1024;
/// Stacks kept for reuse by each worker.
constexpr std::uint32_t pooled_fibers_max = 1024;
/// The stack of signal handlers, of a thread that runs fibers or is watched.
constexpr std::size_t signal_stack_bytes = 16UL * 1024;
/// How often a watched worker that is busy is looked at.
constexpr std::uint32_t stall_tick_us = 1000;
/// Stalls that one turn reports; more are not told.
constexpr std::size_t stalls_per_turn_max = 8;
/// Of the name of the task in a report of a stall.
constexpr std::size_t stall_name_bytes_max = 64;
/// Names of tasks whose deepest stacks a worker remembers; the others share one.
constexpr std::size_t stack_marks_max = 256;
/// Submission queue entries of a worker's ring; a full queue is submitted early, never an error.
constexpr std::uint32_t ring_entries = 256;
/// Entries that wait for the end of a turn once transfers of files are among them: with so many the
/// kernel gets them, and disks begin. The second, while what it got so did not end at once, as from
/// the page cache, where it only costs calls (bench/runtime/README.md).
constexpr unsigned early_file_transfers = 16;
constexpr unsigned early_disk_transfers = 4;
/// Completion queue entries; the kernel keeps what does not fit (IORING_FEAT_NODROP).
constexpr std::uint32_t ring_completion_entries = 1024;
/// Buffers of one receive pool: an index has 16 bits, and the kernel takes no more.
constexpr std::uint32_t pool_buffers_max = 32768;
/// Places where streams of one pool were made that the pool remembers, for the ledger.
constexpr std::size_t pool_stream_places_max = 16;
/// Chunks that a send stream queues before a sender has to wait.
constexpr std::uint32_t send_stream_chunks_max = 64;
/// How long a send stream that ended unflushed goes on sending: a peer that reads no more must not
/// hold buffers for ever.
constexpr std::uint32_t send_stream_linger_ms = 5000;
/// How long a send stream rests when its socket had no memory (ENOBUFS).
constexpr std::uint32_t send_stream_rest_ms = 10;
/// Pieces of memory pinned for one ring; one more is memory as any other.
constexpr std::uint16_t pinned_memories_max = 64;
/// Connections that an accept stream takes from its listener ahead of who asks for them.
constexpr std::size_t accept_stream_queue_max = 256;
/// How long an accept stream rests when no descriptor is left.
constexpr std::uint32_t accept_pause_ms = 20;
/// Turns that a simulation leaves an operation waiting although it could complete.
constexpr std::uint32_t simulated_delays_max = 8;
/// How long a simulation in which nothing can go on waits for what the kernel has under way: TCP
/// may hold a segment back for an acknowledgement 40 ms, and sends one again after 200.
constexpr std::uint32_t simulated_patience_ms = 500;
/// Submission queue entries of a simulated ring: so few that it is full at times. A power of two.
constexpr std::uint32_t simulated_submission_entries = 4;
/// Ready tasks that a simulation chooses from.
constexpr std::size_t simulated_choice_max = 64;
/// How long a worker whose tasks have all ended lets requests of abandoned streams go on before it
/// stops them: a peer that reads no more must not hold a process up.
constexpr std::uint32_t drain_ms = 500;
/// Tasks resumed in one turn of a worker before it looks at its ring again.
constexpr std::uint32_t resumes_per_turn_max = 256;
/// Threads that make blocking calls for one worker: they sleep in the kernel.
constexpr std::uint32_t offload_threads_max = 8;
/// Blocking calls waiting for a thread; one more fails with `limit_reached`.
constexpr std::uint32_t offload_queue_max = 1024;
/// Real-time tasks of one worker; a task's record has a byte for its place.
constexpr std::size_t real_time_tasks_max = 255;
/// Of a thread whose memory is locked: stack that is touched beforehand.
constexpr std::size_t prefault_stack_bytes = 128UL * 1024;
/// The same: frames made beforehand of each size up to `prefault_frame_bytes_max`.
constexpr std::uint32_t prefault_frames = 64;
constexpr std::size_t prefault_frame_bytes_max = 1024;
/// Threads of a compute pool; by default it has one a processor.
constexpr std::uint32_t compute_threads_max = 256;
/// Computing calls waiting for a thread; one more fails with `limit_reached`.
constexpr std::uint32_t compute_queue_max = 4096;
/// Forks that one computing thread has on offer; more are run where they are made.
constexpr std::size_t forks_max = 256;
/// Workers of one group, each a thread and a ring.
constexpr std::size_t group_workers_max = 64;
/// Threads that carry out operations which can only block, where there is no ring.
constexpr std::uint32_t operation_threads_max = 4;
/// Waits on futexes that one thread does where there is no ring; the kernel takes one more
/// (FUTEX_WAITV_MAX), which interrupts it.
constexpr std::uint32_t futexes_per_thread_max = 127;
/// How long an operation rests that would block while nothing can tell when it would not.
constexpr std::uint32_t attempt_again_ms = 2;
/// How long after a request was asked to end it is asked again.
constexpr std::uint32_t cancel_again_ms = 5;
/// Events taken from epoll at a time.
constexpr std::size_t epoll_events_per_wait = 128;
/// Threads that tasks run on, unless the executor is made with another number.
constexpr std::uint32_t task_threads_max = 64;
/// Places of a channel or broadcast.
constexpr std::size_t channel_capacity_max = std::size_t{1} << 20;
/// Executors of a process whose descriptors the ledger can tell apart at a time.
constexpr std::size_t ledger_executors_max = 255;
/// Descriptors of which the ledger remembers who opened them; larger numbers are only counted.
constexpr std::size_t ledger_descriptors_max = 1U << 20;
/// Places, each with a task's name and its executor, that the ledger remembers; what more there are
/// are only counted.
constexpr std::size_t ledger_makers_max = 65535;
/// Frames of which a worker that ends tells where they wait.
constexpr std::size_t ledger_frames_told_max = 32;
/// Await chain entries given for a task.
constexpr std::uint32_t await_chain_max = 32;

} // namespace zsync::limits
