/* The listening socket that every echo server of the benchmark starts with. */
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <stdio.h>
#include <stdlib.h>

enum { listen_backlog = 4096 };

static inline void die_if(int failed, const char* what) {
    if (failed) {
        perror(what);
        exit(1);
    }
}

/* Linux hands TCP_NODELAY on to accepted sockets. Exits when the port can't be had. */
static inline int listen_on(const char* port, int type_flags) {
    const int on = 1;
    struct sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons((unsigned short)atoi(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | type_flags, 0);
    die_if(listener < 0, "socket");
    die_if(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0, "SO_REUSEADDR");
    die_if(setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0, "TCP_NODELAY");
    die_if(bind(listener, (const struct sockaddr*)&address, sizeof(address)) != 0, "bind");
    die_if(listen(listener, listen_backlog) != 0, "listen");
    return listener;
}

/* What the harness waits for before it connects. */
static inline void say_ready(void) {
    puts("ready");
    fflush(stdout);
}
