/* zsync.h from C: each case runs a worker of its own and checks what its callbacks were given. */
#include <zsync/c/zsync.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

enum { millisecond_ns = 1000000, many = 300 };

static void run(zsync_start start, void* user) {
    zsync_worker* worker = NULL;
    char words[200];
    const int made = zsync_worker_create(&worker, words, sizeof words);
    if (made != 0) {
        fprintf(stderr, "no worker: %d, %s\n", made, words);
        exit(1);
    }
    CHECK(zsync_run(worker, start, user) == 0);
    CHECK(zsync_run(worker, start, user) == 0); /* a second time, the same */
    zsync_worker_destroy(worker);
}

static void keep(void* user, int64_t result) { *(int64_t*)user = result; }

/* Both ends of a connection, and how far it has come. */
struct echo {
    zsync_worker* worker;
    int ends[2];
    char there[16];
    char back[16];
    int done;
};

static void echo_end(void* user, int64_t result) {
    struct echo* echo = user;
    CHECK(result == 5 && memcmp(echo->back, "hello", 5) == 0);
    echo->done = 1;
    close(echo->ends[0]);
    close(echo->ends[1]);
}

static void echo_sent(void* user, int64_t result) {
    (void)user;
    CHECK(result == 5);
}

static void echo_received(void* user, int64_t result) {
    struct echo* echo = user;
    CHECK(result == 5);
    zsync_send(
        echo->worker,
        echo->ends[1],
        echo->there,
        (size_t)result,
        0,
        ZSYNC_NO_TIMEOUT,
        echo_sent,
        echo
    );
    zsync_recv(
        echo->worker,
        echo->ends[0],
        echo->back,
        sizeof echo->back,
        0,
        ZSYNC_NO_TIMEOUT,
        echo_end,
        echo
    );
}

static void start_echo(zsync_worker* worker, void* user) {
    struct echo* echo = user;
    echo->worker = worker;
    echo->done = 0;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, echo->ends) == 0);
    zsync_recv(
        worker,
        echo->ends[1],
        echo->there,
        sizeof echo->there,
        0,
        ZSYNC_NO_TIMEOUT,
        echo_received,
        echo
    );
    zsync_send(worker, echo->ends[0], "hello", 5, 0, ZSYNC_NO_TIMEOUT, echo_sent, echo);
    CHECK(!echo->done); /* nothing is called before this returns */
}

static void an_echo_goes_there_and_back(void) {
    struct echo echo = {0};
    run(start_echo, &echo);
    CHECK(echo.done);
}

struct meeting {
    int listener;
    int client;
    int64_t connected;
    int64_t accepted;
};

static void start_meeting(zsync_worker* worker, void* user) {
    struct meeting* meeting = user;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    meeting->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    meeting->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(bind(meeting->listener, (struct sockaddr*)&address, sizeof address) == 0);
    CHECK(listen(meeting->listener, 1) == 0);
    CHECK(getsockname(meeting->listener, (struct sockaddr*)&address, &size) == 0);
    zsync_accept(worker, meeting->listener, ZSYNC_NO_TIMEOUT, keep, &meeting->accepted);
    zsync_connect(
        worker,
        meeting->client,
        (struct sockaddr*)&address,
        size,
        ZSYNC_NO_TIMEOUT,
        keep,
        &meeting->connected
    );
    memset(&address, 0, sizeof address); /* it was copied */
}

static void connections_are_made(void) {
    struct meeting meeting = {.connected = 1};
    run(start_meeting, &meeting);
    CHECK(meeting.connected == 0 && meeting.accepted > 0);
}

struct refusals {
    int pair[2];
    char buffer[8];
    zsync_operation* waiting;
    int64_t bad_descriptor;
    int64_t too_late;
    int64_t stopped;
    int64_t long_address;
    int64_t afterwards;
};

static void cancel_it(void* user, int64_t result) {
    struct refusals* refusals = user;
    CHECK(result == 0);
    zsync_cancel(refusals->waiting);
}

static void start_refusals(zsync_worker* worker, void* user) {
    static const struct sockaddr_storage address = {.ss_family = AF_INET};
    struct refusals* refusals = user;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, refusals->pair) == 0);
    const int fd = refusals->pair[0];
    zsync_read(
        worker, -1, refusals->buffer, 8, 0, ZSYNC_NO_TIMEOUT, keep, &refusals->bad_descriptor
    );
    zsync_poll(worker, fd, POLLIN, millisecond_ns, keep, &refusals->too_late);
    zsync_connect(
        worker,
        fd,
        (const struct sockaddr*)&address,
        sizeof address + 1,
        ZSYNC_NO_TIMEOUT,
        keep,
        &refusals->long_address
    );
    refusals->waiting =
        zsync_recv(worker, fd, refusals->buffer, 8, 0, ZSYNC_NO_TIMEOUT, keep, &refusals->stopped);
    zsync_sleep(worker, 2 * millisecond_ns, cancel_it, refusals);
}

static void failures_are_negated_errnos(void) {
    struct refusals refusals = {0};
    run(start_refusals, &refusals);
    CHECK(refusals.bad_descriptor == -EBADF);
    CHECK(refusals.too_late == -ETIMEDOUT);
    CHECK(refusals.long_address == -EINVAL);
    CHECK(refusals.stopped == -ECANCELED);
}

struct stopping {
    zsync_worker* worker;
    int pair[2];
    char buffer[many];
    int stopped;
    int afterwards;
};

static void count_afterwards(void* user, int64_t result) {
    struct stopping* stopping = user;
    CHECK(result == -ECANCELED);
    ++stopping->afterwards;
}

static void count_stopped(void* user, int64_t result) {
    struct stopping* stopping = user;
    CHECK(result == -ECANCELED);
    if (++stopping->stopped == many) {
        zsync_sleep(stopping->worker, (uint64_t)-1 / 4, count_afterwards, stopping);
    }
}

static void stop_all(void* user, int64_t result) {
    struct stopping* stopping = user;
    CHECK(result == 0);
    zsync_stop(stopping->worker);
}

static void start_stopping(zsync_worker* worker, void* user) {
    struct stopping* stopping = user;
    stopping->worker = worker;
    stopping->stopped = stopping->afterwards = 0;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stopping->pair) == 0);
    for (int n = 0; n < many; ++n) {
        zsync_recv(
            worker,
            stopping->pair[0],
            stopping->buffer + n,
            1,
            0,
            ZSYNC_NO_TIMEOUT,
            count_stopped,
            stopping
        );
    }
    zsync_sleep(worker, millisecond_ns, stop_all, stopping);
}

static void stopping_reaches_everything(void) {
    struct stopping stopping;
    run(start_stopping, &stopping);
    CHECK(stopping.stopped == many && stopping.afterwards == 1);
}

static int64_t slow_number(void* argument) {
    *(pthread_t*)argument = pthread_self();
    return 42;
}

struct in_fibers {
    int pair[2];
    int ended;
    int64_t stopped;
};

static void write_in_a_fiber(zsync_worker* worker, void* user) {
    struct in_fibers* shared = user;
    CHECK(zsync_wait(zsync_sleep(worker, millisecond_ns, NULL, NULL)) == 0);
    CHECK(
        zsync_wait(zsync_write(
            worker,
            shared->pair[0],
            "12345",
            5,
            ZSYNC_CURRENT_POSITION,
            ZSYNC_NO_TIMEOUT,
            NULL,
            NULL
        )) == 5
    );
    ++shared->ended;
}

static void wait_for_ever(zsync_worker* worker, void* user) {
    struct in_fibers* shared = user;
    char byte;
    shared->stopped =
        zsync_wait(zsync_recv(worker, shared->pair[0], &byte, 1, 0, ZSYNC_NO_TIMEOUT, NULL, NULL));
    ++shared->ended;
}

static void read_in_a_fiber(zsync_worker* worker, void* user) {
    struct in_fibers* shared = user;
    char buffer[8] = {0};
    pthread_t other;
    zsync_spawn(worker, write_in_a_fiber, shared);
    CHECK(
        zsync_wait(zsync_read(
            worker,
            shared->pair[1],
            buffer,
            sizeof buffer,
            ZSYNC_CURRENT_POSITION,
            60UL * 1000 * millisecond_ns,
            NULL,
            NULL
        )) == 5
    );
    CHECK(strcmp(buffer, "12345") == 0);
    CHECK(zsync_wait(zsync_offload(worker, slow_number, &other, NULL, NULL)) == 42);
    CHECK(!pthread_equal(other, pthread_self()));
    zsync_sleep(worker, millisecond_ns, NULL, NULL); /* nobody waits for it: freed at the end */
    zsync_spawn(worker, wait_for_ever, shared);
    zsync_operation* for_ever = zsync_sleep(worker, UINT64_MAX, NULL, NULL);
    zsync_operation* patient =
        zsync_recv(worker, shared->pair[1], buffer, 1, 0, UINT64_MAX, NULL, NULL);
    CHECK(zsync_wait(zsync_sleep(worker, millisecond_ns, NULL, NULL)) == 0);
    zsync_cancel(for_ever);
    zsync_cancel(patient);
    CHECK(zsync_wait(for_ever) == -ECANCELED && zsync_wait(patient) == -ECANCELED);
    zsync_stop(worker);
    ++shared->ended;
}

static void start_fibers(zsync_worker* worker, void* user) {
    struct in_fibers* shared = user;
    shared->ended = 0;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, shared->pair) == 0);
    zsync_spawn(worker, read_in_a_fiber, shared);
    CHECK(zsync_run(worker, start_fibers, user) == -EBUSY);
}

static void fibers_wait_where_they_stand(void) {
    struct in_fibers shared = {0};
    run(start_fibers, &shared);
    CHECK(shared.ended == 3 && shared.stopped == -ECANCELED);
}

static void use_a_file(zsync_worker* worker, void* user) {
    char name[] = "/tmp/zsync-c-XXXXXX";
    char buffer[8] = {0};
    const int fd = mkstemp(name);
    (void)user;
    CHECK(fd >= 0 && unlink(name) == 0);
    CHECK(
        zsync_wait(zsync_write(worker, fd, "0123456789", 10, 0, ZSYNC_NO_TIMEOUT, NULL, NULL)) == 10
    );
    CHECK(zsync_wait(zsync_read(worker, fd, buffer, 4, 3, ZSYNC_NO_TIMEOUT, NULL, NULL)) == 4);
    CHECK(memcmp(buffer, "3456", 4) == 0);
    CHECK(zsync_wait(zsync_read(worker, fd, buffer, 8, 10, ZSYNC_NO_TIMEOUT, NULL, NULL)) == 0);
    close(fd);
}

/* The kernel moves at most so many bytes at a time: 0x7ffff000. /dev/null looks at none of them. */
static void write_very_much(zsync_worker* worker, void* user) {
    const size_t most = 0x7ffff000;
    const int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    void* pages =
        mmap(NULL, most + 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    (void)user;
    CHECK(fd >= 0 && pages != MAP_FAILED);
    CHECK(
        zsync_wait(zsync_write(worker, fd, pages, most, 0, ZSYNC_NO_TIMEOUT, NULL, NULL)) ==
        (int64_t)most
    );
    CHECK(
        zsync_wait(zsync_write(worker, fd, pages, most + 1, 0, ZSYNC_NO_TIMEOUT, NULL, NULL)) ==
        (int64_t)most
    );
    munmap(pages, most + 4096);
    close(fd);
}

static void start_very_much(zsync_worker* worker, void* user) {
    zsync_spawn(worker, write_very_much, user);
}

static void an_operation_moves_what_the_kernel_moves(void) { run(start_very_much, NULL); }

static void start_file(zsync_worker* worker, void* user) { zsync_spawn(worker, use_a_file, user); }

static void files_are_read_and_written_at_offsets(void) { run(start_file, NULL); }

int main(void) {
    an_echo_goes_there_and_back();
    connections_are_made();
    failures_are_negated_errnos();
    stopping_reaches_everything();
    fibers_wait_where_they_stand();
    files_are_read_and_written_at_offsets();
    an_operation_moves_what_the_kernel_moves();
    puts("all cases passed");
    return 0;
}
