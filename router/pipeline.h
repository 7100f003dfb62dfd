/* Runs the features' hooks in order and dispatches IQ requests by their table. */
#pragma once

#include "router/feature.h"

/* RFC 6120 §8.2.3, RFC 6121 (C04). */
bool pipeline_is_well_made(const struct stanza *stanza);
/* What a local session sent: the rules every stanza has to keep (C04), then on_outbound. */
enum verdict pipeline_outbound(struct turn *turn);
/* What reached the entity, before RFC 6121 §8 decides about it. */
enum verdict pipeline_inbound(struct turn *turn);
/* An IQ of type get or set for the host or for this account; REJECT when no feature wants it. */
enum verdict pipeline_iq(struct turn *turn, enum iq_targets target);
void pipeline_session_open(struct turn *turn, struct resource *session);
void pipeline_session_close(struct turn *turn, struct resource *session);
void pipeline_account_removed(struct turn *turn);
