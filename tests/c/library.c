#include "tests/c/library.h"

#include <stddef.h>

void library_ask(struct library* library, library_answered answered, void* user) {
    library->answered = answered;
    library->user = user;
}

void library_do(struct library* library, library_done done, void* user) {
    library->done = done;
    library->user = user;
}

void library_answer(struct library* library, int status, const char* text) {
    const library_answered answered = library->answered;
    const library_done done = library->done;
    library->answered = NULL;
    library->done = NULL;
    if (answered != NULL) {
        answered(library->user, status, text);
    }
    if (done != NULL) {
        done(status, library->user);
    }
}

void library_abort(void* library) { library_answer(library, library_aborted, "aborted"); }
