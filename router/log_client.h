/* Reading the message log: requests to any living archive-svc, repeated when it dies, asked of
 * another one, too, when it is silent for archive_patience_ms; ERR_TIMEOUT after commit_timeout_ms.
 */
#pragma once

#include <stdint.h>

#include "chassis/base/err.h"
#include "proto/wire/wire.h"

struct log_client;
struct router;

MUST_USE enum err log_client_create(struct router *router, struct log_client **client_out);
void log_client_destroy(
        struct log_client *client); /* accepts NULL; pending requests end with ERR_CLOSED */

/* The reply is valid during the callback; NULL unless ERR_OK. Returns a handle for log_cancel. */
typedef void (*log_open_done)(void *context, enum err err, const Wire__LogOpenReply *reply);
typedef void (*log_read_done)(void *context, enum err err, const Wire__LogReadReply *reply);
typedef void (*log_erase_done)(void *context, enum err err);
uint64_t log_open_owner(struct log_client *client,
        int64_t owner,
        int64_t origins_after_id,
        log_open_done done,
        void *context);
uint64_t log_read(struct log_client *client,
        int64_t owner,
        int64_t after_id,
        uint32_t max_entries,
        uint32_t max_bytes,
        log_read_done done,
        void *context);
uint64_t log_erase(struct log_client *client, int64_t owner, log_erase_done done, void *context);
void log_cancel(struct log_client *client,
        uint64_t request); /* no callback any more; 0 and unknown: nothing */

void log_client_on_envelope(
        struct log_client *client, const Wire__Envelope *envelope); /* the three replies */
void log_client_on_peer_change(struct log_client *client);
