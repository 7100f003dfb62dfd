/* Names of errors, and the end of a process whose invariant broke. */
#include "chassis/base/err.h"

#include <stdio.h>
#include <stdlib.h>

const char *err_name(enum err err)
{
    switch (err) {
    case ERR_OK: return "ok";
    case ERR_AGAIN: return "again";
    case ERR_INVALID: return "invalid";
    case ERR_LIMIT: return "limit";
    case ERR_NOT_FOUND: return "not-found";
    case ERR_EXISTS: return "exists";
    case ERR_DENIED: return "denied";
    case ERR_PROTOCOL: return "protocol";
    case ERR_UNAVAILABLE: return "unavailable";
    case ERR_TIMEOUT: return "timeout";
    case ERR_FENCED: return "fenced";
    case ERR_CONFLICT: return "conflict";
    case ERR_CLOSED: return "closed";
    case ERR_UNSUPPORTED: return "unsupported";
    case ERR_SYSTEM: return "system";
    }
    return "unknown";
}

NORETURN void assert_fail(const char *what, const char *file, int line)
{
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, what);
    abort();
}
