/* Sends of 64 KiB on liburing alone: `send_uring zc|copy ADDRESS PORT COUNT` sends COUNT of them
 * over one connection, a few at a time, each from a buffer that is written anew first. Prints the
 * nanoseconds of CPU that each took in this process, and how many of them the kernel copied all the
 * same. */
#include "listen.h"

#include <liburing.h>
#include <sys/resource.h>

#include <stdint.h>
#include <string.h>

enum { slot_bytes = 64 * 1024, datagram_bytes = 65000, depth = 16 };

static struct io_uring ring;
static unsigned char* messages;
static unsigned message_bytes = slot_bytes;
static long sent, finished, copied;

static double cpu_ns(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return 1e9 * (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e3 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void send_one(int fd, unsigned slot, int zero_copy) {
    unsigned char* message = messages + (size_t)slot * slot_bytes;
    memset(message, (int)sent, 64); /* a header; the rest would be data that lies there already */
    struct io_uring_sqe* sqe = io_uring_get_sqe(&ring);
    if (zero_copy) {
        io_uring_prep_send_zc_fixed(
            sqe,
            fd,
            message,
            message_bytes,
            MSG_WAITALL | MSG_NOSIGNAL,
            IORING_SEND_ZC_REPORT_USAGE,
            0
        );
    } else {
        io_uring_prep_send(sqe, fd, message, message_bytes, MSG_WAITALL | MSG_NOSIGNAL);
    }
    io_uring_sqe_set_data64(sqe, slot);
    ++sent;
}

/* A slot is free once the kernel has no more need of its buffer. */
static void complete(int fd, const struct io_uring_cqe* cqe, int zero_copy, long count) {
    if ((cqe->flags & IORING_CQE_F_NOTIF) == 0) {
        die_if(cqe->res != (int)message_bytes, "send");
        if ((cqe->flags & IORING_CQE_F_MORE) != 0) {
            return;
        }
    } else if (((uint32_t)cqe->res & IORING_NOTIF_USAGE_ZC_COPIED) != 0) {
        ++copied;
    }
    ++finished;
    if (sent < count) {
        send_one(fd, (unsigned)cqe->user_data, zero_copy);
    }
}

static int connect_to(int type, const char* address, const char* port) {
    const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    struct sockaddr_in where = {
        .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))
    };
    die_if(inet_pton(AF_INET, address, &where.sin_addr) != 1, "address");
    die_if(connect(fd, (const struct sockaddr*)&where, sizeof(where)) != 0, "connect");
    return fd;
}

int main(int words_count, char** words) {
    die_if(words_count != 6, "usage: send_uring zc|copy tcp|udp ADDRESS PORT COUNT");
    const int zero_copy = strcmp(words[1], "zc") == 0;
    const int udp = strcmp(words[2], "udp") == 0;
    message_bytes = udp ? datagram_bytes : slot_bytes;
    const long count = atol(words[5]);
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_NO_SQARRAY,
    };
    die_if(io_uring_queue_init_params(64, &ring, &params) != 0, "io_uring_queue_init");
    messages = aligned_alloc(4096, (size_t)depth * slot_bytes);
    die_if(messages == NULL, "aligned_alloc");
    memset(messages, 1, (size_t)depth * slot_bytes);
    const struct iovec all = {.iov_base = messages, .iov_len = (size_t)depth * slot_bytes};
    die_if(io_uring_register_buffers(&ring, &all, 1) != 0, "io_uring_register_buffers");
    const int fd = connect_to(udp ? SOCK_DGRAM : SOCK_STREAM, words[3], words[4]);
    const double start = cpu_ns();
    for (unsigned slot = 0; slot < depth && sent < count; ++slot) {
        send_one(fd, slot, zero_copy);
    }
    while (finished < count) {
        unsigned head;
        unsigned seen = 0;
        struct io_uring_cqe* cqe;
        io_uring_submit_and_wait(&ring, 1);
        io_uring_for_each_cqe(&ring, head, cqe) {
            complete(fd, cqe, zero_copy, count);
            ++seen;
        }
        io_uring_cq_advance(&ring, seen);
    }
    printf("%.1f %ld\n", (cpu_ns() - start) / (double)count, copied);
    return 0;
}
