/* zsync from C: operations on a worker's ring, with a callback each.
 *
 *     static void echoed(void* user, int64_t result) { ... }
 *     static void got(void* user, int64_t result) {
 *         struct client* client = user;
 *         if (result > 0) {
 *             zsync_send(client->worker, client->fd, client->buffer, result, 0, ZSYNC_NO_TIMEOUT,
 * echoed, client);
 *         }
 *     }
 *     static void start(zsync_worker* worker, void* user) {
 *         zsync_recv(worker, client->fd, client->buffer, sizeof client->buffer, 0,
 * ZSYNC_NO_TIMEOUT, got, client);
 *     }
 *     ...
 *     zsync_worker* worker;
 *     if (zsync_worker_create(&worker, NULL, 0) == 0) {
 *         zsync_run(worker, start, client);
 *         zsync_worker_destroy(worker);
 *     }
 *
 * Results are what the system call of the same name gives, or a negated errno: -ECANCELED for an
 * operation that was stopped, -ETIMEDOUT for one whose time was over. Bytes that were moved are
 * always reported: an operation that is stopped too late succeeds.
 *
 * Buffers and addresses: `connect` copies its address; a buffer belongs to the operation from the
 * call until its callback. Descriptors stay the caller's; one that `accept` gives is the caller's.
 *
 * Threads: everything of a worker is for the thread that runs it, in `start`, callbacks and fibers.
 * Callbacks are never called before the function that starts the operation has returned, and must
 * not block: a blocking call belongs into `zsync_offload`.
 */
#ifndef ZSYNC_C_ZSYNC_H
#define ZSYNC_C_ZSYNC_H

#include <sys/socket.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One thread's runtime. */
typedef struct zsync_worker zsync_worker;
/** An operation that was started: valid until its callback has returned, or `zsync_wait`. */
typedef struct zsync_operation zsync_operation;

/** Takes an operation's result. */
typedef void (*zsync_callback)(void* user, int64_t result);
/** Starts operations. */
typedef void (*zsync_start)(zsync_worker* worker, void* user);

/** For `timeout_ns`: as long as it takes. */
#define ZSYNC_NO_TIMEOUT ((uint64_t)0)
/** For `offset`: the file's own position. */
#define ZSYNC_CURRENT_POSITION (~(uint64_t)0)

/** \name Workers
 * \{ */
/** Makes a worker. 0, or a negated errno with the reason as text in `words` (which may be NULL). */
int zsync_worker_create(zsync_worker** worker, char* words, size_t words_size);
/** Frees a worker that does not run. */
void zsync_worker_destroy(zsync_worker* worker);
/** Calls `start` on this thread, and returns when every operation and fiber has ended: 0, or
 * -EBUSY in a worker that runs already. May be called again. */
int zsync_run(zsync_worker* worker, zsync_start start, void* user);
/** Asks everything to stop, what is started from here on until `zsync_run` returns as well. */
void zsync_stop(zsync_worker* worker);
/** \} */

/** \name Operations
 * All return at once; the result goes to `callback`, which may be NULL if somebody waits for it.
 * \{ */
/** pread(2), read(2). */
zsync_operation* zsync_read(
    zsync_worker* worker,
    int fd,
    void* buffer,
    size_t size,
    uint64_t offset,
    uint64_t timeout_ns,
    zsync_callback callback,
    void* user
);
/** pwrite(2), write(2): may write less. */
zsync_operation* zsync_write(
    zsync_worker* worker,
    int fd,
    const void* data,
    size_t size,
    uint64_t offset,
    uint64_t timeout_ns,
    zsync_callback callback,
    void* user
);
/** recv(2). */
zsync_operation* zsync_recv(
    zsync_worker* worker,
    int fd,
    void* buffer,
    size_t size,
    int flags,
    uint64_t timeout_ns,
    zsync_callback callback,
    void* user
);
/** send(2), always with MSG_NOSIGNAL: may send less without MSG_WAITALL. */
zsync_operation* zsync_send(
    zsync_worker* worker,
    int fd,
    const void* data,
    size_t size,
    int flags,
    uint64_t timeout_ns,
    zsync_callback callback,
    void* user
);
/** accept4(2) with SOCK_CLOEXEC: the result is a descriptor. */
zsync_operation* zsync_accept(
    zsync_worker* worker, int fd, uint64_t timeout_ns, zsync_callback callback, void* user
);
/** connect(2). -EINVAL for an address longer than a sockaddr_storage. */
zsync_operation* zsync_connect(
    zsync_worker* worker,
    int fd,
    const struct sockaddr* address,
    socklen_t address_size,
    uint64_t timeout_ns,
    zsync_callback callback,
    void* user
);
/** Waits until one of the poll(2) events; the result is those that are there. */
zsync_operation* zsync_poll(
    zsync_worker* worker,
    int fd,
    uint32_t events,
    uint64_t timeout_ns,
    zsync_callback callback,
    void* user
);
/** 0 when so much time has passed. `UINT64_MAX`: never, it lasts until it is cancelled. */
zsync_operation*
zsync_sleep(zsync_worker* worker, uint64_t duration_ns, zsync_callback callback, void* user);
/** Calls `call(argument)`, which may block, on another thread; its result is the operation's. Once
 * it has begun no cancel stops it. */
zsync_operation* zsync_offload(
    zsync_worker* worker,
    int64_t (*call)(void* argument),
    void* argument,
    zsync_callback callback,
    void* user
);
/** Asks an operation to stop; its callback tells what came of that. */
void zsync_cancel(zsync_operation* operation);
/** \} */

/** \name Fibers
 * \{ */
/** Calls `body` in a fiber: a stack of 64 KiB on which it may wait. */
void zsync_spawn(zsync_worker* worker, zsync_start body, void* user);
/** In a fiber: waits for an operation that was started without a callback, and frees it.
 *
 *     int64_t count = zsync_wait(zsync_read(worker, fd, buffer, size, 0, ZSYNC_NO_TIMEOUT, NULL,
 * NULL));
 */
int64_t zsync_wait(zsync_operation* operation);
/** \} */

#ifdef __cplusplus
}
#endif

#endif
