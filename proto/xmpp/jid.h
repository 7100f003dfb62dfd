/* Addresses: localpart@domainpart/resourcepart (RFC 7622), prepared with PRECIS (RFC 8264, 8265):
 * localpart UsernameCaseMapped, resourcepart OpaqueString, domainpart IDNA2008 U-labels in lower
 * case. ASCII takes a fast path. The prepared form is what the whole system compares, stores and
 * hashes, byte by byte. */
#pragma once

#include <stdbool.h>

#include "chassis/base/arena.h"
#include "chassis/base/err.h"
#include "chassis/base/str.h"

#define JID_PART_MAX_BYTES 1023

/* Views into one prepared text (full), so a jid is 4 views and no ownership. */
struct jid {
    struct str full;     /* everything */
    struct str bare;     /* local@domain or domain */
    struct str local;    /* may be empty */
    struct str domain;   /* never empty */
    struct str resource; /* may be empty */
};

/* Prepares any text. The result lives in the arena. ERR_INVALID: not a JID (RFC 7622 §3). */
MUST_USE enum err jid_parse(struct arena *arena, struct str text, struct jid *jid_out);
/* Splits text that is prepared already (came over the bus, from the database). Borrows `text`. */
MUST_USE enum err jid_split(struct str text, struct jid *jid_out);
MUST_USE enum err jid_make(struct arena *arena,
        struct str local,
        struct str domain,
        struct str resource,
        struct jid *jid_out);

/* Single parts, for SASL user names, virtual hosts and resource binding. ERR_INVALID: empty, too
 * long or not preppable. */
MUST_USE enum err jid_prepare_local(struct arena *arena, struct str text, struct str *local_out);
MUST_USE enum err jid_prepare_domain(struct arena *arena, struct str text, struct str *domain_out);
MUST_USE enum err jid_prepare_resource(
        struct arena *arena, struct str text, struct str *resource_out);

static inline bool jid_is_bare(const struct jid *jid)
{
    return jid->resource.len == 0;
}
/* The shard of an entity: stable for ever. `shards` is cluster.shards (256). */
unsigned jid_shard(struct str bare, unsigned shards);
