/* Questions to routers that wait for their answer: authentication, bind, registration. A question
 * is repeated when its shard moves and answered with STATUS_TEMPORARY when time is over (B22).
 * Knows neither the bus nor the shard map; uplink.c brings them together. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "chassis/base/str.h"
#include "proto/wire/wire.h"

struct request;
struct requests;
struct timer_wheel;

/* `reply` is NULL when time is over. Called once, never from inside requests_add. */
typedef void (*request_answered)(void *context, const Wire__Envelope *reply);
/* Sends the record for the shard; false: not now, requests_repeat will be called later. */
typedef bool (*request_send)(void *context, unsigned shard, struct str record);

struct requests *requests_create(
        struct timer_wheel *timers, int64_t timeout_ms, request_send send, void *send_context);
void requests_destroy(struct requests *requests); /* callbacks are not called; accepts NULL */

/* Sets the request id in `envelope` (one of the verbs that have one) and sends it. */
struct request *requests_add(struct requests *requests,
        unsigned shard,
        Wire__Envelope *envelope,
        request_answered answered,
        void *context);
/* The asker has lost interest; a late answer counts as unasked. Accepts NULL. */
void requests_cancel(struct requests *requests, struct request *request);
/* An answer came. false: nobody waits for it (any more). NOT_OWNER keeps the request waiting. */
bool requests_answer(struct requests *requests, uint64_t id, const Wire__Envelope *reply);
/* Sends all requests of a shard (again): its owner has changed or can be reached again. */
void requests_repeat(struct requests *requests, unsigned shard);
/* The shard of a waiting request. */
bool requests_find_shard(const struct requests *requests, uint64_t id, unsigned *shard_out);
uint32_t requests_count(const struct requests *requests);
