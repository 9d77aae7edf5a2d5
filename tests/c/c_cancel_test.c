/* Every operation of zsync.h, cancelled at every time: what a callback or a wait is given is a
 * result or -ECANCELED, once, and nothing is lost. A row is an operation; each is played with a
 * callback and by a fiber that waits. */
#define _GNU_SOURCE

#include <zsync/c/zsync.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum timing {
    before_submit,
    after_submit,
    completion_first,
    cancel_first,
    after_completion,
    twice,
    during_shutdown
};
static const char* const timing_names[] = {
    "before_submit",
    "after_submit",
    "racing_completion, which is first",
    "racing_completion, which is second",
    "after_completion",
    "twice",
    "during_shutdown",
};
enum { timings = 7, settle_ns = 2000000, block_size = 4096, bytes_size = 5 };

/* How an operation ends when nobody lets it end. */
enum ending {
    by_cancel, /* by a cancel alone */
    by_itself, /* soon, by itself */
    when_let,  /* no cancel stops it once it has begun */
};

struct scene;
struct row {
    const char* name;
    enum ending ending;
    void (*prepare)(struct scene* scene);
    zsync_operation* (*start)(struct scene* scene, zsync_callback callback);
    void (*complete)(struct scene* scene);
    /* Nothing is lost, whatever the result. */
    void (*account)(struct scene* scene);
};

struct scene {
    const struct row* row;
    enum timing timing;
    int in_fiber;
    zsync_worker* worker;
    zsync_operation* operation; /* NULL once its callback was called or its wait is over */
    int ours;                   /* what the operation is about */
    int theirs;
    int listener;
    char bytes[16];
    int results;
    int64_t result;
    int completed;
    atomic_int begun; /* on another thread */
};

static const struct scene* playing;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            fprintf(                                                                               \
                stderr,                                                                            \
                "  %s, cancelled %s, %s: %d results, the last one %lld\n",                         \
                playing->row->name,                                                                \
                timing_names[playing->timing],                                                     \
                playing->in_fiber ? "waited for in a fiber" : "with a callback",                   \
                playing->results,                                                                  \
                (long long)playing->result                                                         \
            );                                                                                     \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* What there is to read now, and how much of it is `wanted`. */
static int drain(int fd, char wanted) {
    char block[block_size];
    int found = 0;
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    while (poll(&ready, 1, 0) > 0 && (ready.revents & POLLIN) != 0) {
        const ssize_t count = read(fd, block, sizeof block);
        if (count <= 0) {
            break;
        }
        for (ssize_t n = 0; n < count; n++) {
            found += block[n] == wanted;
        }
    }
    return found;
}

static void fill(int fd) {
    char block[block_size];
    memset(block, 'x', sizeof block);
    const int flags = fcntl(fd, F_GETFL);
    CHECK(fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
    while (write(fd, block, sizeof block) > 0) {
    }
    CHECK(fcntl(fd, F_SETFL, flags) == 0);
}

static void prepare_sockets(struct scene* scene) {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    scene->ours = ends[0];
    scene->theirs = ends[1];
}

static void prepare_pipe(struct scene* scene) {
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    scene->ours = ends[0];
    scene->theirs = ends[1];
}

static void put_bytes(struct scene* scene) {
    CHECK(write(scene->theirs, "yyyyy", bytes_size) == bytes_size);
}

/* Received, or still there. */
static void account_received(struct scene* scene) {
    const int got = scene->result > 0 ? (int)scene->result : 0;
    CHECK(got + drain(scene->ours, 'y') == (scene->completed ? bytes_size : 0));
}

static zsync_operation* start_recv(struct scene* scene, zsync_callback callback) {
    return zsync_recv(
        scene->worker,
        scene->ours,
        scene->bytes,
        sizeof scene->bytes,
        0,
        ZSYNC_NO_TIMEOUT,
        callback,
        scene
    );
}

static zsync_operation* start_recv_in_time(struct scene* scene, zsync_callback callback) {
    const uint64_t an_hour_ns = 3600ULL * 1000000000;
    return zsync_recv(
        scene->worker,
        scene->ours,
        scene->bytes,
        sizeof scene->bytes,
        0,
        an_hour_ns,
        callback,
        scene
    );
}

static zsync_operation* start_read(struct scene* scene, zsync_callback callback) {
    return zsync_read(
        scene->worker,
        scene->ours,
        scene->bytes,
        sizeof scene->bytes,
        ZSYNC_CURRENT_POSITION,
        ZSYNC_NO_TIMEOUT,
        callback,
        scene
    );
}

static zsync_operation* start_poll(struct scene* scene, zsync_callback callback) {
    return zsync_poll(scene->worker, scene->ours, POLLIN, ZSYNC_NO_TIMEOUT, callback, scene);
}

static void account_polled(struct scene* scene) {
    CHECK(scene->result == -ECANCELED || (scene->result & POLLIN) != 0);
    CHECK(drain(scene->ours, 'y') == (scene->completed ? bytes_size : 0));
}

static void prepare_full_socket(struct scene* scene) {
    prepare_sockets(scene);
    fill(scene->ours);
}

static void prepare_full_pipe(struct scene* scene) {
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    scene->ours = ends[1];
    scene->theirs = ends[0];
    fill(scene->ours);
}

/* As much is sent as the peer finds. `bytes` counts what was drained on the way. */
static void make_room(struct scene* scene) { scene->bytes[0] = (char)drain(scene->theirs, 'y'); }

static void account_sent(struct scene* scene) {
    const int sent = scene->result > 0 ? (int)scene->result : 0;
    CHECK(scene->bytes[0] + drain(scene->theirs, 'y') == sent);
}

static zsync_operation* start_send(struct scene* scene, zsync_callback callback) {
    return zsync_send(
        scene->worker, scene->ours, "yyyyy", bytes_size, 0, ZSYNC_NO_TIMEOUT, callback, scene
    );
}

static zsync_operation* start_write(struct scene* scene, zsync_callback callback) {
    return zsync_write(
        scene->worker,
        scene->ours,
        "yyyyy",
        bytes_size,
        ZSYNC_CURRENT_POSITION,
        ZSYNC_NO_TIMEOUT,
        callback,
        scene
    );
}

static void prepare_listener(struct scene* scene) {
    struct sockaddr_in loopback = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    scene->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(
        bind(scene->listener, (struct sockaddr*)&loopback, sizeof loopback) == 0 &&
        listen(scene->listener, 1) == 0
    );
    scene->theirs = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static struct sockaddr_in address_of(int fd) {
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    CHECK(getsockname(fd, (struct sockaddr*)&address, &size) == 0);
    return address;
}

static void connect_client(struct scene* scene) {
    const struct sockaddr_in address = address_of(scene->listener);
    CHECK(connect(scene->theirs, (const struct sockaddr*)&address, sizeof address) == 0);
}

static zsync_operation* start_accept(struct scene* scene, zsync_callback callback) {
    return zsync_accept(scene->worker, scene->listener, ZSYNC_NO_TIMEOUT, callback, scene);
}

/* Accepted, or still in the listener's queue. */
static void account_accepted(struct scene* scene) {
    struct pollfd queue = {.fd = scene->listener, .events = POLLIN};
    const int left = poll(&queue, 1, 0);
    CHECK((scene->result >= 0) + left == scene->completed);
    if (scene->result >= 0) {
        CHECK(close((int)scene->result) == 0);
    }
}

static zsync_operation* start_connect(struct scene* scene, zsync_callback callback) {
    const struct sockaddr_in address = address_of(scene->listener);
    return zsync_connect(
        scene->worker,
        scene->theirs,
        (const struct sockaddr*)&address,
        sizeof address,
        ZSYNC_NO_TIMEOUT,
        callback,
        scene
    );
}

static void account_connected(struct scene* scene) {
    struct sockaddr_in peer;
    socklen_t size = sizeof peer;
    const int connected = getpeername(scene->theirs, (struct sockaddr*)&peer, &size) == 0;
    CHECK(scene->result < 0 || connected);
}

static zsync_operation* start_sleep(struct scene* scene, zsync_callback callback) {
    return zsync_sleep(scene->worker, 3600ULL * 1000000000, callback, scene);
}

static int64_t read_in_thread(void* user) {
    struct scene* scene = user;
    scene->begun = 1;
    return read(scene->ours, scene->bytes, sizeof scene->bytes);
}

static zsync_operation* start_offload(struct scene* scene, zsync_callback callback) {
    return zsync_offload(scene->worker, read_in_thread, scene, callback, scene);
}

static void nothing(struct scene* scene) { (void)scene; }

static const struct row rows[] = {
    {"zsync_read", by_cancel, prepare_pipe, start_read, put_bytes, account_received},
    {"zsync_recv", by_cancel, prepare_sockets, start_recv, put_bytes, account_received},
    {"zsync_recv in time",
     by_cancel,
     prepare_sockets,
     start_recv_in_time,
     put_bytes,
     account_received},
    {"zsync_poll", by_cancel, prepare_sockets, start_poll, put_bytes, account_polled},
    {"zsync_write", by_cancel, prepare_full_pipe, start_write, make_room, account_sent},
    {"zsync_send", by_cancel, prepare_full_socket, start_send, make_room, account_sent},
    {"zsync_accept", by_cancel, prepare_listener, start_accept, connect_client, account_accepted},
    {"zsync_connect", by_itself, prepare_listener, start_connect, nothing, account_connected},
    {"zsync_sleep", by_cancel, nothing, start_sleep, NULL, nothing},
    {"zsync_offload", when_let, prepare_pipe, start_offload, put_bytes, account_received},
};

static void complete(struct scene* scene) {
    if (scene->row->complete != NULL) {
        scene->completed = 1;
        scene->row->complete(scene);
    }
}

static void cancel(struct scene* scene) {
    if (scene->operation != NULL) {
        zsync_cancel(scene->operation);
    }
}

/* Everything is under way. */
static void act(void* user, int64_t result) {
    struct scene* scene = user;
    if (result == -ECANCELED) {
        return; /* with the worker */
    }
    CHECK(result == 0);
    if (scene->row->ending == when_let && scene->timing != before_submit && !scene->begun) {
        zsync_sleep(scene->worker, settle_ns, act, scene);
        return;
    }
    switch (scene->timing) {
    case before_submit:
        break;
    case after_submit:
        cancel(scene);
        break;
    case completion_first:
        complete(scene);
        cancel(scene);
        break;
    case cancel_first:
        cancel(scene);
        complete(scene);
        break;
    case after_completion:
        complete(scene);
        break;
    case twice:
        cancel(scene);
        cancel(scene);
        break;
    case during_shutdown:
        zsync_stop(scene->worker);
        break;
    }
    if (scene->row->ending == when_let && !scene->completed) {
        complete(scene);
    }
}

static void ended(void* user, int64_t result) {
    struct scene* scene = user;
    scene->results++;
    scene->result = result;
    if (scene->timing == after_completion) {
        cancel(scene); /* it is valid until this returns */
    }
    scene->operation = NULL;
}

static void start_scene(zsync_worker* worker, void* user) {
    struct scene* scene = user;
    scene->worker = worker;
    scene->operation = scene->row->start(scene, ended);
    CHECK(scene->results == 0);
    if (scene->timing == before_submit) {
        cancel(scene);
    }
    zsync_sleep(worker, settle_ns, act, scene);
}

static void wait_in_fiber(zsync_worker* worker, void* user) {
    struct scene* scene = user;
    scene->operation = scene->row->start(scene, NULL);
    if (scene->timing == before_submit) {
        cancel(scene);
    }
    if (scene->timing == after_completion && scene->row->complete != NULL) {
        complete(scene);
        do {
            (void)zsync_wait(zsync_sleep(worker, settle_ns, NULL, NULL));
        } while (scene->row->ending == when_let && !scene->begun);
        cancel(scene);
    }
    scene->result = zsync_wait(scene->operation);
    scene->operation = NULL;
    scene->results++;
}

static void act_unless_done(void* user, int64_t result) {
    struct scene* scene = user;
    if (scene->timing != after_completion) {
        act(user, result);
    }
}

static void start_fiber(zsync_worker* worker, void* user) {
    struct scene* scene = user;
    scene->worker = worker;
    zsync_spawn(worker, wait_in_fiber, scene);
    zsync_sleep(worker, settle_ns, act_unless_done, scene);
}

static void judge(struct scene* scene) {
    const int canceled = scene->result == -ECANCELED;
    CHECK(scene->results == 1);
    CHECK(scene->result >= 0 || canceled);
    const int certain = !scene->completed && scene->row->ending == by_cancel;
    CHECK(!certain || canceled);
    if (scene->timing == after_completion) {
        CHECK(!canceled);
    }
    if (scene->row->ending == when_let && scene->timing != before_submit) {
        CHECK(!canceled);
    }
}

/* How many scenes that are: none where nothing lets the operation end. */
static int play(const struct row* row, enum timing timing, int in_fiber) {
    if (timing == after_completion && row->complete == NULL) {
        return 0;
    }
    struct scene scene = {
        .row = row, .timing = timing, .in_fiber = in_fiber, .ours = -1, .theirs = -1, .listener = -1
    };
    playing = &scene;
    row->prepare(&scene);
    zsync_worker* worker = NULL;
    char words[200];
    if (zsync_worker_create(&worker, words, sizeof words) != 0) {
        fprintf(stderr, "no worker: %s\n", words);
        exit(1);
    }
    CHECK(zsync_run(worker, in_fiber ? start_fiber : start_scene, &scene) == 0);
    zsync_worker_destroy(worker);
    judge(&scene);
    row->account(&scene);
    const int fds[] = {scene.ours, scene.theirs, scene.listener};
    for (size_t n = 0; n < sizeof fds / sizeof *fds; n++) {
        if (fds[n] >= 0) {
            close(fds[n]);
        }
    }
    return 1;
}

int main(void) {
    int scenes = 0;
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        for (int timing = 0; timing < timings; timing++) {
            for (int in_fiber = 0; in_fiber < 2; in_fiber++) {
                scenes += play(&rows[row], (enum timing)timing, in_fiber);
            }
        }
    }
    printf("%d scenes\n", scenes);
    return 0;
}
