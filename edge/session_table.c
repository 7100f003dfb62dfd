/* Indexes over sessions. */
#include "edge/session_table.h"

#include <utlist.h>

#include "chassis/base/mem.h"

struct session_table *session_table_create(unsigned shards)
{
    struct session_table *table = MEM_NEW(struct session_table);
    table->shards = shards;
    table->by_shard = mem_calloc(shards, sizeof(struct session *));
    return table;
}

void session_table_destroy(struct session_table *table)
{
    if (!table) {
        return;
    }
    for (int state = SESSION_LIVE; state < SESSION_ENDED; state++) {
        while (table->by_state[state]) {
            struct session *session = table->by_state[state];
            session_set_state(table, session, SESSION_ENDED);
            session_destroy(session);
        }
    }
    free(table->by_shard);
    free(table);
}

struct session *session_table_find(const struct session_table *table, struct id128 id)
{
    struct session *session = NULL;
    HASH_FIND(hh, table->by_id, &id, sizeof(id), session);
    return session;
}

void session_table_insert(struct session_table *table, struct session *session)
{
    HASH_ADD(hh, table->by_id, id, sizeof(session->id), session);
    DL_APPEND2(table->by_shard[session->shard], session, shard_prev, shard_next);
}

void session_table_remove(struct session_table *table, struct session *session)
{
    HASH_DEL(table->by_id, session);
    DL_DELETE2(table->by_shard[session->shard], session, shard_prev, shard_next);
}
