/* Files opened, asked for their size, read and closed, one system call after another. `batch_loop
 * FOLDER` says "ready", then each line on standard input is a number of rounds over every file of
 * FOLDER, which are named 0, 1, 2 ... without a gap; it is answered by the files done, the bytes
 * read and the nanoseconds that one file took. */
#define _GNU_SOURCE
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* The bytes read, or -1 at the end of the folder. */
static long read_one(int folder, unsigned number) {
    static char buffer[65536];
    char name[16];
    struct statx info;
    snprintf(name, sizeof(name), "%u", number);
    const int file = openat(folder, name, O_RDONLY | O_CLOEXEC);
    if (file < 0 && errno == ENOENT) {
        return -1;
    }
    if (file < 0 || statx(file, "", AT_EMPTY_PATH, STATX_SIZE, &info) != 0 ||
        info.stx_size > sizeof(buffer)) {
        perror(name);
        exit(1);
    }
    const ssize_t count = read(file, buffer, info.stx_size);
    if (count != (ssize_t)info.stx_size || close(file) != 0) {
        perror(name);
        exit(1);
    }
    return count;
}

static void run(int folder, long rounds) {
    long long files = 0;
    long long bytes = 0;
    long part;
    const long long start = now_ns();
    for (long round = 0; round < rounds; ++round) {
        for (unsigned i = 0; (part = read_one(folder, i)) >= 0; ++i) {
            bytes += part;
            ++files;
        }
    }
    const long long spent = now_ns() - start;
    printf("%lld %lld %.1f\n", files, bytes, (double)spent / (double)(files > 0 ? files : 1));
    fflush(stdout);
}

int main(int count, char** words) {
    const int folder = count == 2 ? open(words[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (folder < 0) {
        fprintf(stderr, "usage: batch_loop FOLDER\n");
        return 2;
    }
    puts("ready");
    fflush(stdout);
    char line[32];
    while (fgets(line, sizeof(line), stdin) != NULL) {
        run(folder, atol(line));
    }
    return 0;
}
