/* One component: what waits for it, what it has sent. Internal to component*.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/arena.h"
#include "chassis/loop.h"
#include "chassis/timer.h"
#include "proto/xmpp/stanza_error.h"
#include "router/entity/components.h"
#include "router/entity/origins.h"
#include "router/entity/resource.h"

struct component_part;

/* A stanza for the component, until its kernel has it (a durable one) or it was sent (any other).
 */
struct component_delivery {
    struct component_delivery *prev, *next;
    struct arena arena; /* holds it, too */
    struct stanza stanza;
    size_t bytes;
    int64_t id;           /* what an edge knows a repeat by; 0: volatile */
    struct origin origin; /* what a repeat is known by; 0: none */
    struct id128 sent_to;
    int64_t sent_ms;
    struct component_waiter *waiters;
};

struct component_waiter {
    struct component_waiter *next;
    entity_route_done done;
    void *context;
};

struct component {
    struct components *components;
    struct str domain;
    unsigned shard;
    struct str secrets; /* one a line */
    /* The newest first; all others were told to end (is_lost), or have ended (is_closing) and wait
     * for their last inputs. */
    struct resource *connections;
    struct component_delivery *waiting; /* oldest first */
    struct component_delivery *sent;
    size_t count; /* of both */
    size_t bytes;
    size_t sent_count;
    struct origins origins;
    struct timer timer;
    int64_t wait_until_ms; /* without a connection */
    int64_t asked_ms;      /* an edge was asked to announce */
    bool is_flushing;
};

struct components {
    struct router *router;
    struct component *items;
    size_t count;
    struct arena arena;           /* of domains and secrets */
    struct component_part *parts; /* of inputs, on their way */
    struct loop_task flush_task;
};

struct component *component_find(struct components *components, struct str domain);
/* The connection that is in use. NULL: none. */
struct resource *component_connection(const struct component *component);
struct resource *component_find_session(const struct component *component, struct id128 session);
/* It is over: what was sent to it and not taken goes to the next one. */
void component_lose(struct component *component, struct resource *connection);
/* Handled and CloseReply, at the end of the turn. */
void component_mark_dirty(struct components *components);

/* ---- component_queue.c */
void component_queue_flush(struct component *component);
/* The session has ended: what it has not taken is sent again. */
void component_queue_return(struct component *component, struct id128 session);
void component_queue_delivered(
        struct component *component, struct id128 session, const int64_t *ids, size_t count);
/* All that wait hear ERR_FENCED. */
void component_queue_drop(struct component *component);
void component_queue_init(struct component *component);
/* A volatile stanza to whoever is at home wherever. */
void component_route(struct components *components, const struct stanza *stanza);
/* An error for `stanza`, unless it must not be answered with one. */
void component_answer_error(struct components *components,
        const struct stanza *stanza,
        enum stanza_condition condition);

/* ---- component_inputs.c */
/* `stanza` NULL: it was answered, its counter is all that is left. */
void component_take_input(struct component *component,
        struct resource *connection,
        uint32_t counter,
        const struct stanza *stanza);
void component_parts_forget(struct components *components);
