/* Shared by xml_reader.c (feeding, limits on bytes) and xml_reader_events.c (what expat reports).
 * Nothing else includes it. */
#pragma once

#include <expat.h>

#include "proto/xmpp/canonical_scan.h"
#include "proto/xmpp/stanza_flags.h"
#include "proto/xmpp/xml_memory.h"
#include "proto/xmpp/xml_reader.h"

/* Between namespace and local name in what expat reports. No namespace name can hold it: expat
 * refuses a declaration that does (A19). */
#define NS_SEPARATOR '\n'

#define PRIORITY_TEXT_BYTES 8

enum reader_state {
    READER_BEFORE_HEADER,
    READER_IN_STREAM,
    READER_CLOSED,
    READER_FAILED,
};

/* One open element inside a depth-1 element: its namespace is a range of `namespaces`. */
struct reader_level {
    size_t ns_start;
    size_t ns_len;
    size_t namespaces_len; /* before this element: where to go back to */
};

/* The token expat has begun and waits to finish: enough of it to know where it can end. */
struct reader_token {
    size_t bytes;
    char head[3];
    uint8_t head_len;
    char quote; /* the open one inside a tag, or 0 */
};

/* Everything a parser in use needs; made at the first byte, gone while idle. */
struct reader_work {
    XML_Parser parser;
    struct xml_memory memory; /* of expat */
    uint64_t fed;             /* bytes given to this parser */
    struct reader_token token;
    struct buf pending; /* gathered small reads */
    unsigned depth;     /* open elements, with the root */
    bool is_replaying;  /* the header is one we have seen before */
    bool is_stopping;   /* expat was told to stop; handlers do nothing more */
    uint64_t stop_index;

    struct buf content_ns;
    struct buf declarations; /* of the root, as a start tag has them */

    /* The current depth-1 element. */
    struct xml_element element;
    uint64_t element_start;
    uint32_t element_count;
    struct stanza_flags flags;
    bool is_tag_open; /* in `children`, to become > or /> */
    struct buf children;
    struct buf text;
    struct buf payload_ns;
    struct buf payload_name;
    struct buf head; /* copies of names and attributes */
    struct buf namespaces;
    struct reader_level *levels;
    unsigned level_capacity;
    bool is_in_priority;
    bool has_priority;
    char priority[PRIORITY_TEXT_BYTES];
    uint8_t priority_len;
};

struct xml_reader {
    struct xml_limits limits;
    struct xml_reader_handlers handlers;
    void *context;
    struct reader_work *work; /* NULL while released */
    struct str replay;        /* header for a new parser; static or heap */
    bool is_replay_owned;
    uint8_t state;      /* enum reader_state */
    uint8_t lead_bytes; /* first bytes of the stream already looked at */
    bool is_in_handler;
    bool wants_pause;
    bool wants_restart;
    enum stream_condition condition;
    const char *detail;
};

/* Sets the handlers of a new parser. */
void reader_events_attach(struct xml_reader *reader);
/* The stream has to die. Callable from a handler. */
void reader_fail(struct xml_reader *reader, enum stream_condition condition, const char *detail);
/* What children of a stanza inherit. */
struct str reader_content_ns(const struct reader_work *work);
