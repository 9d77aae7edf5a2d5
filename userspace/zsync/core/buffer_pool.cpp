#include <zsync/core/assert.hpp>
#include <zsync/core/buffer_pool.hpp>
#include <zsync/core/ledger.hpp>
#include <zsync/core/limits.hpp>
#include <zsync/core/operation_queue.hpp>
#include <zsync/core/runtime_lock.hpp>
#include <zsync/core/worker.hpp>

#include <linux/io_uring.h>
#include <sys/mman.h>

#include <bit>
#include <cerrno>
#include <cstdio>
#include <format>
#include <string>

namespace zsync {

Result<std::shared_ptr<BufferPool>> BufferPool::create(
    Io io, std::uint32_t buffers, std::uint32_t buffer_bytes, std::source_location made
) {
    if (!std::has_single_bit(buffers) || buffers > limits::pool_buffers_max || buffer_bytes == 0) {
        return fail(CoreError::invalid_argument);
    }
    std::shared_ptr<BufferPool> pool(new BufferPool);
    pool->buffer_bytes_ = buffer_bytes;
    pool->buffers_ = buffers;
    pool->filled_.resize(buffers);
    pool->holders_.resize(buffers);
    void* memory = ::mmap(
        nullptr,
        std::size_t{buffers} * buffer_bytes,
        PROT_READ | PROT_WRITE,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
        -1,
        0
    );
    if (memory == MAP_FAILED) {
        return fail(os_error(errno));
    }
    pool->memory_ = static_cast<std::byte*>(memory);
    Ledger::pool_made(*pool, io.executor(), made);
    // While the ledger traces each buffer is taken: the kernel would not say who takes which.
    if (io.kind() != TaskKind::thread && !Ledger::traces()) {
        static_assert(sizeof(ProvidedBuffer) == sizeof(io_uring_buf));
        pool->queue_ = &static_cast<Worker&>(io.executor()).queue();
        pool->provided_ =
            static_cast<ProvidedBuffer*>(pool->queue_->provide_buffers(buffers, pool->group_));
    }
    if (pool->provided_ == nullptr) { // streams ask for each chunk
        for (std::uint32_t index = buffers; index-- > 0;) {
            pool->free_.push_back(static_cast<std::uint16_t>(index));
        }
        return pool;
    }
    pool->usual_ = pool->provided_;
    pool->mask_ = buffers - 1;
    for (std::uint32_t index = 0; index < buffers; ++index) {
        pool->provided_[index].length = buffer_bytes;
        pool->provide(index);
    }
    return pool;
}

BufferPool::~BufferPool() {
    Ledger::pool_ended(*this);
    if (held() != 0) {
        for (const std::string& chunk : Ledger::chunks_of(*this)) {
            (void)std::fprintf(stderr, "zsync: a buffer pool ends before its %s\n", chunk.c_str());
        }
    }
    ZASSERT(held() == 0, "a buffer pool ends before one of its chunks");
    if (provided_ != nullptr) {
        queue_->withdraw_buffers(provided_, buffers_, group_);
    }
    if (memory_ != nullptr) {
        ::munmap(memory_, buffers_ * buffer_bytes_);
    }
}

void BufferPool::note_stream(std::string_view kind, const std::source_location& made) noexcept {
    const auto* place = std::bit_cast<const void*>(made);
    const RuntimeLock lock;
    for (const StreamPlace& known : std::span(streams_).first(stream_places_)) {
        if (known.made == place && known.kind == kind) {
            return;
        }
    }
    if (stream_places_ < streams_.size()) {
        streams_[stream_places_++] = {.kind = kind, .made = place};
    }
}

std::string BufferPool::streams_made(std::string_view kind) const {
    const RuntimeLock lock;
    std::string text;
    for (const StreamPlace& place : std::span(streams_).first(stream_places_)) {
        if (kind.empty() || place.kind == kind) {
            text += text.empty() ? "" : " or ";
            text += kind.empty() ? std::format("a {} made at ", place.kind) : "";
            text += place_of(std::bit_cast<std::source_location>(place.made));
        }
    }
    return text;
}

bool BufferPool::take(std::uint16_t& index) noexcept {
    if (free_.empty()) {
        return false;
    }
    index = free_.back();
    free_.pop_back();
    note_holder(index, nullptr);
    ++picked_;
    return true;
}

void BufferPool::give_back_otherwise(std::uint16_t index) noexcept {
    const RuntimeLock lock;
    if (Ledger::traces()) [[unlikely]] {
        Ledger::chunk_returned(buffer(index));
    }
    if (provided_ != nullptr) {
        provide(index);
    } else {
        --picked_;
        free_.push_back(index);
    }
    wake_starved();
}

void BufferPool::wait_for_buffer(BufferWaiter& stream) noexcept {
    ++ran_dry_;
    stream.next_starved_ = nullptr;
    (starved_last_ != nullptr ? starved_last_->next_starved_ : starved_first_) = &stream;
    starved_last_ = &stream;
    starved_changed();
}

void BufferPool::forget(BufferWaiter& stream) noexcept {
    BufferWaiter* previous = nullptr;
    for (BufferWaiter* at = starved_first_; at != nullptr; previous = at, at = at->next_starved_) {
        if (at == &stream) {
            (previous != nullptr ? previous->next_starved_ : starved_first_) = at->next_starved_;
            if (starved_last_ == at) {
                starved_last_ = previous;
            }
            starved_changed();
            return;
        }
    }
}

void BufferPool::wake_starved() noexcept {
    bool used = false;
    while (!used && starved_first_ != nullptr && !is_dry()) {
        BufferWaiter& stream = *starved_first_;
        starved_first_ = stream.next_starved_;
        if (starved_first_ == nullptr) {
            starved_last_ = nullptr;
            starved_changed();
        }
        used = stream.buffer_is_free();
    }
    if (used && provided_ != nullptr && starved_first_ != nullptr && !echo_.pool) {
        echo_.pool = shared_from_this();
        queue_->queue({.opcode = Opcode::nop}, echo_);
    }
}

void BufferPool::Echo::complete(std::int32_t /*result*/, std::uint32_t /*flags*/) noexcept {
    const std::shared_ptr<BufferPool> kept = std::move(pool);
    kept->wake_starved();
}

// The kernel picks in the order of the ring, so the last ones that were provided are still there.
void BufferPool::count_held(HeldChunks& by_task) const {
    std::vector<bool> is_free(buffers_);
    for (const std::uint16_t index : free_) {
        is_free[index] = true;
    }
    if (provided_ != nullptr) {
        const std::uint32_t tail = provided_[0].reserved;
        for (std::uint32_t back = 1; back <= buffers_ - held(); ++back) {
            is_free[provided_[(tail - back) & mask_].index] = true;
        }
    }
    for (std::uint32_t index = 0; index < buffers_; ++index) {
        const std::uint32_t holder = __atomic_load_n(&holders_[index], __ATOMIC_RELAXED);
        if (!is_free[index] && holder != 0) {
            ++by_task[holder];
        }
    }
}

} // namespace zsync
