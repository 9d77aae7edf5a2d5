/* sink PORT: accepts connections one after another and takes all that comes, without copying it
 * (MSG_TRUNC). */
#include "listen.h"

#include <unistd.h>

int main(int count, char** words) {
    die_if(count != 2, "usage: sink PORT");
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(words[1]))
    };
    die_if(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0, "SO_REUSEADDR");
    die_if(bind(listener, (const struct sockaddr*)&address, sizeof(address)) != 0, "bind");
    die_if(listen(listener, 1) != 0, "listen");
    say_ready();
    for (;;) {
        const int client = accept(listener, NULL, NULL);
        die_if(client < 0, "accept");
        while (recv(client, NULL, 1 << 20, MSG_TRUNC) > 0) {
        }
        close(client);
    }
}
