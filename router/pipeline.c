/* The features' hooks in order; IQ dispatch. */
#include "router/pipeline.h"

/* RFC 6120 §8.2.3 (C04). A message of unknown type counts as normal (RFC 6121 §5.2.2). */
bool pipeline_is_well_made(const struct stanza *stanza)
{
    switch (stanza->kind) {
    case STANZA_IQ:
        switch ((int)stanza->type) {
        case STANZA_TYPE_GET:
        case STANZA_TYPE_SET: return stanza->id.len > 0 && stanza->child_count == 1;
        case STANZA_TYPE_RESULT: return stanza->id.len > 0 && stanza->child_count <= 1;
        case STANZA_TYPE_ERROR: return stanza->id.len > 0;
        default: return false;
        }
    case STANZA_PRESENCE: return stanza->type != STANZA_TYPE_INVALID;
    case STANZA_MESSAGE: return true;
    }
    return false;
}

enum verdict pipeline_outbound(struct turn *turn)
{
    if (!pipeline_is_well_made(turn->stanza)) {
        return turn_reject(turn, STANZA_ERROR_BAD_REQUEST, STR_NULL);
    }
    for (const struct feature *const *item = features; *item; item++) {
        if ((*item)->on_outbound) {
            enum verdict verdict = (*item)->on_outbound(turn);
            if (verdict != VERDICT_PASS) {
                return verdict;
            }
        }
    }
    return VERDICT_PASS;
}

enum verdict pipeline_inbound(struct turn *turn)
{
    for (const struct feature *const *item = features; *item; item++) {
        if ((*item)->on_inbound) {
            enum verdict verdict = (*item)->on_inbound(turn);
            if (verdict != VERDICT_PASS) {
                return verdict;
            }
        }
    }
    return VERDICT_PASS;
}

static const struct feature_iq *find_iq(
        const struct feature *feature, const struct stanza *stanza, enum iq_targets target)
{
    unsigned type = stanza->type == STANZA_TYPE_GET ? IQ_GET : IQ_SET;
    for (size_t i = 0; i < FEATURE_MAX_IQ && feature->iq[i].handle; i++) {
        const struct feature_iq *entry = &feature->iq[i];
        if ((entry->types & type) && (entry->targets & (unsigned)target)
                && str_equal(stanza->payload_ns, str_from_cstr(entry->ns))
                && str_equal(stanza->payload_name, str_from_cstr(entry->name))) {
            return entry;
        }
    }
    return NULL;
}

enum verdict pipeline_iq(struct turn *turn, enum iq_targets target)
{
    for (const struct feature *const *item = features; *item; item++) {
        const struct feature_iq *entry = find_iq(*item, turn->stanza, target);
        if (!entry || !feature_is_enabled(*item, turn)) {
            continue;
        }
        struct iq iq = { turn->stanza, turn_parse_children(turn) };
        if (!iq.payload) {
            return turn_reject(turn, STANZA_ERROR_BAD_REQUEST, STR_NULL);
        }
        enum verdict verdict = entry->handle(turn, &iq);
        if (verdict != VERDICT_PASS) {
            return verdict;
        }
    }
    return turn_reject(turn, STANZA_ERROR_SERVICE_UNAVAILABLE, STR_NULL); /* C05 */
}

void pipeline_session_open(struct turn *turn, struct resource *session)
{
    for (const struct feature *const *item = features; *item; item++) {
        if ((*item)->on_session_open) {
            (*item)->on_session_open(turn, session);
        }
    }
}

void pipeline_session_close(struct turn *turn, struct resource *session)
{
    for (const struct feature *const *item = features; *item; item++) {
        if ((*item)->on_session_close) {
            (*item)->on_session_close(turn, session);
        }
    }
}

void pipeline_account_removed(struct turn *turn)
{
    for (const struct feature *const *item = features; *item; item++) {
        if ((*item)->on_account_removed) {
            (*item)->on_account_removed(turn);
        }
    }
}
