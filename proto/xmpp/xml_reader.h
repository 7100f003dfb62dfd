/* The only place where bytes from outside become XML (expat). Feeds on a stream, yields the stream
 * header, then one element at a time: its header and its children as canonical XML, written while
 * parsing, so no tree is built. All limits of HOSTILE-INPUTS hold here: bytes, token bytes, depth,
 * elements, attributes by bytes, encodings; no DTD, comments or PIs.
 *
 * Canonical XML (canonical.h): every element that is not in its parent's namespace carries xmlns=;
 * no prefixes on elements; attributes with a namespace get a declared prefix (xml: stays); text
 * re-escaped; no white space is lost inside children. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/buf.h"
#include "chassis/base/err.h"
#include "proto/xmpp/stanza.h"
#include "proto/xmpp/stream_error.h"

struct xml_reader;

struct xml_limits {
    size_t max_stanza_bytes; /* raw bytes of one depth-1 element; 10000 before authentication,
                                262144 after */
    size_t max_token_bytes;  /* one unfinished tag or text piece; 10000 / 65536 */
    uint32_t max_depth;      /* 16 / 100 */
    uint32_t max_elements;   /* in one depth-1 element: 32 / 25000 */
};

struct xml_stream_header {
    struct str ns; /* content namespace: jabber:client */
    struct str to, from, id, version,
            lang; /* raw text, each cut to limits; lang to 35 bytes; "" when absent */
    bool has_to, has_version;
};

/* A depth-1 element. `attributes` other than those of a stanza are kept for stream-level elements
 * (mechanism, h, previd, ...). */
struct xml_attribute {
    struct str ns; /* "" for none */
    struct str name;
    struct str value;
};

struct xml_element {
    struct str ns;
    struct str name;
    const struct xml_attribute *attributes;
    size_t attribute_count;
    struct str text;     /* character data directly inside, e.g. base64 of SASL */
    struct str children; /* canonical XML of the child elements */
    /* Filled while parsing, as struct stanza wants them; addresses are raw here: the stream
     * prepares them. */
    uint32_t flags;
    uint32_t child_count;
    struct str payload_ns;
    struct str payload_name;
    int32_t priority;
    bool has_text; /* non-white character data beside child elements */
    size_t raw_bytes;
};

/* All views are valid during the call only. Handlers must not call xml_reader_* except
 * xml_reader_pause. */
struct xml_reader_handlers {
    void (*on_header)(void *context, const struct xml_stream_header *header);
    void (*on_element)(void *context, const struct xml_element *element);
    void (*on_close)(void *context); /* </stream:stream> */
};

/* Costs memory only while in use: the expat parser is made at the first byte and given back by
 * xml_reader_release when idle. */
struct xml_reader *xml_reader_create(
        const struct xml_limits *limits, const struct xml_reader_handlers *handlers, void *context);
void xml_reader_destroy(struct xml_reader *reader); /* accepts NULL; never from inside a handler */
void xml_reader_set_limits(struct xml_reader *reader, const struct xml_limits *limits);
/* A new stream begins with the next byte (after STARTTLS, after SASL). Allowed from inside a
 * handler: bytes of the same feed behind the current element are then NOT parsed and reported by
 * the return of xml_reader_feed's consumed count. */
void xml_reader_restart(struct xml_reader *reader);
/* From inside a handler: stop after this element; feed returns what it consumed. Used by STARTTLS
 * and by back pressure. */
void xml_reader_pause(struct xml_reader *reader);

/* Parses; `*consumed_out` <= data.len (less only after pause or restart: feed the rest again
 * later). STREAM_ERROR_NONE, or the condition the stream has to die with; then only destroy is
 * legal. `*detail_out` (optional) is a constant word for the log. */
MUST_USE enum stream_condition xml_reader_feed(
        struct xml_reader *reader, struct str data, size_t *consumed_out, const char **detail_out);

bool xml_reader_is_idle(const struct xml_reader *reader); /* between stanzas, nothing half-read */
/* Gives the parser's memory back while idle; the next feed makes a new one and replays a synthetic
 * header. */
void xml_reader_release(struct xml_reader *reader);
size_t xml_reader_memory_bytes(const struct xml_reader *reader);
