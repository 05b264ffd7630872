/* A ring of events between two threads: one puts, one takes. */
#ifndef NOVATE_RING_H
#define NOVATE_RING_H

#include <sched.h>
#include <stdint.h>
#include <string.h>
#include "novate/model/records.h"

typedef struct {
    Event *events;
    uint64_t size;                     /* a power of two */
    char apart1[64];
    uint64_t put;                      /* events ever put; the putting thread's */
    uint64_t taken_seen;
    char apart2[64];
    uint64_t taken;                    /* events ever taken; the taking thread's */
    char apart3[64];
    int closed;                        /* nothing more will be put */
    int stopped;                       /* nobody takes any more */
} Ring;

static inline uint64_t novate_ring_ready(Ring *ring) {
    return __atomic_load_n(&ring->put, __ATOMIC_ACQUIRE) - ring->taken;
}
/* Put all of these, waiting while the ring is full; 0 when nobody takes any more. */
static inline int novate_ring_put(Ring *ring, const Event *events, uint64_t count) {
    while (count) {
        uint64_t room = ring->size - (ring->put - ring->taken_seen), at, run;
        if (!room) {
            ring->taken_seen = __atomic_load_n(&ring->taken, __ATOMIC_ACQUIRE);
            if (ring->put - ring->taken_seen == ring->size) {
                if (__atomic_load_n(&ring->stopped, __ATOMIC_ACQUIRE)) return 0;
                sched_yield();
            }
            continue;
        }
        at = ring->put & (ring->size - 1);
        run = ring->size - at;
        if (run > room) run = room;
        if (run > count) run = count;
        memcpy(ring->events + at, events, run * sizeof(Event));
        __atomic_store_n(&ring->put, ring->put + run, __ATOMIC_RELEASE);
        events += run;
        count -= run;
    }
    return 1;
}
/* The next events that stand in one piece, at most `most`; novate_ring_took gives them back. */
static inline const Event *novate_ring_next(Ring *ring, uint64_t most, uint64_t *count) {
    uint64_t ready = novate_ring_ready(ring), at = ring->taken & (ring->size - 1);
    uint64_t run = ring->size - at;
    if (run > ready) run = ready;
    if (run > most) run = most;
    *count = run;
    return ring->events + at;
}
static inline void novate_ring_took(Ring *ring, uint64_t count) {
    __atomic_store_n(&ring->taken, ring->taken + count, __ATOMIC_RELEASE);
}
static inline void novate_ring_set(int *flag) { __atomic_store_n(flag, 1, __ATOMIC_RELEASE); }
static inline int novate_ring_flag(int *flag) { return __atomic_load_n(flag, __ATOMIC_ACQUIRE); }

#endif
