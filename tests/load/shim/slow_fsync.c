/* fsync and fdatasync that take longer (LD_PRELOAD): SLOW_FSYNC_US microseconds on top. A virtual
 * disk may answer at once, which flatters a server that waits for commits; this is what a real one
 * is like. */
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static void wait_a_moment(void)
{
    const char *text = getenv("SLOW_FSYNC_US");
    long us = text ? strtol(text, NULL, 10) : 0;
    struct timespec time = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000 };
    nanosleep(&time, NULL);
}

int fsync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_a_moment();
    return real(fd);
}

int fdatasync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_a_moment();
    return real(fd);
}
