/* Entity capabilities (XEP-0115 1.6.0, XEP-0390 0.3.2): what is hashed of an answer to disco#info,
 * and whether a hash somebody announced is that of his answer. Pure. Routers make the hosts' own
 * with it, edges write them; what a client announces counts only when caps_verify_* has agreed. */
#pragma once

#include "chassis/base/arena.h"
#include "chassis/base/buf.h"
#include "chassis/base/err.h"
#include "proto/xmpp/element.h"

#define CAPS_MAX_PARTS 1000  /* identities, features, forms, fields and values of one answer */
#define CAPS_MAX_BYTES 65536 /* of what is hashed (C32) */

/* XEP-0115 wants a URI of the software; its caps node is this, '#' and the ver. */
#define CAPS_NODE "urn:x-starling:server"

/* What a host of ours announces. */
struct caps_hashes {
    uint8_t sha1[20];     /* of the input of XEP-0115 */
    uint8_t sha256[32];   /* of the input of XEP-0390 */
    uint8_t sha3_256[32]; /* likewise */
};

/* `query` is the <query/> of disco#info. Appends what XEP-0115 §5.1 hashes. ERR_INVALID: ill-formed
 * (§5.4), or a text holds '<', which parts the texts and would make two answers look alike.
 * ERR_LIMIT. On an error `out` may hold a part. */
MUST_USE enum err caps_write_ver_input(
        struct arena *arena, const struct element *query, struct buf *out);
/* XEP-0390 §4.1. `lang` is what the query inherits, "" if nothing. ERR_INVALID: what the algorithm
 * refuses. ERR_LIMIT. */
MUST_USE enum err caps_write_hash_input(
        struct arena *arena, const struct element *query, struct str lang, struct buf *out);

/* The three of one answer. */
MUST_USE enum err caps_hash(
        struct arena *arena, const struct element *query, struct caps_hashes *hashes_out);

/* ERR_OK: `query` is the answer that <c hash='' ver=''/> announces. ERR_NOT_FOUND: a hash function
 * we do not know: nothing is verified (XEP-0115 §5.4). ERR_INVALID, ERR_LIMIT: it is not. */
MUST_USE enum err caps_verify_ver(
        struct arena *arena, const struct element *query, struct str hash, struct str ver);
/* The same for one <hash algo=''/> of XEP-0390 (§4.4). */
MUST_USE enum err caps_verify_hash(struct arena *arena,
        const struct element *query,
        struct str lang,
        struct str algo,
        struct str value);

/* The two <c/> of <stream:features/>. */
void caps_write_announced(struct buf *out, const struct caps_hashes *hashes);
/* Whether a disco#info node is one of those these hashes stand for. */
bool caps_names_node(const struct caps_hashes *hashes, struct str node);
