/* userspace/zsync/core/work_deque: its owner pushes and pops at the bottom, thieves steal at the top.
 *
 * Shown: every item is taken exactly once, by whoever it is, also when the owner and thieves want the last one; a full deque
 * refuses and overwrites nothing. -DBROKEN: the owner takes the last item without a compare-and-swap.
 * -DBROKEN_ORDER: the owner reads the top before it claims the bottom, as a processor would without the order of the two.
 */
#define ITEMS 4
#define PLACES 2
#define THIEVES 2

short top, bottom;
byte place[PLACES];
byte taken[ITEMS];
bool pushed_all;
byte thieves_gone;

inline took(item) {
    taken[item]++;
    assert(taken[item] == 1)
}

inline pop() {
    b = bottom - 1;
#ifdef BROKEN_ORDER
    t = top;
    bottom = b;
#else
    bottom = b;
    t = top;
#endif
    popped = false;
    if
    :: t > b -> bottom = b + 1
    :: else ->
        item = place[b % PLACES];
        if
        :: t < b -> popped = true
        :: else ->
#ifdef BROKEN
            top = t + 1;
            popped = true;
#else
            atomic {                    /* compare_exchange */
                if
                :: top == t -> top = t + 1; popped = true
                :: else
                fi
            };
#endif
            bottom = b + 1
        fi
    fi;
    if
    :: popped -> took(item)
    :: else
    fi
}

active proctype owner() {
    short b, t;
    byte item, next;
    bool popped;
    do
    :: next == ITEMS -> break
    :: next < ITEMS ->
        b = bottom;
        t = top;
        if
        :: b - t >= PLACES -> pop()
        :: else ->
            place[b % PLACES] = next;
            bottom = b + 1;
            next++
        fi
    :: next > 0 -> pop()
    od;
    /* Until a pop finds nothing. */
    popped = true;
    do
    :: popped -> pop()
    :: else -> break
    od;
    pushed_all = true
}

active [THIEVES] proctype thief() {
    short b, t;
    byte item;
    bool stolen;
    do
    :: pushed_all -> break
    :: else ->
        t = top;
        b = bottom;
        if
        :: t >= b
        :: else ->
            item = place[t % PLACES];
            atomic {                    /* compare_exchange */
                stolen = (top == t);
                if
                :: stolen -> top = t + 1
                :: else
                fi
            };
            if
            :: stolen -> took(item)
            :: else
            fi
        fi
    od;
    thieves_gone++
}

/* When all is over nothing is left. */
active proctype judge() {
    byte n;
    (pushed_all && thieves_gone == THIEVES);
    for (n : 0 .. ITEMS - 1) { assert(taken[n] == 1) }
}
