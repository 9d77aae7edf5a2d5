// What can be awaited of sockets beyond moving bytes.
#pragma once

#include <zsync/core/operation.hpp>
#include <zsync/core/operation_queue.hpp>

#include <sys/uio.h>

#include <memory>
#include <utility>

namespace zsync {

class Ring;

/// A datagram that arrived: its bytes, from whom, and whether it was longer than the buffer.
template <Buffer B> struct Datagram {
    Result<std::size_t> count;
    B buffer;
    SocketAddress from;
    bool truncated = false;
};

/// What sendmsg(2) and recvmsg(2) are told, kept where it stays.
template <Buffer B> struct MessageParts {
    msghdr header{};
    iovec bytes{};
    SocketAddress address;
    B buffer;

    explicit MessageParts(B lent) noexcept : buffer(std::move(lent)) {
        bytes = {
            .iov_base = const_cast<void*>(static_cast<const void*>(std::data(buffer))),
            .iov_len = std::size(buffer),
        };
        header.msg_iov = &bytes;
        header.msg_iovlen = 1;
        header.msg_name = &address.storage;
    }
};

/// Awaits to `Datagram<B>`.
template <Buffer B> class ReceiveFromWait final : public OperationWait {
public:
    ReceiveFromWait(const OperationRequest& request, B buffer)
        : OperationWait(request), parts_(std::make_unique<MessageParts<B>>(std::move(buffer))) {
        parts_->header.msg_namelen = sizeof parts_->address.storage;
        request_for_change().address = reinterpret_cast<std::uintptr_t>(&parts_->header);
        request_for_change().length = 1;
    }
    [[nodiscard]] Datagram<B> await_resume() noexcept {
        parts_->address.length = parts_->header.msg_namelen;
        Result<std::size_t> count = 0;
        if (result() >= 0) [[likely]] {
            count = static_cast<std::size_t>(result());
        } else {
            count = fail(failure());
        }
        return {
            .count = count,
            .buffer = std::move(parts_->buffer),
            .from = parts_->address,
            .truncated = (parts_->header.msg_flags & MSG_TRUNC) != 0,
        };
    }

private:
    std::unique_ptr<MessageParts<B>> parts_;
};

/// Awaits to `Transfer<B>`.
template <Buffer B> class SendToWait final : public OperationWait {
public:
    SendToWait(const OperationRequest& request, const SocketAddress& to, B buffer)
        : OperationWait(request), parts_(std::make_unique<MessageParts<B>>(std::move(buffer))) {
        parts_->address = to;
        parts_->header.msg_namelen = to.length;
        request_for_change().address = reinterpret_cast<std::uintptr_t>(&parts_->header);
        request_for_change().length = 1;
    }
    [[nodiscard]] Transfer<B> await_resume() noexcept {
        if (result() >= 0) [[likely]] {
            return {
                .count = static_cast<std::size_t>(result()),
                .buffer = std::move(parts_->buffer),
            };
        }
        return {.count = fail(failure()), .buffer = std::move(parts_->buffer)};
    }

private:
    std::unique_ptr<MessageParts<B>> parts_;
};

/// The part of a zero-copy send that does not depend on the buffer. The kernel completes it twice:
/// with the result, and when no packet refers to the buffer any more; it ends with the second.
class ZeroCopySendBase : public TimedSuspension, public CompletionHandler, public Awaitable {
public:
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    bool suspend(PromiseBase& promise) noexcept;
    void interrupt(CoreError reason) noexcept final;
    void complete(std::int32_t result, std::uint32_t flags) noexcept final;
    [[nodiscard]] std::string_view kind() const noexcept final { return "zero-copy send"; }

protected:
    ZeroCopySendBase(int fd, const void* data, std::size_t length, std::uint32_t flags) noexcept;
    ~ZeroCopySendBase() = default;
    [[nodiscard]] Result<std::size_t> count() const noexcept;
    [[nodiscard]] bool was_copied() const noexcept { return copied_; }
    void set_deadline(TimePoint deadline) noexcept {
        due = deadline;
        has_deadline_ = true;
    }
    /// The bytes are in memory that this ring has pinned.
    void use_pinned(const Ring* ring, std::uint16_t slot) noexcept {
        pinned_by_ = ring;
        request_.buffer = slot;
    }

private:
    OperationRequest request_;
    const Ring* pinned_by_ = nullptr;
    std::int32_t result_ = 0;
    bool copied_ = false;
    bool interrupted_ = false;
    bool has_deadline_ = false;
    CoreError ended_by_ = CoreError::os;
};

/// What became of a zero-copy send.
template <Buffer B> struct ZeroCopyTransfer {
    Result<std::size_t> count; ///< may be less than the whole buffer
    B buffer;
    bool copied = false; ///< the kernel copied all the same: the route does not take pages
};

/// Awaits to `ZeroCopyTransfer<B>`.
template <Buffer B> class ZeroCopySendWait final : public ZeroCopySendBase {
public:
    ZeroCopySendWait(int fd, B buffer, std::uint32_t flags) noexcept
        : ZeroCopySendBase(fd, std::data(buffer), std::size(buffer), flags),
          buffer_(std::move(buffer)) {
        if constexpr (requires { buffer_.slot(); }) {
            use_pinned(buffer_.ring(), buffer_.slot());
        }
    }
    [[nodiscard]] ZeroCopySendWait&& until(TimePoint deadline) && noexcept {
        set_deadline(deadline);
        return std::move(*this);
    }
    [[nodiscard]] ZeroCopyTransfer<B> await_resume() noexcept {
        return {.count = count(), .buffer = std::move(buffer_), .copied = was_copied()};
    }

private:
    B buffer_;
};

} // namespace zsync
