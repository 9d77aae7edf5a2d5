/* 64-byte echo on libuv: one shared read buffer, uv_try_write first, a uv_write only for what a
 * full socket refused. */
#include "listen.h"

#include <string.h>
#include <uv.h>

enum { buffer_bytes = 65536 };

/* Bytes that had to wait; they stay in place until they are written. */
struct rest {
    uv_write_t request;
    char bytes[];
};

static char memory[buffer_bytes];

static void closed(uv_handle_t* handle) { free(handle); }

static void end(uv_stream_t* stream) {
    if (!uv_is_closing((uv_handle_t*)stream)) {
        uv_close((uv_handle_t*)stream, closed);
    }
}

static void lend(uv_handle_t* handle, size_t wanted, uv_buf_t* buffer) {
    (void)handle;
    (void)wanted;
    *buffer = uv_buf_init(memory, sizeof(memory));
}

static void rest_written(uv_write_t* request, int status) {
    if (status < 0) {
        end(request->handle);
    }
    free(request); /* the first member of its struct rest */
}

static void write_rest(uv_stream_t* stream, const char* bytes, size_t count) {
    struct rest* rest = malloc(sizeof(*rest) + count);
    die_if(rest == NULL, "malloc");
    memcpy(rest->bytes, bytes, count);
    uv_buf_t buffer = uv_buf_init(rest->bytes, (unsigned)count);
    if (uv_write(&rest->request, stream, &buffer, 1, rest_written) != 0) {
        free(rest);
        end(stream);
    }
}

static void echo(uv_stream_t* stream, ssize_t count, const uv_buf_t* buffer) {
    if (count <= 0) {
        if (count < 0) {
            end(stream);
        }
        return;
    }
    uv_buf_t reply = uv_buf_init(buffer->base, (unsigned)count);
    const int sent = uv_try_write(stream, &reply, 1);
    if (sent == count) {
        return;
    }
    if (sent < 0 && sent != UV_EAGAIN) {
        end(stream);
        return;
    }
    const size_t done = sent < 0 ? 0 : (size_t)sent;
    write_rest(stream, buffer->base + done, (size_t)count - done);
}

static void accept_one(uv_stream_t* listener, int status) {
    die_if(status < 0, "listen");
    uv_tcp_t* client = malloc(sizeof(*client));
    die_if(client == NULL || uv_tcp_init(listener->loop, client) != 0, "uv_tcp_init");
    if (uv_accept(listener, (uv_stream_t*)client) != 0) {
        end((uv_stream_t*)client);
        return;
    }
    uv_read_start((uv_stream_t*)client, lend, echo);
}

int main(int count, char** words) {
    die_if(count != 2, "usage: echo_libuv PORT");
    uv_loop_t* loop = uv_default_loop();
    uv_tcp_t listener;
    die_if(uv_tcp_init(loop, &listener) != 0, "uv_tcp_init");
    die_if(uv_tcp_open(&listener, listen_on(words[1], SOCK_NONBLOCK)) != 0, "uv_tcp_open");
    die_if(uv_listen((uv_stream_t*)&listener, listen_backlog, accept_one) != 0, "uv_listen");
    say_ready();
    return uv_run(loop, UV_RUN_DEFAULT);
}
