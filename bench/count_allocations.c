/* Counts how often a process asks for memory: preload it, and read novate_asked(). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>
#include <sys/syscall.h>

static uint64_t asked;
static char early[4096];               /* what dlsym itself asks for, before anything is known */
static size_t early_used;

static void *(*next_malloc)(size_t);
static void *(*next_calloc)(size_t, size_t);
static void *(*next_realloc)(void *, size_t);
static void (*next_free)(void *);

static void look_up(void) {
    next_malloc = dlsym(RTLD_NEXT, "malloc");
    next_realloc = dlsym(RTLD_NEXT, "realloc");
    next_free = dlsym(RTLD_NEXT, "free");
    next_calloc = dlsym(RTLD_NEXT, "calloc");
}

uint64_t novate_asked(void) { return __atomic_load_n(&asked, __ATOMIC_RELAXED); }

static void count(void) { __atomic_fetch_add(&asked, 1, __ATOMIC_RELAXED); }

void *malloc(size_t size) {
    if (!next_malloc) look_up();
    count();
    return next_malloc(size);
}
void *calloc(size_t items, size_t size) {
    static int looking;
    if (!next_calloc) {
        if (looking) {
            void *given = early + early_used;
            early_used += (items * size + 15) & ~(size_t)15;
            return early_used <= sizeof early ? given : NULL;
        }
        looking = 1;
        look_up();
    }
    count();
    return next_calloc(items, size);
}
void *realloc(void *old, size_t size) {
    if (!next_realloc) look_up();
    count();
    return next_realloc(old, size);
}
void free(void *old) {
    if ((char *)old >= early && (char *)old < early + sizeof early) return;
    if (!next_free) look_up();
    next_free(old);
}
void *mmap(void *at, size_t size, int protection, int flags, int file, off_t offset) {
    count();
    return (void *)syscall(SYS_mmap, at, size, protection, flags, file, offset);
}
void *mremap(void *old, size_t before, size_t size, int flags, ...) {
    count();
    return (void *)syscall(SYS_mremap, old, before, size, flags, NULL);
}
