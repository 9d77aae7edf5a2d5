/* A C library as there are many: it is asked, and calls back later. */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

typedef void (*library_answered)(void* user, int status, const char* text);
typedef void (*library_done)(int status, void* user);

struct library {
    library_answered answered;
    library_done done;
    void* user;
};

enum { library_aborted = -1 };

void library_ask(struct library* library, library_answered answered, void* user);
void library_do(struct library* library, library_done done, void* user);
/* Calls back whoever waits. */
void library_answer(struct library* library, int status, const char* text);
/* As `library_answer`, by a void*. */
void library_abort(void* library);

#ifdef __cplusplus
}
#endif
