/* What may wait while a client is inactive (XEP-0352): presence and bare chat states, the newest of
 * each sender. Held back in front of the numbers of stream management. Pure; part of a resource. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "chassis/base/arena.h"
#include "proto/xmpp/stanza.h"

struct csi_held {
    struct csi_held *next;
    struct arena arena; /* holds it, too */
    size_t bytes;
    struct stanza stanza;
};

struct csi_buffer {
    struct csi_held *head;
    struct csi_held **end;
    size_t count;
    size_t bytes;
};

struct csi_limits {
    size_t max_held; /* 0: nothing may wait */
    size_t max_bytes;
};

struct csi_buffer *csi_buffer_create(void);
void csi_buffer_destroy(struct csi_buffer *buffer); /* accepts NULL */

/* It tells of a state, and a newer one makes it worthless. */
bool csi_may_wait(const struct stanza *stanza);
/* Takes the place of an older one of the same sender, behind the others. False: no room. */
bool csi_buffer_hold(
        struct csi_buffer *buffer, const struct stanza *stanza, const struct csi_limits *limits);
/* Oldest first; NULL: empty. Free it with csi_held_destroy. */
struct csi_held *csi_buffer_pop(struct csi_buffer *buffer);
void csi_held_destroy(struct csi_held *held);
