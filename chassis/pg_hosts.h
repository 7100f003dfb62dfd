/* The hosts of a connection string. libpq walks a list of hosts by itself, but its asynchronous
 * interface knows no time-out for one host: a first host that swallows packets would eat every
 * attempt. So each attempt begins with another host. Pure, no connection. */
#pragma once

#include <stddef.h>

#include "chassis/base/err.h"

struct pg_hosts;

/* What stands in the connection string as seen from one host on: lists as libpq wants them, or NULL
 * where the string says nothing. Lives until the next call for these hosts. */
struct pg_hosts_view {
    const char *host, *hostaddr, *port;
};

/* ERR_INVALID: not a connection string. libpq's text about it quotes the string, which may hold a
 * password, so it is not passed on. */
MUST_USE enum err pg_hosts_create(const char *conninfo, struct pg_hosts **hosts_out);
void pg_hosts_destroy(struct pg_hosts *hosts);       /* accepts NULL */
size_t pg_hosts_count(const struct pg_hosts *hosts); /* at least 1 */
struct pg_hosts_view pg_hosts_from(struct pg_hosts *hosts, size_t first);
