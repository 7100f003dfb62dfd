/* What an account keeps in PostgreSQL, and the key of that, in memory while its entity is. Internal
 * to router/entity. */
#pragma once

#include "chassis/base/err.h"
#include "chassis/base/str.h"

struct account_row;
struct entity;
struct turn_request;

/* The key as it is stored ("": none yet), and the block list. ERR_DENIED: not wrapped or sealed by
 * what this router has; nothing has changed. */
MUST_USE enum err data_take_key(struct entity *entity, struct str wrapped);
MUST_USE enum err data_take_blocklist(struct entity *entity, const struct account_row *row);
void data_forget_key(struct entity *entity);

/* For account_request_start, when entity->waiting is set. */
void data_request_start(struct entity *entity, const struct turn_request *request);
