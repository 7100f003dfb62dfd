/* Processor time and memory of trees of processes, from /proc: a process with all its threads and
 * all its descendants. What ended meanwhile is counted by its parent (cutime), so differences stay
 * right. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    WATCH_NAME_MAX = 32,
    WATCH_ROOTS_MAX = 32,
};

struct watch {
    char name[WATCH_NAME_MAX];
    pid_t roots[WATCH_ROOTS_MAX];
    size_t root_count;
};

struct watch_sample {
    double cpu_s;     /* user and system, since each process began */
    double user_s;    /* the user part of it */
    uint64_t rss_kib; /* counts shared pages once for each process */
    uint64_t pss_kib; /* shares them out; 0 where smaps_rollup may not be read */
    unsigned processes;
};

/* "NAME=PID,PID": false when it is not that. */
bool watch_parse(const char *text, struct watch *watch_out);
/* Memory is read only if asked for: it stops a large process for a moment. */
struct watch_sample watch_take(const struct watch *watch, bool has_memory);
double watch_own_cpu_s(void); /* of this process */
