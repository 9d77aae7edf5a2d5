/* The client of the echo benchmark: N connections to 127.0.0.1:PORT, one request of 64 bytes
 * outstanding on each, every one of them different and every reply compared with what was sent.
 *
 *     load PORT CONNECTIONS
 *
 * Says "ready" when all are connected. Then each line on standard input is a number of requests to
 * run, answered by one line: the seconds they took. Exits with 1 at the first reply that is wrong,
 * and at a connection that breaks. */
#include "peers/listen.h"

#include <liburing.h>

#include <stdint.h>
#include <string.h>
#include <time.h>

enum {
    message_words = 8,
    message_bytes = 64,
    buffer_count = 32768, /* a power of two, more than replies outstanding */
    buffer_group = 0,
    send_tag = 1 << 30,
};

struct connection {
    int fd;
    uint32_t received; /* bytes of the reply so far */
    uint64_t serial;   /* of the request */
    uint64_t request[message_words];
    unsigned char reply[message_bytes];
};

static struct io_uring ring;
static struct io_uring_buf_ring* buffers;
static unsigned char (*memory)[message_bytes];
static struct connection* connections;
static unsigned connection_count;
static uint64_t serials, to_send, to_receive;

static void die(const char* words) {
    fprintf(stderr, "load: %s\n", words);
    exit(1);
}

static struct io_uring_sqe* request(void) {
    struct io_uring_sqe* sqe = io_uring_get_sqe(&ring);
    while (sqe == NULL) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    return sqe;
}

/* splitmix64: no word of a request repeats. */
static uint64_t word_of(uint64_t serial, unsigned place) {
    uint64_t x = (serial * message_words + place) * 0x9e3779b97f4a7c15ULL;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
    return x ^ x >> 31;
}

static void receive_on(unsigned index) {
    struct io_uring_sqe* sqe = request();
    io_uring_prep_recv_multishot(sqe, connections[index].fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = buffer_group;
    io_uring_sqe_set_data64(sqe, index);
}

static void send_on(unsigned index) {
    struct connection* connection = &connections[index];
    connection->serial = serials++;
    connection->received = 0;
    for (unsigned i = 0; i < message_words; ++i) {
        connection->request[i] = word_of(connection->serial, i);
    }
    struct io_uring_sqe* sqe = request();
    io_uring_prep_send(
        sqe, connection->fd, connection->request, message_bytes, MSG_WAITALL | MSG_NOSIGNAL
    );
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, send_tag | index);
    --to_send;
}

static void reply_complete(unsigned index) {
    struct connection* connection = &connections[index];
    if (memcmp(connection->reply, connection->request, message_bytes) != 0) {
        die("a reply differs from its request");
    }
    --to_receive;
    if (to_send != 0) {
        send_on(index);
    }
}

static void received(unsigned index, const struct io_uring_cqe* cqe, int* returned) {
    struct connection* connection = &connections[index];
    if (cqe->res == -ENOBUFS) {
        receive_on(index);
        return;
    }
    if (cqe->res <= 0) {
        die("a connection broke");
    }
    const uint16_t buffer = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    if (connection->received + (uint32_t)cqe->res > message_bytes) {
        die("a reply is longer than its request");
    }
    memcpy(connection->reply + connection->received, memory[buffer], (size_t)cqe->res);
    connection->received += (uint32_t)cqe->res;
    io_uring_buf_ring_add(
        buffers,
        memory[buffer],
        message_bytes,
        buffer,
        io_uring_buf_ring_mask(buffer_count),
        (*returned)++
    );
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        receive_on(index);
    }
    if (connection->received == message_bytes) {
        reply_complete(index);
    }
}

static void turn(void) {
    unsigned head;
    unsigned seen = 0;
    int returned = 0;
    struct io_uring_cqe* cqe;
    const int done = io_uring_submit_and_wait(&ring, 1);
    die_if(done < 0 && done != -EINTR && done != -EBUSY && done != -EAGAIN, "io_uring_enter");
    io_uring_for_each_cqe(&ring, head, cqe) {
        ++seen;
        if ((cqe->user_data & send_tag) != 0) {
            die("a send failed");
        }
        received((unsigned)cqe->user_data, cqe, &returned);
    }
    io_uring_cq_advance(&ring, seen);
    io_uring_buf_ring_advance(buffers, returned);
}

static void set_up_ring(void) {
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_NO_SQARRAY |
                 IORING_SETUP_CQSIZE,
        .cq_entries = 32768,
    };
    int failure = 0;
    die_if(io_uring_queue_init_params(4096, &ring, &params) != 0, "io_uring_queue_init");
    io_uring_register_ring_fd(&ring);
    buffers = io_uring_setup_buf_ring(&ring, buffer_count, buffer_group, 0, &failure);
    memory = malloc((size_t)buffer_count * message_bytes);
    if (buffers == NULL || memory == NULL) {
        die("no memory for buffers");
    }
    for (int i = 0; i < buffer_count; ++i) {
        io_uring_buf_ring_add(
            buffers,
            memory[i],
            message_bytes,
            (unsigned short)i,
            io_uring_buf_ring_mask(buffer_count),
            i
        );
    }
    io_uring_buf_ring_advance(buffers, buffer_count);
}

static int connect_to(const char* port) {
    const int on = 1;
    /* A reset at the end: ten thousand connections must not stay behind in TIME_WAIT. */
    const struct linger no_linger = {.l_onoff = 1, .l_linger = 0};
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((unsigned short)atoi(port)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)
    };
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    die_if(fd < 0, "socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &no_linger, sizeof(no_linger));
    die_if(connect(fd, (const struct sockaddr*)&address, sizeof(address)) != 0, "connect");
    return fd;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static double run(uint64_t requests) {
    const double start = now();
    to_send = to_receive = requests;
    for (unsigned i = 0; i < connection_count && to_send != 0; ++i) {
        send_on(i);
    }
    while (to_receive != 0) {
        turn();
    }
    return now() - start;
}

int main(int count, char** words) {
    if (count != 3) {
        die("usage: load PORT CONNECTIONS");
    }
    connection_count = (unsigned)atoi(words[2]);
    connections = calloc(connection_count, sizeof(*connections));
    die_if(connections == NULL, "calloc");
    set_up_ring();
    for (unsigned i = 0; i < connection_count; ++i) {
        connections[i].fd = connect_to(words[1]);
        receive_on(i);
    }
    io_uring_submit(&ring);
    say_ready();
    char line[32];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        printf("%.9f\n", run(strtoull(line, NULL, 10)));
        fflush(stdout);
    }
    return 0;
}
