/* Deliveries to the sessions of an entity: copies, targets, one frame for each edge. */
#pragma once

#include "router/entity/entity.h"

enum send_group {
    SEND_TO_MATCH,     /* the resource named by `to` */
    SEND_TO_ELIGIBLE,  /* available, priority not negative */
    SEND_TO_AVAILABLE, /* available */
};
/* One frame for each edge. Writes the sessions that were reached; a dead edge's sessions are marked
 * lost. */
size_t send_to_group(struct entity *entity,
        const struct stanza *stanza,
        int64_t log_id,
        enum send_group group,
        struct id128 targets_out[ACCOUNT_LOG_MAX_TARGETS]);
/* Has it already, or soon. */
bool send_is_excepted(const struct entity *entity, const struct resource *resource);
/* What egress_deliver said of a session without stream management. */
void send_failed(struct entity *entity, struct resource *resource, enum err err);
/* Reads and deliveries that failed are tried again. */
void entity_retry_soon(struct entity *entity);
/* What csi_hold_back lets through. */
void send_past_csi(struct entity *entity, struct resource *resource, const struct stanza *stanza);
void send_to_session(struct entity *entity, struct resource *resource, const struct stanza *stanza);
/* Of entry `log_id` (0: volatile). False: the session was not reached. */
bool send_copy(struct entity *entity,
        struct resource *resource,
        const struct stanza *copy,
        int64_t log_id);
