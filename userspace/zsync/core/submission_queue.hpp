// SubmissionQueue: the part of a ring that operations are written into.
#pragma once

#include <zsync/core/operation_queue.hpp>
#include <zsync/core/operation_request.hpp>
#include <zsync/core/probes.hpp>

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>

namespace zsync {

/// A ring's free entries, without liburing's header, so that what is queued most often is filled in
/// where it is asked for. There always is a free entry: a queue that has become full is handed over
/// at once.
class SubmissionQueue {
public:
    SubmissionQueue(const SubmissionQueue&) = delete;
    SubmissionQueue& operator=(const SubmissionQueue&) = delete;

    [[gnu::always_inline]] void
    queue_now(const OperationRequest& request, CompletionTarget target) noexcept {
        OperationRequest& entry = entries_[tail_ & mask_];
        entry = request;
        entry.target = target.data();
        ZSYNC_PROBE_OPERATION(entry);
        entry_filled();
    }
    /// send(2) of all bytes, field by field: g++ would make the request on the stack first and then
    /// copy it.
    [[gnu::always_inline]] void queue_send(
        int fd, const std::byte* data, std::uint32_t length, CompletionTarget target
    ) noexcept {
        OperationRequest& entry = entries_[tail_ & mask_];
        entry.opcode = Opcode::send;
        entry.sqe_flags = RequestFlags();
        entry.priority = 0;
        entry.fd = fd;
        entry.offset = 0;
        entry.address = reinterpret_cast<std::uintptr_t>(data);
        entry.length = length;
        entry.flags = MSG_NOSIGNAL | MSG_WAITALL;
        entry.target = target.data();
        entry.buffer = 0;
        entry.personality = 0;
        entry.extra = 0;
        entry.address3 = 0;
        entry.reserved = 0;
        ZSYNC_PROBE_OPERATION(entry);
        entry_filled();
    }

protected:
    SubmissionQueue() = default;
    ~SubmissionQueue() = default;

    /// The queue is handed over here when it is full, at the end: a call before the entry is filled
    /// would cost everybody the saving of registers.
    [[gnu::always_inline]] void entry_filled() noexcept {
        ++in_flight_;
        // The kernel takes entries in this thread's own calls only.
        if (++tail_ - *kernel_head_ == capacity_) [[unlikely]] {
            make_room();
        }
    }

    OperationRequest* entries_ = nullptr;
    const unsigned* kernel_head_ = nullptr;
    unsigned mask_ = 0;
    unsigned tail_ =
        0; ///< entries filled so far; the ring's own tail follows when it is handed over
    unsigned capacity_ = 0;
    std::uint64_t in_flight_ = 0;

private:
    virtual void make_room() noexcept = 0;
};

} // namespace zsync
