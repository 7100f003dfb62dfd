/* Arithmetic of stream management; all of it modulo 2^32 (XEP-0198 §4). */
#include "edge/sm.h"

#define GAP_PATIENCE_MS   3000 /* for what the home sends after an announcement */
#define GAP_MAX_ANNOUNCES 3

bool sm_parse_h(struct str text, uint32_t *h_out)
{
    uint64_t value = 0;
    if (!str_to_u64(text, &value) || value > UINT32_MAX) {
        return false;
    }
    *h_out = (uint32_t)value;
    return true;
}

enum sm_ack sm_take_ack(struct sm *sm, uint32_t h)
{
    uint32_t acked = sm->sequence_base + h;
    if ((int32_t)(acked - sm->written) > 0) {
        return SM_ACK_TOO_HIGH;
    }
    if ((int32_t)(acked - sm->acked) <= 0) {
        /* Said before, if it is not from before the first one: h = 2^32 - 1 takes nothing back. */
        bool was_sent = sm->acked - acked <= sm->acked - sm->sequence_base;
        return was_sent ? SM_ACK_OLD : SM_ACK_TOO_HIGH;
    }
    sm->acked = acked;
    return SM_ACK_NEWS;
}

enum sm_order sm_take_sequence(struct sm *sm, uint32_t sequence)
{
    if ((int32_t)(sequence - sm->written) <= 0) {
        return SM_REPEAT;
    }
    if (sequence != sm->written + 1) {
        return SM_GAP;
    }
    sm->written = sequence;
    sm->gap_ms = 0;
    sm->gap_announces = 0;
    return SM_NEXT;
}

int64_t sm_gap_due_ms(const struct sm *sm)
{
    return sm->gap_announces > 0 ? sm->gap_ms + GAP_PATIENCE_MS : 0;
}

enum sm_gap sm_note_gap(struct sm *sm, int64_t now_ms)
{
    if (sm->gap_announces > 0 && now_ms - sm->gap_ms < GAP_PATIENCE_MS) {
        return SM_GAP_WAIT;
    }
    if (sm->gap_announces == GAP_MAX_ANNOUNCES) {
        return SM_GAP_HOPELESS;
    }
    sm->gap_announces++;
    sm->gap_ms = now_ms;
    return SM_GAP_ANNOUNCE;
}
