/* userspace/zsync/core/inbox: many threads post to one worker, which sleeps when nothing is there.
 *
 * Shown: whenever nothing can happen any more, every message has arrived (none is left with a worker that sleeps); each
 * arrives once and in its sender's order; a sleep is ended by one ring at most; a worker that closes has been told by
 * everybody who rings, so the descriptor may go. -DBROKEN: the worker looks, and then goes to sleep in a second step.
 */
#define SENDERS 2
#define EACH 2
#define MESSAGES 4      /* SENDERS * EACH, numbered from 1 */
#define EMPTY 0
#define ASLEEP 100
#define CLOSED 101

byte head = EMPTY;      /* EMPTY, ASLEEP, CLOSED, or the newest message */
byte next[5];
byte bell;              /* the eventfd: rings not read */
byte rings;             /* of this sleep */
byte arrived[SENDERS];  /* messages of each sender, which must come in order */
byte total;
bool descriptor_open = true;

proctype sender(byte me) {
    byte n = 0;
    byte message, seen;
    do
    :: n == EACH -> break
    :: else ->
        message = 1 + me * EACH + n;
        seen = head;
        do
        :: seen == CLOSED -> goto refused
        :: else ->
            next[message] = (seen == ASLEEP -> EMPTY : seen);
            atomic {                    /* compare_exchange */
                if
                :: head == seen ->
                    head = message;
                    if
                    :: seen == ASLEEP -> rings++; assert(rings == 1)
                    :: else
                    fi;
                    break
                :: else -> seen = head
                fi
            }
        od;
        if
        :: seen == ASLEEP ->
            assert(descriptor_open);
            bell++                      /* the write to the eventfd */
        :: else
        fi;
        n++
    od;
refused:
    skip
}

inline take(newest) {
    /* The list is the newest first; turned round it arrives. */
    oldest = EMPTY;
    do
    :: newest == EMPTY -> break
    :: else ->
        following = next[newest];
        next[newest] = oldest;
        oldest = newest;
        newest = following
    od;
    do
    :: oldest == EMPTY -> break
    :: else ->
        assert((oldest - 1) % EACH == arrived[(oldest - 1) / EACH]);
        arrived[(oldest - 1) / EACH]++;
        total++;
        oldest = next[oldest]
    od
}

active proctype worker() {
    byte taken, oldest, following;
    byte owed = 0;
    bool sleeping;
    do
    :: total == MESSAGES -> break
    :: else ->
#ifdef BROKEN
        sleeping = (head == EMPTY);
        if
        :: sleeping -> rings = 0; head = ASLEEP
        :: else
        fi;
#else
        atomic {                        /* compare_exchange */
            sleeping = (head == EMPTY);
            if
            :: sleeping -> rings = 0; head = ASLEEP
            :: else
            fi
        };
#endif
        if
        :: sleeping ->
            if
            :: bell > 0                 /* woken by the bell */
            :: total == 1               /* or, once, by something else */
            fi
        :: else
        fi;
        atomic { taken = head; head = EMPTY };
        if
        :: sleeping && taken == ASLEEP -> taken = EMPTY
        :: sleeping && taken != ASLEEP -> owed++
        :: else
        fi;
        sleeping = false;
        take(taken);
        if                              /* the queue delivers the read of the eventfd */
        :: bell > 0 -> atomic { owed = owed - bell; bell = 0 }
        :: else
        fi
    od;
    /* close */
    atomic { taken = head; head = CLOSED };
    assert(taken == EMPTY);
    do
    :: owed == 0 -> break
    :: owed > 0 && bell > 0 -> atomic { owed = owed - bell; bell = 0 }
    od;
    descriptor_open = false
}

init {
    byte n;
    atomic {
        for (n : 0 .. SENDERS - 1) { run sender(n) }
    }
}
