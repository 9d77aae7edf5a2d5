// StandingRequest: a request to the kernel that goes on without a task that waits for it.
#pragma once

#include <zsync/core/frame_pool.hpp>
#include <zsync/core/operation_queue.hpp>

#include <cstddef>
#include <source_location>
#include <string>

namespace zsync {

class Worker;

/// Base of a stream's handler, known to its worker as long as it lives: one that nobody ended is
/// found then. From the frame pool, as there is one for each connection.
class StandingRequest : public CompletionHandler {
public:
    StandingRequest(const StandingRequest&) = delete;
    StandingRequest& operator=(const StandingRequest&) = delete;

    /// Whether the queue has a request of its that nobody has asked to end.
    [[nodiscard]] virtual bool is_standing() const noexcept = 0;
    /// For people: what it is.
    [[nodiscard]] virtual std::string describe() const = 0;
    /// Asks for its end.
    virtual void stop() noexcept = 0;

    [[nodiscard]] StandingRequest* next() const noexcept { return next_; }

    static void* operator new(std::size_t size) {
        return allocate_frame(size, FrameUse::operation);
    }
    static void operator delete(void* memory, std::size_t size) noexcept {
        free_frame(memory, size);
    }

protected:
    /// `worker` is null where there is none. `made` is where a person would look for it.
    StandingRequest(Worker* worker, const std::source_location& made) noexcept;
    ~StandingRequest();

private:
    StandingRequest* next_ = nullptr;
    StandingRequest** link_ = nullptr;
};

} // namespace zsync
