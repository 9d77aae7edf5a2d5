/* userspace/zsync/core/port and port_queue: a bounded queue from many threads to one, with a bell that is armed while a
 * receiver waits, and a bit in the count of pushes that closes it.
 *
 * Shown: each value that was pushed is received once, in its sender's order, and before the receiver sees the end; values
 * refused by a closed queue are not received; the receiver never waits for ever while a value is there, or after the close; no
 * place is overwritten before it was read. -DBROKEN: the receiver arms the bell and doesn't look again.
 * -DBROKEN_CLOSE: closed is a flag of its own, asked before the push.
 */
#define SENDERS 2
#define EACH 2
#define PLACES 2
#define CLOSED 128      /* in the word that counts pushes */
#define POSITION(word) (word & 127)
#define FREE(n) (2 * (n))
#define FILLED(n) (2 * (n) + 1)
#define NOBODY 255

byte tail;              /* pushes, and the bit */
byte turn[PLACES];
byte value[PLACES];
mtype = { silent, armed, rung };
mtype bell = silent;
byte inbox;             /* rings on their way to the worker */
byte pushed;            /* pushes that were done */
bool separate_closed;
byte senders = SENDERS;

inline ring_if_awaited() {
    if
    :: bell == armed ->
        atomic {
            if
            :: bell == armed -> bell = rung; must = true
            :: else -> must = false
            fi
        };
        if
        :: must -> inbox++
        :: else
        fi
    :: else
    fi
}

proctype sender(byte me) {
    byte n, word, seen;
    bool must, claimed;
    do
    :: n == EACH -> break
    :: else ->
        claimed = false;
        word = tail;
        do
        :: claimed -> break
        :: else ->
#ifdef BROKEN_CLOSE
            if
            :: separate_closed -> goto gone
            :: else
            fi;
#else
            if
            :: (word & CLOSED) != 0 -> goto gone
            :: else
            fi;
#endif
            seen = turn[POSITION(word) % PLACES];
            if
            :: seen == FREE(POSITION(word)) ->
                atomic {                /* compare_exchange */
                    if
                    :: tail == word -> tail = word + 1; claimed = true
                    :: else -> word = tail
                    fi
                }
            :: seen < FREE(POSITION(word)) ->
                /* Full: the wait for room goes by message; here it waits for a place or for the end. */
                (turn[POSITION(word) % PLACES] == FREE(POSITION(word)) || (tail & CLOSED) != 0 || separate_closed
                    || POSITION(tail) != POSITION(word));
                word = tail
            :: else -> word = tail
            fi
        od;
        assert(value[POSITION(word) % PLACES] == NOBODY);
        value[POSITION(word) % PLACES] = me * EACH + n;
        pushed++;
        turn[POSITION(word) % PLACES] = FILLED(POSITION(word));
        ring_if_awaited();
        n++
    od;
gone:
    /* The last sender that goes closes. */
    atomic { senders--; must = (senders == 0) };
    if
    :: must ->
#ifdef BROKEN_CLOSE
        separate_closed = true;
#else
        atomic { tail = tail | CLOSED };
#endif
        ring_if_awaited()
    :: else
    fi
}

/* Somebody else may close at any moment. */
active proctype closer() {
    bool must;
    if
    :: true ->
#ifdef BROKEN_CLOSE
        separate_closed = true;
#else
        atomic { tail = tail | CLOSED };
#endif
        ring_if_awaited()
    :: true
    fi
}

inline try() {
    got = false;
    ended = false;
#ifdef BROKEN_CLOSE
    closed = separate_closed;
#else
    closed = ((tail & CLOSED) != 0);
#endif
    if
    :: turn[head % PLACES] == FILLED(head) ->
        d_step {
            assert(value[head % PLACES] != NOBODY);
            assert(value[head % PLACES] % EACH >= next[value[head % PLACES] / EACH]);
            next[value[head % PLACES] / EACH] = value[head % PLACES] % EACH + 1;
            value[head % PLACES] = NOBODY;
            received++
        };
        turn[head % PLACES] = FREE(head + PLACES);
        head++;
        got = true
    :: else ->
        if
        :: POSITION(tail) != head      /* being written: it rings */
        :: POSITION(tail) == head && closed -> ended = true
        :: else
        fi
    fi
}

active proctype receiver() {
    byte head, received;
    byte next[SENDERS];
    bool got, ended, closed;
    do
    :: ended -> break
    :: else ->
        try();
        if
        :: got || ended
        :: else ->
            /* It waits: arm, and look again. */
            if
            :: bell == silent -> atomic { if :: bell == silent -> bell = armed :: else fi }
            :: else
            fi;
#ifndef BROKEN
            try();
#endif
            if
            :: got || ended
            :: else ->
                inbox > 0;              /* the worker does other things until a ring arrives */
                inbox--;
                atomic { if :: bell == rung -> bell = silent :: else fi }
            fi
        fi
    od;
    (senders == 0);
    assert(received == pushed)
}

init {
    byte n;
    atomic {
        for (n : 0 .. PLACES - 1) { turn[n] = FREE(n); value[n] = NOBODY };
        for (n : 0 .. SENDERS - 1) { run sender(n) }
    }
}
