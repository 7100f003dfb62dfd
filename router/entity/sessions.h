/* Sessions of an entity: bind, announce, ends, and what is remembered of their counters. Internal
 * to router/entity. */
#pragma once

#include "router/entity/entity.h"

struct resource *entity_find_session(const struct entity *entity, struct id128 session);
struct resource *entity_find_resource(const struct entity *entity, struct str name);
void sessions_handle_bind(struct entity *entity, struct item *item);
void sessions_handle_announce(struct entity *entity, const struct item *item);
void sessions_handle_close(struct entity *entity, const struct item *item);
/* Something came for a session that is not known, or not in order: its edge says again what it
 * has. */
void sessions_ask_announce(struct entity *entity, const char *edge, struct id128 session);
void sessions_handle_gone(struct entity *entity, const struct item *item);
void sessions_handle_edge_dead(struct entity *entity, const struct item *item);
void sessions_add(struct entity *entity, struct resource *resource); /* takes it */
/* No target any more; what its inputs still do goes on until they are done. */
void sessions_end(struct entity *entity, struct resource *resource);
/* Availability, priority or place of a session changed: Redis is told, and a new target catches up.
 */
void sessions_changed(struct entity *entity, struct resource *resource);
void sessions_end_lost(struct entity *entity);
void sessions_kick(struct entity *entity,
        struct resource *resource,
        enum stream_condition condition,
        struct str text);
void sessions_kick_all(struct entity *entity, enum stream_condition condition, struct str text);
void sessions_answer_failed_bind(
        struct entity *entity, const struct item *item, Wire__Status status);

void sessions_write_record(
        struct router *router, const struct entity *entity, const struct resource *resource);
void sessions_remove_record(const struct entity *entity, const struct resource *resource);
/* What the record has no room for: the presence itself, and addresses of directed presence. */
void sessions_write_presence(struct entity *entity, struct resource *resource);
/* A session that outlives this home, or whose end somebody waits for. */
bool sessions_is_live(const struct entity *entity);
/* Redis names accounts with such sessions, for the next home. */
void sessions_update_live(struct entity *entity);
/* What the log knows of a session's counter. It may have been committed in one group with entries
 * of a shard that was fenced: while the session's edge lives, only what the edge announces counts,
 * and repeats are recognised by their origins. */
void sessions_store_input(struct entity *entity, struct id128 session, uint32_t h);
/* False: the log knows nothing of it. */
bool sessions_find_input(const struct entity *entity, struct id128 session, uint32_t *h_out);
/* An input was answered while its session could not be looked up. */
void sessions_answered_input(struct entity *entity, struct id128 session, uint32_t h);
