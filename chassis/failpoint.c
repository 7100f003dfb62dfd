/* Failpoints of test builds: the process dies where the environment says. */
#include "chassis/service.h"

#ifdef STARLING_TEST_BUILD

#    include <pthread.h>
#    include <signal.h>
#    include <stdlib.h>

#    include "chassis/base/str.h"

enum {
    FAILPOINT_MAX = 16,
};

static struct failpoint {
    struct str name;
    uint64_t passages_left;
} failpoints[FAILPOINT_MAX];
static size_t failpoint_count;
static pthread_mutex_t failpoint_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t failpoint_once = PTHREAD_ONCE_INIT;

static void failpoints_read(void)
{
    struct str rest = str_from_cstr(getenv("STARLING_FAILPOINT"));
    while (!str_is_empty(rest) && failpoint_count < FAILPOINT_MAX) {
        struct str count = str_cut(&rest, ',');
        struct failpoint *failpoint = &failpoints[failpoint_count++];
        failpoint->name = str_cut(&count, ':');
        failpoint->passages_left = 1;
        if (!str_is_empty(count)) {
            ASSERT(str_to_u64(count, &failpoint->passages_left));
        }
    }
}

bool failpoint_is_due(const char *name)
{
    pthread_once(&failpoint_once, failpoints_read);
    if (failpoint_count == 0) {
        return false;
    }
    bool is_due = false;
    pthread_mutex_lock(&failpoint_lock);
    for (size_t i = 0; i < failpoint_count; i++) {
        struct failpoint *failpoint = &failpoints[i];
        if (failpoint->passages_left > 0 && str_equal(failpoint->name, str_from_cstr(name))) {
            is_due = --failpoint->passages_left == 0 || is_due;
        }
    }
    pthread_mutex_unlock(&failpoint_lock);
    return is_due;
}

void failpoint(const char *name)
{
    if (failpoint_is_due(name)) {
        raise(SIGKILL);
    }
}

#endif
