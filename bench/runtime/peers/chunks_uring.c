/* Many chunks at once over one connection, in several ways, on liburing alone.
 *
 *   chunks_uring send COUNT BYTES SNDBUF ROUNDS   COUNT chunks of so many BYTES: a send each, one
 *                                                 vectored send, one bundle of buffers from a ring
 *   chunks_uring recv COUNT BYTES 0 ROUNDS        as many bytes into buffers of that size: a
 * multishot recv, and one in bundles
 *
 * Prints a line for each way: its name, the nanoseconds of CPU that a chunk took on this side (the
 * median of rounds that take turns) and the completions of a round. SNDBUF is the socket's send
 * buffer, 0 for the system's. What arrives is compared with what was sent. */
#include "listen.h"

#include <liburing.h>

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { chunks_max = 64, buffers = 256, rounds_max = 10000 };

/* A way to do it, and what it has of its own. */
struct way {
    const char* name;
    void (*round)(struct way* way);
    int near_end, far_end;
    unsigned short group;
    struct io_uring_buf_ring* provided;
    unsigned char* memory;
    int armed;
    long completions;
    double cpu_ns[rounds_max];
};

struct done {
    int res;
    unsigned flags;
};

static struct io_uring ring;
static unsigned chunks;
static unsigned chunk_bytes;
static long rounds;

static double cpu_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

static unsigned char* buffer(const struct way* way, unsigned index) {
    return way->memory + (size_t)index * chunk_bytes;
}

static void provide(const struct way* way, unsigned index, int place) {
    io_uring_buf_ring_add(
        way->provided, buffer(way, index), chunk_bytes, (unsigned short)index, buffers - 1, place
    );
}

/* The next completion; submits what there is and waits for one where none has come. */
static struct done finish(struct way* way) {
    struct io_uring_cqe* cqe;
    if (io_uring_cq_ready(&ring) == 0) {
        die_if(io_uring_submit_and_wait(&ring, 1) < 0, "io_uring_enter");
    }
    die_if(io_uring_peek_cqe(&ring, &cqe) != 0, "completion");
    const struct done copy = {.res = cqe->res, .flags = cqe->flags};
    io_uring_cqe_seen(&ring, cqe);
    ++way->completions;
    errno = copy.res < 0 ? -copy.res : 0;
    die_if(copy.res <= 0 && copy.res != -ENOBUFS, "request");
    return copy;
}

static void send_each(struct way* way) {
    for (unsigned n = 0; n < chunks; ++n) {
        struct io_uring_sqe* sqe = io_uring_get_sqe(&ring);
        io_uring_prep_send(sqe, way->near_end, buffer(way, n), chunk_bytes, MSG_WAITALL);
        die_if(finish(way).res != (int)chunk_bytes, "send");
    }
}

static void send_vectored(struct way* way) {
    static struct iovec parts[chunks_max];
    for (unsigned n = 0; n < chunks; ++n) {
        parts[n] = (struct iovec){.iov_base = buffer(way, n), .iov_len = chunk_bytes};
    }
    const struct msghdr message = {.msg_iov = parts, .msg_iovlen = chunks};
    io_uring_prep_sendmsg(io_uring_get_sqe(&ring), way->near_end, &message, MSG_WAITALL);
    die_if(finish(way).res != (int)(chunks * chunk_bytes), "sendmsg");
}

/* A bundle may end before the last buffer; what is left is asked for again. */
static void send_bundle(struct way* way) {
    for (unsigned n = 0; n < chunks; ++n) {
        provide(way, n, (int)n);
    }
    io_uring_buf_ring_advance(way->provided, chunks);
    for (unsigned sent = 0; sent < chunks * chunk_bytes;) {
        struct io_uring_sqe* sqe = io_uring_get_sqe(&ring);
        io_uring_prep_send_bundle(sqe, way->near_end, 0, MSG_WAITALL);
        sqe->flags |= IOSQE_BUFFER_SELECT;
        sqe->buf_group = way->group;
        const int res = finish(way).res;
        die_if(res % (int)chunk_bytes != 0, "a bundle ended within a chunk");
        sent += (unsigned)res;
    }
}

/* The bytes of a round are the number of their chunk. Looks at the ends, which costs little. */
static void compare(const unsigned char* bytes, size_t count, size_t from) {
    const size_t last = from + count - 1;
    die_if(bytes[0] != from / chunk_bytes, "not the byte that was sent");
    die_if(bytes[count - 1] != last / chunk_bytes, "not the byte that was sent");
}

static void receive(struct way* way, unsigned bundle) {
    unsigned received = 0;
    die_if(write(way->near_end, "", 1) != 1, "write"); /* asks for a round */
    while (received < chunks * chunk_bytes) {
        if (!way->armed) {
            struct io_uring_sqe* sqe = io_uring_get_sqe(&ring);
            io_uring_prep_recv_multishot(sqe, way->near_end, NULL, 0, 0);
            sqe->flags |= IOSQE_BUFFER_SELECT;
            sqe->buf_group = way->group;
            sqe->ioprio |= (unsigned short)bundle;
        }
        const struct done done = finish(way);
        way->armed = (done.flags & IORING_CQE_F_MORE) != 0;
        if (done.res == -ENOBUFS) {
            continue;
        }
        /* Buffers go back in the order in which they lie in the ring, so that stays theirs. */
        unsigned index = done.flags >> IORING_CQE_BUFFER_SHIFT;
        int given_back = 0;
        for (unsigned left = (unsigned)done.res; left > 0; index = (index + 1) % buffers) {
            const unsigned count = left < chunk_bytes ? left : chunk_bytes;
            compare(buffer(way, index), count, received);
            provide(way, index, given_back++);
            received += count;
            left -= count;
        }
        io_uring_buf_ring_advance(way->provided, given_back);
    }
}

static void receive_singly(struct way* way) { receive(way, 0); }
static void receive_bundles(struct way* way) { receive(way, IORING_RECVSEND_BUNDLE); }

/* The far side: takes a round and answers with a byte. */
static void* take(void* words) {
    const struct way* way = words;
    static _Thread_local unsigned char block[256 * 1024];
    const size_t round_bytes = (size_t)chunks * chunk_bytes;
    for (long left = rounds; left > 0; --left) {
        for (size_t taken = 0; taken < round_bytes;) {
            const size_t most = round_bytes - taken;
            const ssize_t got =
                read(way->far_end, block, most < sizeof(block) ? most : sizeof(block));
            die_if(got <= 0, "read");
            compare(block, (size_t)got, taken);
            taken += (size_t)got;
        }
        die_if(write(way->far_end, "", 1) != 1, "write");
    }
    return NULL;
}

/* The far side: gives a round when a byte asks for it. */
static void* give(void* words) {
    const struct way* way = words;
    const size_t round_bytes = (size_t)chunks * chunk_bytes;
    unsigned char* all = malloc(round_bytes);
    die_if(all == NULL, "malloc");
    for (unsigned n = 0; n < chunks; ++n) {
        memset(all + (size_t)n * chunk_bytes, (int)n, chunk_bytes);
    }
    for (long left = rounds; left > 0; --left) {
        char byte;
        die_if(read(way->far_end, &byte, 1) != 1, "read");
        for (size_t given = 0; given < round_bytes;) {
            const ssize_t wrote = write(way->far_end, all + given, round_bytes - given);
            die_if(wrote <= 0, "write");
            given += (size_t)wrote;
        }
    }
    free(all);
    return NULL;
}

static void prepare(struct way* way, int listener, int receives, int sndbuf, unsigned short group) {
    struct sockaddr_in where;
    socklen_t length = sizeof(where);
    die_if(getsockname(listener, (struct sockaddr*)&where, &length) != 0, "getsockname");
    way->near_end = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    die_if(
        sndbuf != 0 &&
            setsockopt(way->near_end, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf)) != 0,
        "SO_SNDBUF"
    );
    const int on = 1;
    die_if(
        setsockopt(way->near_end, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0, "TCP_NODELAY"
    );
    die_if(connect(way->near_end, (struct sockaddr*)&where, length) != 0, "connect");
    way->far_end = accept(listener, NULL, NULL);
    die_if(way->far_end < 0, "accept");
    way->group = group;
    way->memory = aligned_alloc(4096, (size_t)buffers * chunk_bytes);
    die_if(way->memory == NULL, "aligned_alloc");
    for (unsigned n = 0; n < buffers; ++n) {
        memset(buffer(way, n), (int)n, chunk_bytes);
    }
    int error = 0;
    way->provided = io_uring_setup_buf_ring(&ring, buffers, group, 0, &error);
    errno = -error;
    die_if(way->provided == NULL, "io_uring_setup_buf_ring");
    if (receives) {
        for (unsigned n = 0; n < buffers; ++n) {
            provide(way, n, (int)n);
        }
        io_uring_buf_ring_advance(way->provided, buffers);
    }
}

static int by_size(const void* a, const void* b) {
    const double left = *(const double*)a;
    const double right = *(const double*)b;
    return (left > right) - (left < right);
}

static void print(struct way* way) {
    qsort(way->cpu_ns, (size_t)rounds, sizeof(way->cpu_ns[0]), by_size);
    printf(
        "%s %.1f %.2f\n",
        way->name,
        way->cpu_ns[rounds / 2] / chunks,
        (double)way->completions / (double)rounds
    );
}

int main(int words_count, char** words) {
    static struct way sending[] = {
        {.name = "each", .round = send_each},
        {.name = "vectored", .round = send_vectored},
        {.name = "bundle", .round = send_bundle},
    };
    static struct way receiving[] = {
        {.name = "single", .round = receive_singly},
        {.name = "bundle", .round = receive_bundles},
    };
    die_if(words_count != 6, "usage: chunks_uring send|recv COUNT BYTES SNDBUF ROUNDS");
    const int receives = strcmp(words[1], "recv") == 0;
    chunks = (unsigned)atoi(words[2]);
    chunk_bytes = (unsigned)atoi(words[3]);
    rounds = atol(words[5]);
    die_if(chunks < 1 || chunks > chunks_max || chunk_bytes < 1, "COUNT and BYTES");
    die_if(rounds < 1 || rounds > rounds_max, "ROUNDS");
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_NO_SQARRAY,
    };
    die_if(io_uring_queue_init_params(64, &ring, &params) != 0, "io_uring_queue_init");
    const int listener = listen_on("0", 0);
    struct way* const ways = receives ? receiving : sending;
    const int count = receives ? 2 : 3;
    pthread_t far_sides[3];
    for (int n = 0; n < count; ++n) {
        prepare(&ways[n], listener, receives, atoi(words[4]), (unsigned short)n);
        die_if(
            pthread_create(&far_sides[n], NULL, receives ? give : take, &ways[n]) != 0, "thread"
        );
    }
    for (long round = 0; round < rounds; ++round) {
        for (int n = 0; n < count; ++n) {
            struct way* const way = &ways[n];
            const double start = cpu_ns();
            way->round(way);
            way->cpu_ns[round] = cpu_ns() - start;
            char byte;
            die_if(!receives && read(way->near_end, &byte, 1) != 1, "read");
        }
    }
    for (int n = 0; n < count; ++n) {
        pthread_join(far_sides[n], NULL);
        print(&ways[n]);
    }
    return 0;
}
