/* Failures of our own calls (STYLE: not bugs, not a peer's mistake). About fifteen values, one word
 * each. A bug is ASSERT; out of memory aborts in the allocator, since every size a peer controls
 * met a limit before. */
#pragma once

#include "chassis/base/attr.h"

enum err {
    ERR_OK = 0,
    ERR_AGAIN,   /* not now, try later */
    ERR_INVALID, /* malformed argument or data */
    ERR_LIMIT,   /* a configured limit was met */
    ERR_NOT_FOUND,
    ERR_EXISTS,
    ERR_DENIED,      /* refused by policy or authentication */
    ERR_PROTOCOL,    /* the other side broke the protocol */
    ERR_UNAVAILABLE, /* service or connection gone; retry may help */
    ERR_TIMEOUT,
    ERR_FENCED, /* the epoch we act under is no longer ours */
    ERR_CONFLICT,
    ERR_CLOSED, /* closed in order by the other side */
    ERR_UNSUPPORTED,
    ERR_SYSTEM, /* system call failed; see errno */
};

/* A constant word such as "not-found"; never NULL. */
const char *err_name(enum err err);

NORETURN void assert_fail(const char *what, const char *file, int line);

/* On in release builds too: a broken invariant must not go on to touch somebody's messages. */
#define ASSERT(cond) ((cond) ? (void)0 : assert_fail(#cond, __FILE__, __LINE__))

/* A place no correct program reaches, e.g. behind a switch over all values. */
#define UNREACHABLE(why) assert_fail((why), __FILE__, __LINE__)
