/* 64-byte echo on epoll alone: level-triggered, read and write at once, no second read to see
 * EAGAIN. */
#define _GNU_SOURCE
#include "listen.h"

#include <sys/epoll.h>

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

enum { events_max = 1024, buffer_bytes = 4096, connections_max = 32768 };

/* What a full socket did not take; while there is some, the connection waits for EPOLLOUT alone. */
struct rest {
    uint32_t first, last;
    char bytes[buffer_bytes];
};

static int epoll;
static struct rest* rests[connections_max];

static void watch(int operation, int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    die_if(epoll_ctl(epoll, operation, fd, &event) != 0, "epoll_ctl");
}

static void end(int fd) {
    free(rests[fd]);
    rests[fd] = NULL;
    close(fd);
}

static void keep_rest(int fd, const char* bytes, size_t count) {
    struct rest* rest = malloc(sizeof(*rest));
    die_if(rest == NULL, "malloc");
    rest->first = 0;
    rest->last = (uint32_t)count;
    memcpy(rest->bytes, bytes, count);
    rests[fd] = rest;
    watch(EPOLL_CTL_MOD, fd, EPOLLOUT);
}

static void send_rest(int fd) {
    struct rest* rest = rests[fd];
    const ssize_t sent = write(fd, rest->bytes + rest->first, rest->last - rest->first);
    if (sent < 0) {
        if (errno != EAGAIN) {
            end(fd);
        }
        return;
    }
    rest->first += (uint32_t)sent;
    if (rest->first == rest->last) {
        free(rest);
        rests[fd] = NULL;
        watch(EPOLL_CTL_MOD, fd, EPOLLIN);
    }
}

static inline void echo(int fd) {
    char buffer[buffer_bytes];
    const ssize_t count = read(fd, buffer, sizeof(buffer));
    if (__builtin_expect(count <= 0, 0)) {
        if (count == 0 || errno != EAGAIN) {
            end(fd);
        }
        return;
    }
    const ssize_t sent = write(fd, buffer, (size_t)count);
    if (__builtin_expect(sent != count, 0)) {
        if (sent < 0 && errno != EAGAIN) {
            end(fd);
        } else {
            const size_t done = sent < 0 ? 0 : (size_t)sent;
            keep_rest(fd, buffer + done, (size_t)count - done);
        }
    }
}

static void accept_waiting(int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        die_if(fd >= connections_max, "too many connections");
        watch(EPOLL_CTL_ADD, fd, EPOLLIN);
    }
}

int main(int count, char** words) {
    static struct epoll_event events[events_max];
    die_if(count != 2, "usage: echo_epoll PORT");
    signal(SIGPIPE, SIG_IGN); /* write(2) is the shorter way into the kernel than send(2) */
    epoll = epoll_create1(EPOLL_CLOEXEC);
    die_if(epoll < 0, "epoll_create1");
    const int listener = listen_on(words[1], SOCK_NONBLOCK);
    watch(EPOLL_CTL_ADD, listener, EPOLLIN);
    say_ready();
    for (;;) {
        const int ready = epoll_wait(epoll, events, events_max, -1);
        die_if(ready < 0 && errno != EINTR, "epoll_wait");
        for (int i = 0; i < ready; ++i) {
            const int fd = events[i].data.fd;
            if (__builtin_expect(fd == listener, 0)) {
                accept_waiting(listener);
            } else if (__builtin_expect(rests[fd] != NULL, 0)) {
                send_rest(fd);
            } else {
                echo(fd);
            }
        }
    }
}
