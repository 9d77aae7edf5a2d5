#include <zsync/c/zsync.h>
#include <zsync/core/assert.hpp>
#include <zsync/core/event.hpp>
#include <zsync/core/io.hpp>
#include <zsync/core/scope.hpp>
#include <zsync/core/worker.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <unordered_set>
#include <utility>

using namespace zsync;

struct zsync_operation {
    zsync_worker* worker;
    zsync_callback callback;
    void* user;
    TaskRef task{};
    Event ended{}; ///< for who waits; set when there is no callback
    int64_t result = 0;
};

struct zsync_worker {
    std::unique_ptr<Worker> runtime;
    Group* operations = nullptr; ///< null while it does not run
    Group* fibers = nullptr;
    bool stopping = false;
    /// Ended without a callback, and nobody has waited for them so far.
    std::unordered_set<zsync_operation*> kept{};

    [[nodiscard]] Io io() const noexcept { return runtime->io(); }
};

namespace {

int64_t number_of(const Error& error) noexcept {
    if (&error.domain() != &core_errors) {
        return -EIO;
    }
    switch (static_cast<CoreError>(error.code())) {
    case CoreError::os:
        return -error.os_error();
    case CoreError::canceled:
        return -ECANCELED;
    case CoreError::timed_out:
        return -ETIMEDOUT;
    case CoreError::limit_reached:
    case CoreError::concurrency_unavailable:
        return -EAGAIN;
    case CoreError::unsupported:
        return error.os_error() != 0 ? -error.os_error() : -EOPNOTSUPP;
    case CoreError::invalid_argument:
        return -EINVAL;
    case CoreError::closed:
        return -EPIPE;
    case CoreError::deadlock:
        return -EDEADLK;
    }
    return -EIO;
}

int64_t number_of(Result<void> result) noexcept { return result ? 0 : number_of(result.error()); }
int64_t number_of(Result<Fd> fd) noexcept { return fd ? fd->release() : number_of(fd.error()); }
int64_t number_of(Result<std::uint32_t> number) noexcept {
    return number ? static_cast<int64_t>(*number) : number_of(number.error());
}
int64_t number_of(Result<int64_t> number) noexcept {
    return number ? *number : number_of(number.error());
}
template <class B> int64_t number_of(Transfer<B> moved) noexcept {
    return moved.count ? static_cast<int64_t>(*moved.count) : number_of(moved.count.error());
}

void end(zsync_operation* operation, int64_t result) {
    if (operation->callback != nullptr) {
        operation->callback(operation->user, result);
        delete operation;
        return;
    }
    operation->result = result;
    operation->worker->kept.insert(operation);
    operation->ended.set();
}

/// `make(io)` gives the operation to await.
template <class Make>
Task<void> operate(zsync_operation* operation, std::optional<TimePoint> deadline, Make make) {
    const Io io = operation->worker->io();
    int64_t result = 0;
    if constexpr (requires { make(io).until(TimePoint()); }) {
        if (deadline) {
            result = number_of(co_await make(io).until(*deadline));
        } else {
            result = number_of(co_await make(io));
        }
    } else {
        result = number_of(co_await make(io));
    }
    end(operation, result);
}

TimePoint time_after(zsync_worker* worker, uint64_t duration_ns) {
    constexpr auto longest = static_cast<uint64_t>(Duration::max().count());
    return later(
        worker->io().now(), Duration(static_cast<int64_t>(std::min(duration_ns, longest)))
    );
}

template <class Make>
zsync_operation* begin_operation(
    zsync_worker* worker,
    TaskName name,
    uint64_t timeout_ns,
    zsync_callback callback,
    void* user,
    Make make
) {
    ZASSERT(worker->operations != nullptr, "operations are started while zsync_run runs");
    std::optional<TimePoint> deadline;
    if (timeout_ns != ZSYNC_NO_TIMEOUT) {
        deadline = time_after(worker, timeout_ns);
    }
    auto* operation = new zsync_operation{.worker = worker, .callback = callback, .user = user};
    operation->task =
        worker->operations->spawn(std::move(name), operate(operation, deadline, std::move(make)));
    if (worker->stopping) {
        operation->task.request_cancel();
    }
    return operation;
}

Task<void> run_all(zsync_worker* worker, zsync_start start, void* user) {
    Group operations(worker->io(), "c operations");
    Group fibers(worker->runtime->fiber_io(), "c fibers");
    worker->operations = &operations;
    worker->fibers = &fibers;
    start(worker, user);
    // What ends may have started more.
    while (operations.size() != 0 || fibers.size() != 0) {
        (void)co_await operations.join();
        (void)co_await fibers.join();
    }
    worker->operations = nullptr;
    worker->fibers = nullptr;
    worker->stopping = false;
    for (zsync_operation* unwanted : std::exchange(worker->kept, {})) {
        delete unwanted;
    }
}

} // namespace

int zsync_worker_create(zsync_worker** worker, char* words, size_t words_size) {
    auto made = Worker::create();
    if (!made) {
        if (words_size != 0) {
            const std::string text = made.error().message();
            const std::size_t length = std::min(text.size(), words_size - 1);
            std::memcpy(words, text.data(), length);
            words[length] = '\0';
        }
        return static_cast<int>(number_of(made.error().error));
    }
    *worker = new zsync_worker{.runtime = *std::move(made)};
    return 0;
}

void zsync_worker_destroy(zsync_worker* worker) {
    ZASSERT(
        worker == nullptr || worker->operations == nullptr, "a worker is destroyed while it runs"
    );
    delete worker;
}

int zsync_run(zsync_worker* worker, zsync_start start, void* user) {
    if (worker->operations != nullptr) {
        return -EBUSY;
    }
    worker->runtime->run("c", run_all(worker, start, user));
    return 0;
}

void zsync_stop(zsync_worker* worker) {
    if (worker->operations != nullptr) {
        worker->stopping = true;
        worker->fibers->cancel();
        worker->operations->cancel();
    }
}

zsync_operation* zsync_read(
    zsync_worker* worker,
    int fd,
    void* buffer,
    size_t size,
    uint64_t offset,
    uint64_t timeout_ns,
    zsync_callback callback,
    void* user
) {
    const std::span bytes(static_cast<std::byte*>(buffer), size);
    return begin_operation(worker, "c read", timeout_ns, callback, user, [=](Io io) {
        return io.read(FdRef(fd), bytes, offset);
    });
}

zsync_operation* zsync_write(
    zsync_worker* worker,
    int fd,
    const void* data,
    size_t size,
    uint64_t offset,
    uint64_t timeout_ns,
    zsync_callback callback,
    void* user
) {
    const std::span bytes(static_cast<const std::byte*>(data), size);
    return begin_operation(worker, "c write", timeout_ns, callback, user, [=](Io io) {
        return io.write(FdRef(fd), bytes, offset);
    });
}

zsync_operation* zsync_recv(
    zsync_worker* worker,
    int fd,
    void* buffer,
    size_t size,
    int flags,
    uint64_t timeout_ns,
    zsync_callback callback,
    void* user
) {
    const std::span bytes(static_cast<std::byte*>(buffer), size);
    return begin_operation(worker, "c recv", timeout_ns, callback, user, [=](Io io) {
        return io.recv(FdRef(fd), bytes, static_cast<std::uint32_t>(flags));
    });
}

zsync_operation* zsync_send(
    zsync_worker* worker,
    int fd,
    const void* data,
    size_t size,
    int flags,
    uint64_t timeout_ns,
    zsync_callback callback,
    void* user
) {
    const std::span bytes(static_cast<const std::byte*>(data), size);
    return begin_operation(worker, "c send", timeout_ns, callback, user, [=](Io io) {
        return io.send(FdRef(fd), bytes, static_cast<std::uint32_t>(flags));
    });
}

zsync_operation* zsync_accept(
    zsync_worker* worker, int fd, uint64_t timeout_ns, zsync_callback callback, void* user
) {
    return begin_operation(worker, "c accept", timeout_ns, callback, user, [=](Io io) {
        return io.accept(FdRef(fd));
    });
}

zsync_operation* zsync_connect(
    zsync_worker* worker,
    int fd,
    const sockaddr* address,
    socklen_t address_size,
    uint64_t timeout_ns,
    zsync_callback callback,
    void* user
) {
    SocketAddress to;
    // What is too long is for the kernel to refuse: EINVAL.
    std::memcpy(&to.storage, address, std::min<std::size_t>(address_size, sizeof to.storage));
    to.length = address_size;
    return begin_operation(worker, "c connect", timeout_ns, callback, user, [=](Io io) {
        return io.connect(FdRef(fd), to);
    });
}

zsync_operation* zsync_poll(
    zsync_worker* worker,
    int fd,
    uint32_t events,
    uint64_t timeout_ns,
    zsync_callback callback,
    void* user
) {
    return begin_operation(worker, "c poll", timeout_ns, callback, user, [=](Io io) {
        return io.poll(FdRef(fd), events);
    });
}

zsync_operation*
zsync_sleep(zsync_worker* worker, uint64_t duration_ns, zsync_callback callback, void* user) {
    const TimePoint until = time_after(worker, duration_ns);
    return begin_operation(worker, "c sleep", ZSYNC_NO_TIMEOUT, callback, user, [=](Io io) {
        return io.sleep_until(until);
    });
}

zsync_operation* zsync_offload(
    zsync_worker* worker,
    int64_t (*call)(void* argument),
    void* argument,
    zsync_callback callback,
    void* user
) {
    return begin_operation(worker, "c offload", ZSYNC_NO_TIMEOUT, callback, user, [=](Io io) {
        return io.offload([=] { return call(argument); });
    });
}

void zsync_cancel(zsync_operation* operation) { operation->task.request_cancel(); }

void zsync_spawn(zsync_worker* worker, zsync_start body, void* user) {
    ZASSERT(worker->fibers != nullptr, "fibers are started while zsync_run runs");
    TaskRef fiber = worker->fibers->spawn("c fiber", body, worker, user);
    if (worker->stopping) {
        fiber.request_cancel();
    }
}

int64_t zsync_wait(zsync_operation* operation) {
    ZASSERT(operation->callback == nullptr, "an operation with a callback is not waited for");
    if (!operation->ended.wait().wait()) {
        // The fiber is to stop, and so is what it waits for.
        operation->task.request_cancel();
        const CancelProtection until_it_has_ended;
        ZASSERT(operation->ended.wait().wait(), "a wait that is protected is not cancelled");
    }
    const int64_t result = operation->result;
    operation->worker->kept.erase(operation);
    delete operation;
    return result;
}
