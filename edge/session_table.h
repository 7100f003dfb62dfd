/* All sessions of this edge: by id, by shard and by state. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "edge/session.h"

struct session_table {
    unsigned shards;
    struct session *by_id;
    struct session **by_shard;                /* list heads */
    struct session *by_state[SESSION_STATES]; /* list heads, oldest first */
    uint32_t count[SESSION_STATES];
    size_t unhandled_bytes; /* of all sessions */
};

struct session_table *session_table_create(unsigned shards);
void session_table_destroy(struct session_table *table); /* with all sessions; accepts NULL */
struct session *session_table_find(const struct session_table *table, struct id128 id); /* NULL */
/* For session_set_state only. */
void session_table_insert(struct session_table *table, struct session *session);
void session_table_remove(struct session_table *table, struct session *session);
