/* syscall_count PID: for each line on standard input, prints how many system calls that process has
 * made since this one started. */
#include <syscall_count.skel.h>

#include <stdio.h>
#include <stdlib.h>

int main(int count, char** words) {
    struct syscall_count* counter = syscall_count__open();
    if (count != 2 || counter == NULL) {
        fprintf(stderr, "usage: syscall_count PID\n");
        return 2;
    }
    counter->bss->process = (unsigned)atoi(words[1]);
    if (syscall_count__load(counter) != 0 || syscall_count__attach(counter) != 0) {
        perror("syscall_count: cannot attach to sys_enter (root is needed)");
        return 1;
    }
    char line[8];
    do {
        printf(
            "%llu\n", (unsigned long long)__atomic_load_n(&counter->bss->calls, __ATOMIC_RELAXED)
        );
        fflush(stdout);
    } while (fgets(line, sizeof(line), stdin) != NULL);
    syscall_count__destroy(counter);
    return 0;
}
