/* c_echo PORT: sends back what it gets, on 127.0.0.1, until SIGINT or SIGTERM. One thread, no event
 * loop of its own: an operation at a time for each client, and a callback for each. */
#include <zsync/c/zsync.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { backlog = 128, pause_ns = 100 * 1000 * 1000 };

struct server {
    zsync_worker* worker;
    int listener;
    int signals;
};

struct client {
    zsync_worker* worker;
    int fd;
    size_t filled;
    size_t sent;
    char buffer[4096];
};

static void accept_next(void* user, int64_t result);
static void received(void* user, int64_t result);
static void sent(void* user, int64_t result);

static void end_client(struct client* client) {
    close(client->fd);
    free(client);
}

static void receive(struct client* client) {
    zsync_recv(
        client->worker, client->fd, client->buffer, sizeof client->buffer, 0, ZSYNC_NO_TIMEOUT,
        received, client
    );
}

static void send_rest(struct client* client) {
    zsync_send(
        client->worker, client->fd, client->buffer + client->sent, client->filled - client->sent, 0,
        ZSYNC_NO_TIMEOUT, sent, client
    );
}

static void received(void* user, int64_t result) {
    struct client* client = user;
    if (result <= 0) { /* the end, an error, or -ECANCELED after zsync_stop */
        end_client(client);
        return;
    }
    client->filled = (size_t)result;
    client->sent = 0;
    send_rest(client);
}

static void sent(void* user, int64_t result) {
    struct client* client = user;
    if (result <= 0) {
        end_client(client);
        return;
    }
    client->sent += (size_t)result;
    if (client->sent < client->filled) {
        send_rest(client);
    } else {
        receive(client);
    }
}

static void accepted(void* user, int64_t result) {
    struct server* server = user;
    struct client* client = result >= 0 ? calloc(1, sizeof *client) : NULL;
    if (client != NULL) {
        client->worker = server->worker;
        client->fd = (int)result;
        receive(client);
        accept_next(server, 0);
    } else if (result != -ECANCELED) {
        fprintf(stderr, "c_echo: accept: %s\n", strerror(result < 0 ? (int)-result : ENOMEM));
        if (result >= 0) {
            close((int)result);
        }
        /* Without descriptors or memory it would fail again at once. */
        zsync_sleep(server->worker, pause_ns, accept_next, server);
    }
}

static void accept_next(void* user, int64_t result) {
    struct server* server = user;
    if (result == 0) {
        zsync_accept(server->worker, server->listener, ZSYNC_NO_TIMEOUT, accepted, server);
    }
}

static void signaled(void* user, int64_t result) {
    struct server* server = user;
    if (result >= 0) {
        zsync_stop(server->worker);
    }
}

static void start(zsync_worker* worker, void* user) {
    struct server* server = user;
    zsync_poll(worker, server->signals, POLLIN, ZSYNC_NO_TIMEOUT, signaled, server);
    accept_next(server, 0);
}

static int listen_on(const char* port) {
    const int on = 1;
    const struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)atoi(port)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, (const struct sockaddr*)&address, sizeof address) != 0 || listen(fd, backlog) != 0) {
        perror("c_echo: listen");
        exit(1);
    }
    return fd;
}

static int signals_as_descriptor(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    const int fd = signalfd(-1, &set, SFD_CLOEXEC);
    if (fd < 0) {
        perror("c_echo: signalfd");
        exit(1);
    }
    return fd;
}

int main(int count, char** words) {
    if (count != 2) {
        fprintf(stderr, "usage: c_echo PORT\n");
        return 2;
    }
    struct server server = {.listener = listen_on(words[1]), .signals = signals_as_descriptor()};
    char reason[200];
    if (zsync_worker_create(&server.worker, reason, sizeof reason) != 0) {
        fprintf(stderr, "c_echo: %s\n", reason);
        return 1;
    }
    fprintf(stderr, "c_echo: serving port %s\n", words[1]);
    zsync_run(server.worker, start, &server);
    zsync_worker_destroy(server.worker);
    close(server.listener);
    close(server.signals);
    return 0;
}
