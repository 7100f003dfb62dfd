/* From a parsed element to a stanza with prepared addresses, and the verdict of the checks that
 * need no knowledge of the recipient (C01, C02, C04, C07). Pure. */
#pragma once

#include "chassis/base/arena.h"
#include "proto/xmpp/stanza.h"
#include "proto/xmpp/stanza_error.h"
#include "proto/xmpp/stream_error.h"
#include "proto/xmpp/xml_reader.h"

enum input_verdict {
    INPUT_FORWARD,
    INPUT_IGNORE, /* nonsense that must not be answered */
    INPUT_ANSWER, /* with `stanza_error`, or an empty result when that is NONE */
    INPUT_FAIL,   /* the stream, with `stream_error` */
};

struct input_identity {
    struct str full; /* prepared */
    struct str bare;
    struct str lang; /* of the stream; "" : none */
};

struct input_result {
    enum input_verdict verdict;
    enum stanza_condition stanza_error;
    enum stream_condition stream_error;
    /* With from = full, or as a component said. For INPUT_ANSWER what the reply is made from; a
     * malformed `to` is empty. */
    struct stanza stanza;
};

/* `element` is a message, presence or iq of jabber:client. Views live as long as `element` and
 * `arena`. */
void stanza_input_check(struct arena *arena,
        const struct input_identity *identity,
        const struct xml_element *element,
        struct input_result *result_out);

/* The same for a stanza of the component `domain` (XEP-0114), which may come from anybody there and
 * has to name both sides: without `from`, improper-addressing; with a foreign one, invalid-from. */
void stanza_input_check_component(struct arena *arena,
        struct str domain,
        const struct xml_element *element,
        struct input_result *result_out);

/* Attribute without a namespace; "" when absent. */
struct str xml_element_attribute(const struct xml_element *element, struct str name);
