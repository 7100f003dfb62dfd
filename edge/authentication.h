/* One authentication from its mechanism to its result: between what the client says, the
 * mechanism's state machine (sasl/) and the router that knows the verifiers. Shared by both
 * profiles, RFC 6120 §6 (feature/sasl.c) and XEP-0388 (feature/sasl2.c), which read and write the
 * XML around it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "chassis/base/str.h"
#include "edge/sasl/mechanism.h"

struct stream;

struct sasl_profile {
    const char *ns;     /* of challenge and failure */
    bool is_extensible; /* XEP-0388: tokens are a mechanism, too */
    /* The client is told next to answer; may be NULL. */
    void (*on_challenge)(struct stream *stream);
    /* The identity is proved: negotiation->bare and grant are set. `data` is the mechanism's last
     * word. */
    void (*on_success)(struct stream *stream, struct str data);
    /* In front of the failure's text; may be NULL. */
    void (*on_failure)(struct stream *stream);
};

/* RFC 6120 §6.3.4: never alone without TLS, unless the operator has waived it. */
bool authentication_is_allowed(const struct stream *stream);
/* `mechanism` may be used on this stream. */
bool authentication_offers(const struct stream *stream, const struct sasl_mechanism *mechanism);
/* Looks which channel bindings the connection has. */
void authentication_find_bindings(struct stream *stream);
/* Wrong passwords, or attempts of any kind, are enough (B17). */
bool authentication_has_failed_too_often(const struct stream *stream);

/* Gives up a running exchange and begins another; false: not a mechanism of this stream (B11). */
bool authentication_start(
        struct stream *stream, const struct sasl_profile *profile, struct str mechanism);
/* Base64 of the client's next message; `has_data` false: none was sent. */
void authentication_step(struct stream *stream, struct str base64, bool has_data);
void authentication_fail(
        struct stream *stream, const struct sasl_profile *profile, enum sasl_condition condition);
/* A failure was held back (sasl_failure_delay); now it is told. */
void authentication_tell_failure(struct stream *stream);
/* The exchange is over, whatever came of it. */
void authentication_end(struct stream *stream);
