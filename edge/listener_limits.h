/* The limits' side that only the listener uses. */
#pragma once

#include <stddef.h>

#include "edge/listener.h"

enum admission {
    ADMISSION_GRANTED, /* counted; listener_limits_release gives it back */
    ADMISSION_FULL,    /* the process, or the table of addresses */
    ADMISSION_TOO_MANY,
    ADMISSION_TOO_FAST,
};
enum admission listener_limits_admit(
        struct listener_limits *limits, const struct peer_address *address);
size_t listener_limits_entries(const struct listener_limits *limits);
