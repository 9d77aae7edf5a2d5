// 64-byte echo on Boost.Fiber: a fiber a connection, blocking style. Boost.Fiber brings no I/O of
// its own, so the scheduler's idle moment is an epoll_wait, edge-triggered, that readies the fibers
// whose sockets can go on.
#include "listen.h"

#include <sys/epoll.h>

#include <array>
#include <boost/fiber/algo/algorithm.hpp>
#include <boost/fiber/context.hpp>
#include <boost/fiber/fiber.hpp>
#include <boost/fiber/fixedsize_stack.hpp>
#include <boost/fiber/operations.hpp>
#include <boost/fiber/scheduler.hpp>
#include <cerrno>
#include <chrono>
#include <unistd.h>
#include <vector>

namespace fibers = boost::fibers;

namespace {

constexpr int events_max = 1024;
constexpr std::size_t stack_bytes = 16384;

/// Round robin; with nothing ready the thread waits in epoll.
class EpollScheduler final : public fibers::algo::algorithm {
public:
    explicit EpollScheduler(int epoll) noexcept : epoll_(epoll) {}

    void awakened(fibers::context* fiber) noexcept override { fiber->ready_link(ready_); }
    fibers::context* pick_next() noexcept override {
        if (ready_.empty()) {
            return nullptr;
        }
        fibers::context* fiber = &ready_.front();
        ready_.pop_front();
        return fiber;
    }
    [[nodiscard]] bool has_ready_fibers() const noexcept override { return !ready_.empty(); }
    void suspend_until(const std::chrono::steady_clock::time_point&) noexcept override {
        const int count = epoll_wait(epoll_, events_.data(), events_max, -1);
        for (int i = 0; i < count; ++i) {
            auto& waiting =
                *static_cast<fibers::context**>(events_[static_cast<std::size_t>(i)].data.ptr);
            if (fibers::context* fiber = std::exchange(waiting, nullptr)) {
                fibers::context::active()->schedule(fiber);
            }
        }
    }
    void notify() noexcept override {} // one thread: nobody wakes it from outside

private:
    int epoll_;
    fibers::scheduler::ready_queue_type ready_;
    std::array<epoll_event, events_max> events_{};
};

/// A descriptor and the fiber that waits for it.
class Socket {
public:
    Socket(int epoll, int fd) : fd_(fd) {
        epoll_event event{
            .events = EPOLLIN | EPOLLOUT | EPOLLET, .data = {.ptr = static_cast<void*>(&waiting_)}
        };
        die_if(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0, "epoll_ctl");
    }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    ~Socket() { close(fd_); }

    /// Repeats `call` until it does something else than to say that it would block.
    template <class Call> auto when_ready(Call call) {
        auto result = call(fd_);
        while (result < 0 && errno == EAGAIN) {
            waiting_ = fibers::context::active();
            waiting_->suspend();
            result = call(fd_);
        }
        return result;
    }

private:
    int fd_;
    fibers::context* waiting_ = nullptr;
};

void echo(int epoll, int fd) {
    Socket socket(epoll, fd);
    std::array<char, 4096> buffer{};
    while (true) {
        const ssize_t count =
            socket.when_ready([&](int s) { return recv(s, buffer.data(), buffer.size(), 0); });
        if (count <= 0) {
            return;
        }
        for (ssize_t sent = 0; sent < count;) {
            const ssize_t part = socket.when_ready([&](int s) {
                return send(
                    s, buffer.data() + sent, static_cast<std::size_t>(count - sent), MSG_NOSIGNAL
                );
            });
            if (part < 0) {
                return;
            }
            sent += part;
        }
    }
}

} // namespace

int main(int count, char** words) {
    die_if(count != 2, "usage: echo_fiber PORT");
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    die_if(epoll < 0, "epoll_create1");
    fibers::use_scheduling_algorithm<EpollScheduler>(epoll);
    Socket listener(epoll, listen_on(words[1], SOCK_NONBLOCK));
    say_ready();
    while (true) {
        const int fd = listener.when_ready([](int s) {
            return accept4(s, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        });
        die_if(fd < 0, "accept4");
        fibers::fiber(
            fibers::launch::post,
            std::allocator_arg,
            fibers::fixedsize_stack(stack_bytes),
            echo,
            epoll,
            fd
        )
            .detach();
    }
}
