/* Keys that seal TLS session tickets (RFC 5077 §4): a file all edges share, so that a client may
 * resume at any of them. Rotation: a new line on top, the old ones stay for a ticket's life. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "chassis/base/buf.h"
#include "chassis/base/err.h"

#define TICKET_KEYS_MAX 8

struct ticket_key {
    uint8_t name[16]; /* in clear in the ticket: tells which key opens it */
    uint8_t aes[32];
    uint8_t hmac[32];
};

struct ticket_keys {
    struct ticket_key items[TICKET_KEYS_MAX];
    size_t count; /* the first seals, all open */
};

/* Lines of 160 hex digits; empty lines and lines that begin with '#' do not count. On error a
 * sentence in `why`. */
MUST_USE enum err ticket_keys_parse(struct str text, struct ticket_keys *keys_out, struct buf *why);
MUST_USE enum err ticket_keys_load(const char *path, struct ticket_keys *keys_out, struct buf *why);
/* One key of this process, the same at each call: tickets outlive a reload of the certificates. */
void ticket_keys_of_process(struct ticket_keys *keys_out);
const struct ticket_key *ticket_keys_find(
        const struct ticket_keys *keys, const uint8_t name[16]); /* NULL */
