/* What streams count. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "edge/settings.h"
#include "edge/transport.h"
#include "proto/xmpp/stanza.h"
#include "proto/xmpp/stream_error.h"

/* Shows all of them with 0 before anything happened. */
void stream_metrics_register(void);
void stream_metrics_preauth(uint32_t count);
void stream_metrics_accepted(enum listener_kind kind);
void stream_metrics_error_out(enum stream_condition condition);
void stream_metrics_error_in(void);
void stream_metrics_end(enum transport_end end);
void stream_metrics_stanza(enum stanza_kind kind, bool is_inbound);
/* `mechanism` is a constant. */
void stream_metrics_sasl(const char *mechanism, enum sasl_condition result);
void stream_metrics_sm_enabled(void);
void stream_metrics_sm_resume(const char *result); /* a constant */
void stream_metrics_binding_mismatch(void);
void stream_metrics_sni_mismatch(void);
