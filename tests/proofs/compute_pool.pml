/* userspace/zsync/core/compute_pool: threads that sleep when there is nothing to do, and those who fork for them.
 *
 * Shown: no fork and no call is left while a thread that could take it sleeps; who waits for a fork that another thread took
 * is told of its end; at the end everything has been run once. -DBROKEN: a thread looks for forks and says that it sleeps only
 * afterwards. -DBROKEN_JOIN: who ends a fork looks whether it is awaited before it says that it is done.
 */
#define THREADS 2
#define CALLS 2

byte calls = CALLS;             /* the queue, under the mutex */
byte forks;                     /* on offer in all deques together */
bool mutex;
byte idle, resting, joining;
byte wakes, join_wakes;         /* signals that waiters have not seen: a wait is entered with the mutex held */
byte run_calls, run_forks;
bool stopping;
mtype = { running, awaited, done };
mtype state[CALLS];             /* of each call's fork */
byte forker;                    /* calls that have forked: a fork has its call's number */
byte offered[CALLS];

#define lock() atomic { !mutex -> mutex = true }
#define unlock() mutex = false
/* condition_variable::notify_one: of those who wait, one more may go on. */
#define notify_rest() atomic { if :: wakes < resting -> wakes++ :: else fi }
#define notify_join() atomic { if :: join_wakes < joining -> join_wakes++ :: else fi }
#define notify_all_join() join_wakes = joining

inline take_fork() {
    atomic {                            /* steal or pop; proved in work_deque.pml */
        got = false;
        if
        :: offered[0] == 1 -> offered[0] = 0; mine = 0; forks--; got = true
        :: offered[1] == 1 -> offered[1] = 0; mine = 1; forks--; got = true
        :: else
        fi
    }
}

inline run_fork() {
    atomic { run_forks++; assert(run_forks <= CALLS) };
#ifdef BROKEN_JOIN
    was = state[mine];
    state[mine] = done;
#else
    atomic { was = state[mine]; state[mine] = done };
#endif
    if
    :: was == awaited -> lock(); unlock(); notify_all_join()
    :: else
    fi
}

/* A call: forks once, does its own half, then waits for the other. The first call's own half needs the other one to run beside
 * it, so a thread that sleeps through the fork is found. */
inline run_call() {
    atomic { run_calls++; fork = forker; forker++; state[fork] = running };
    atomic { offered[fork] = 1; forks++ };
    if
    :: idle != 0 ->
        lock();
        if
        :: resting != 0 -> notify_rest()
        :: resting == 0 && idle != 0 -> notify_join()
        :: else
        fi;
        unlock()
    :: else
    fi;
    if
    :: fork == 0 -> (state[0] == done)
    :: else
    fi;
    atomic {                            /* pop */
        got = (offered[fork] == 1);
        if
        :: got -> offered[fork] = 0; forks--
        :: else
        fi
    };
    if
    :: got -> atomic { run_forks++; state[fork] = done }
    :: else ->
        do
        :: state[fork] == done -> break
        :: else ->
            take_fork();
            if
            :: got -> run_fork()
            :: else ->
                lock();
                atomic {
                    was = state[fork];
                    if
                    :: was == running -> state[fork] = awaited
                    :: else
                    fi
                };
                if
                :: was == done
                :: else ->
                    idle++;
                    do
                    :: state[fork] == done || forks != 0 -> break
                    :: else ->
                        atomic { joining++; mutex = false };
                        atomic { join_wakes != 0 -> join_wakes--; joining-- };
                        lock()
                    od;
                    idle--
                fi;
                unlock()
            fi
        od
    fi
}

active [THREADS] proctype member() {
    byte mine, fork;
    bool got;
    mtype was;
    do
    :: take_fork();
        if
        :: got -> run_fork()
        :: else ->
            lock();
            if
            :: calls != 0 -> calls--; unlock(); run_call()
            :: else ->
                if
                :: stopping -> unlock(); break
                :: else
                fi;
#ifdef BROKEN
                got = (calls == 0 && forks == 0);
                idle++;
                resting++;
                if
                :: got && !stopping ->
                    atomic { mutex = false };
                    atomic { wakes != 0 -> wakes-- };
                    lock()
                :: else
                fi;
                resting--;
                idle--;
                unlock()
#else
                idle++;
                do
                :: stopping || calls != 0 || forks != 0 -> break
                :: else ->
                    atomic { resting++; mutex = false };
                    atomic { wakes != 0 -> wakes--; resting-- };
                    lock()
                od;
                idle--;
                unlock()
#endif
            fi
        fi
    od
}

/* The calls are there from the start, one of them told of after a moment: submit. */
active proctype submitter() {
    lock();
    unlock();
    notify_rest();
    /* Everybody's waits have ended: the pool may end. */
    (run_calls == CALLS && run_forks == CALLS);
    lock();
    stopping = true;
    unlock();
    wakes = resting
}
