/* 64-byte echo on liburing alone, as fast as it goes: multishot accept and recv, one shared buffer
 * ring, replies sent from the very buffer that was received into, one io_uring_enter a turn. The
 * measure that all others are divided by. */
#include "listen.h"

#include <liburing.h>

#include <stdint.h>
#include <string.h>

enum {
    ring_entries = 4096,
    completion_entries = 32768,
    buffer_count = 4096, /* a power of two */
    buffer_bytes = 2048,
    buffer_group = 0,
    connections_max = 32768,
    no_buffer = 0xffff,
};

enum operation { op_accept, op_receive, op_send };

/* Replies of one connection leave one after another: a send that had to wait must not be overtaken.
 */
struct connection {
    uint16_t first, last; /* received buffers, not yet sent back */
    uint8_t ended;        /* nothing more will be received */
};

static struct io_uring ring;
static struct io_uring_buf_ring* buffers;
static unsigned char* memory;
static uint32_t lengths[buffer_count];
static uint16_t next_buffer[buffer_count];
static struct connection connections[connections_max];
static int returned;

static inline uint64_t tag(enum operation operation, int fd) {
    return (uint64_t)operation << 32 | (uint32_t)fd;
}

static inline struct io_uring_sqe* request(void) {
    struct io_uring_sqe* sqe = io_uring_get_sqe(&ring);
    while (__builtin_expect(sqe == NULL, 0)) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    return sqe;
}

static void accept_all(int listener) {
    struct io_uring_sqe* sqe = request();
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, tag(op_accept, listener));
}

static void receive_all(int fd) {
    struct io_uring_sqe* sqe = request();
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = buffer_group;
    io_uring_sqe_set_data64(sqe, tag(op_receive, fd));
}

static inline void send_first(int fd) {
    const uint16_t buffer = connections[fd].first;
    struct io_uring_sqe* sqe = request();
    io_uring_prep_send(
        sqe, fd, memory + (size_t)buffer * buffer_bytes, lengths[buffer], MSG_WAITALL | MSG_NOSIGNAL
    );
    io_uring_sqe_set_data64(sqe, tag(op_send, fd));
}

static inline void give_back(uint16_t buffer) {
    io_uring_buf_ring_add(
        buffers,
        memory + (size_t)buffer * buffer_bytes,
        buffer_bytes,
        buffer,
        io_uring_buf_ring_mask(buffer_count),
        returned++
    );
}

static void close_now(int fd) {
    struct io_uring_sqe* sqe = request();
    io_uring_prep_close(sqe, fd);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

static void receive_ended(int fd) {
    connections[fd].ended = 1;
    if (connections[fd].first == no_buffer) {
        close_now(fd); /* else when the last reply has left */
    }
}

static void send_failed(int fd) {
    while (connections[fd].first != no_buffer) {
        const uint16_t buffer = connections[fd].first;
        connections[fd].first = next_buffer[buffer];
        give_back(buffer);
    }
    if (connections[fd].ended) {
        close_now(fd);
    } else {
        shutdown(fd, SHUT_RDWR); /* ends the recv, which closes */
    }
}

static inline void received(int fd, const struct io_uring_cqe* cqe) {
    if (__builtin_expect(cqe->res <= 0, 0)) {
        if (cqe->res == -ENOBUFS) {
            receive_all(fd);
        } else {
            receive_ended(fd);
        }
        return;
    }
    struct connection* connection = &connections[fd];
    const uint16_t buffer = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    lengths[buffer] = (uint32_t)cqe->res;
    next_buffer[buffer] = no_buffer;
    if (__builtin_expect(connection->first == no_buffer, 1)) {
        connection->first = connection->last = buffer;
        send_first(fd);
    } else {
        next_buffer[connection->last] = buffer;
        connection->last = buffer;
    }
    if (__builtin_expect((cqe->flags & IORING_CQE_F_MORE) == 0, 0)) {
        receive_all(fd);
    }
}

static inline void sent(int fd, const struct io_uring_cqe* cqe) {
    struct connection* connection = &connections[fd];
    const uint16_t buffer = connection->first;
    if (__builtin_expect(cqe->res != (int)lengths[buffer], 0)) {
        send_failed(fd);
        return;
    }
    connection->first = next_buffer[buffer];
    give_back(buffer);
    if (__builtin_expect(connection->first != no_buffer, 0)) {
        send_first(fd);
    } else if (__builtin_expect(connection->ended, 0)) {
        close_now(fd);
    }
}

static void accepted(const struct io_uring_cqe* cqe, int listener) {
    if (cqe->res >= 0) {
        die_if(cqe->res >= connections_max, "too many connections");
        connections[cqe->res] = (struct connection){.first = no_buffer};
        receive_all(cqe->res);
    }
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        accept_all(listener);
    }
}

static void set_up(void) {
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_NO_SQARRAY |
                 IORING_SETUP_CQSIZE,
        .cq_entries = completion_entries,
    };
    int failure = 0;
    die_if(io_uring_queue_init_params(ring_entries, &ring, &params) != 0, "io_uring_queue_init");
    io_uring_register_ring_fd(&ring);
    buffers = io_uring_setup_buf_ring(&ring, buffer_count, buffer_group, 0, &failure);
    die_if(buffers == NULL, "io_uring_setup_buf_ring");
    memory = malloc((size_t)buffer_count * buffer_bytes);
    die_if(memory == NULL, "malloc");
    for (int i = 0; i < buffer_count; ++i) {
        give_back((uint16_t)i);
    }
    io_uring_buf_ring_advance(buffers, returned);
}

int main(int count, char** words) {
    die_if(count != 2, "usage: echo_uring PORT");
    set_up();
    accept_all(listen_on(words[1], 0));
    say_ready();
    for (;;) {
        returned = 0;
        const int done = io_uring_submit_and_wait(&ring, 1);
        die_if(done < 0 && done != -EINTR && done != -EBUSY && done != -EAGAIN, "io_uring_enter");
        unsigned head;
        unsigned seen = 0;
        struct io_uring_cqe* cqe;
        io_uring_for_each_cqe(&ring, head, cqe) {
            const int fd = (int)(uint32_t)cqe->user_data;
            ++seen;
            switch (cqe->user_data >> 32) {
            case op_receive:
                received(fd, cqe);
                break;
            case op_send:
                sent(fd, cqe);
                break;
            default:
                accepted(cqe, fd);
                break;
            }
        }
        io_uring_cq_advance(&ring, seen);
        io_uring_buf_ring_advance(buffers, returned);
    }
}
