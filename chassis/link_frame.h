/* Frames of the bus (chassis/link_frame.proto): bytes to struct and back. Pure; used by the link
 * only. A frame is a 4-byte big-endian length followed by that many bytes of protobuf. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "chassis/base/arena.h"
#include "chassis/base/buf.h"
#include "chassis/base/err.h"
#include "chassis/base/str.h"

enum {
    LINK_FRAME_HEADER_BYTES = 4,
    /* Everything of a DATA frame that is not records, generously; and per record. */
    LINK_FRAME_OVERHEAD_BYTES = 64,
    LINK_RECORD_OVERHEAD_BYTES = 8,
};

enum link_frame_type {
    LINK_FRAME_UNKNOWN, /* from a newer version: to be ignored */
    LINK_FRAME_HELLO,
    LINK_FRAME_AUTH,
    LINK_FRAME_WELCOME,
    LINK_FRAME_DATA,
    LINK_FRAME_ACK,
    LINK_FRAME_PING,
    LINK_FRAME_PONG,
    LINK_FRAME_ERROR,
};

enum link_error {
    LINK_ERROR_UNSPECIFIED,
    LINK_ERROR_VERSION,
    LINK_ERROR_DENIED,
    LINK_ERROR_PROTOCOL,
    LINK_ERROR_STALE,
};

struct link_hello {
    uint32_t version_min, version_max;
    struct str node;
    uint32_t role;
    uint64_t boot_epoch;
    struct str nonce;
    struct str address;
    uint64_t max_frame_bytes;
};

struct link_frame {
    enum link_frame_type type;
    union {
        struct link_hello hello;
        struct {
            struct str mac;
        } auth;
        struct {
            struct str mac;
            uint64_t last_seq;
            uint64_t credit_bytes;
        } welcome;
        struct {
            uint64_t first_seq;
            uint64_t settled_seq; /* 0: nothing was given up */
            const struct str *records;
            size_t count;
        } data;
        struct {
            uint64_t seq;
            uint64_t credit_bytes;
        } ack;
        struct {
            enum link_error code;
            struct str text;
        } error;
    };
};

const char *link_error_name(enum link_error code);

/* Appends header and body. The type must be a known one. */
void link_frame_encode(struct buf *out, const struct link_frame *frame);

/* Looks at the header of what starts `bytes`; `length_out` gets the size of the whole frame.
 * ERR_AGAIN: fewer than 4 bytes. ERR_PROTOCOL: announces nothing. ERR_LIMIT: announces more than
 * `max_body_bytes` (F02). */
MUST_USE enum err link_frame_measure(struct str bytes, size_t max_body_bytes, size_t *length_out);

/* `body` is what follows the header. Views in `frame_out` live in `arena`. ERR_PROTOCOL: no frame.
 */
MUST_USE enum err link_frame_decode(
        struct arena *arena, struct str body, struct link_frame *frame_out);
