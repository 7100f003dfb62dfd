/* An edge says that it holds a session with stream management, and where its stream is: after a
 * takeover, or when a connection of the bus was lost. */
#include "chassis/base/arena.h"
#include "router/entity/entity.h"
#include "router/entity/sm.h"
#include "router/router.h"

/* ---- numbers */

/* Numbers a former home gave behind the last one it could leave in Redis. What the log has is as
 * good as read from there; what was volatile is unknown until the client has acknowledged it. */
static void take_former(struct entity *entity, struct sm_session *sm, const struct item *item)
{
    for (size_t i = 0; i < item->id_count; i++) {
        uint32_t sequence = item->sm.sequences[i];
        int64_t log_id = item->ids[i];
        bool is_known = !sm_sequence_is_after(sequence, sm->queue.last)
                || sm_queue_find_log(&sm->queue, log_id);
        bool is_possible = !sm_sequence_is_after(sequence, item->sm.written) && log_id > 0
                && log_id <= entity->log.last_id;
        if (is_known || !is_possible) {
            continue;
        }
        sm_note_unknown(sm, sequence - 1);
        if (sm_queue_restore(&sm->queue, sequence, log_id, NULL) != ERR_OK) {
            break; /* not in order */
        }
    }
    sm_note_unknown(sm, item->sm.written);
}

/* The first one not acknowledged that the edge's list reaches back to. */
static const struct sm_entry *first_listed(const struct sm_session *sm, const struct item *item)
{
    const struct sm_entry *entry = item->id_count > 0 ? sm->queue.unacked : NULL;
    while (entry && sm_sequence_is_after(item->sm.sequences[0], entry->sequence)) {
        entry = entry->next;
    }
    return entry;
}

/* The last number that means the same here and at the edge. In a queue from Redis there may be some
 * that another home gave and never sent; or, `has_lost`, Redis has lost some in the middle. */
static uint32_t last_agreed(
        const struct sm_session *sm, const struct item *item, bool *has_lost_out)
{
    *has_lost_out = false;
    const struct sm_entry *entry = sm->is_inherited ? first_listed(sm, item) : NULL;
    for (size_t i = 0; i < item->id_count && entry; i++) {
        uint32_t sequence = item->sm.sequences[i];
        if (!sm_sequence_is_after(sequence, sm->queue.acked)) {
            continue;
        }
        while (entry && entry->log_id == 0 && sm_sequence_is_after(sequence, entry->sequence)) {
            entry = entry->next;
        }
        if (!entry || sm_sequence_is_after(sequence, sm->reached)) {
            break;
        }
        if (entry->sequence != sequence || entry->log_id != item->ids[i]) {
            *has_lost_out = sm_sequence_is_after(entry->sequence, sequence);
            return (*has_lost_out ? sequence : entry->sequence) - 1;
        }
        entry = entry->next;
    }
    return sm_sequence_is_after(sm->queue.acked, sm->reached) ? sm->queue.acked : sm->reached;
}

/* What the client has acknowledged, the log has not heard of, and Redis has lost. */
static void take_acknowledged(
        struct entity *entity, struct resource *resource, const struct item *item)
{
    struct sm_queue *queue = &resource->sm->queue;
    for (size_t i = 0; i < item->id_count; i++) {
        uint32_t sequence = item->sm.sequences[i];
        int64_t log_id = item->ids[i];
        bool is_possible = log_id > entity->log.watermark && log_id <= entity->log.last_id;
        bool is_acked = sequence == queue->acked || sm_sequence_is_after(queue->acked, sequence);
        if (is_possible && is_acked && !sm_queue_find_log(queue, log_id)) {
            sm_queue_remember(queue, sequence, log_id);
            sm_confirm_later(entity, resource, log_id);
        }
    }
}

/* The edge's numbers behind `agreed` instead of ours, which come behind those. */
static void take_over(
        struct entity *entity, struct resource *resource, const struct item *item, uint32_t agreed)
{
    struct sm_session *sm = resource->sm;
    if (sm->has_unknown && sm_sequence_is_after(sm->unknown_until, agreed)) {
        sm->has_unknown = false; /* the edge tells */
    }
    take_former(entity, sm, item);
    sm_ack(entity, resource, item->sm.acked);
    if (sm->is_inherited) {
        take_acknowledged(entity, resource, item);
    }
    sm->is_inherited = true;
}

/* What the edge says of the numbers is the truth of the stream it holds; those behind it were given
 * here. */
static void take_numbers(struct entity *entity, struct resource *resource, const struct item *item)
{
    struct sm_session *sm = resource->sm;
    bool has_lost;
    uint32_t agreed = last_agreed(sm, item, &has_lost);
    if (!sm->is_inherited && !sm_sequence_is_after(item->sm.written, agreed)) {
        sm_ack(entity, resource, item->sm.acked);
    } else {
        struct sm_queue ours = sm_queue_split(&sm->queue, agreed);
        if (has_lost) {
            bool is_beyond = sm_sequence_is_after(item->sm.written, sm->reached);
            sm_queue_drop_volatile(&ours, is_beyond ? sm->reached : item->sm.written);
        }
        take_over(entity, resource, item, agreed);
        sm->reached = agreed; /* ours behind it get numbers anew */
        sm_note_reached(sm, item->sm.written);
        sm_queue_join(&sm->queue, &ours);
    }
    sm_spool_inherit(entity, resource);
    sm_rewind(sm, item->sm.written);
}

/* ---- who holds it */

/* The session is, or is about to be, with somebody who came later; or what is said of it cannot be.
 */
static bool is_overtaken(const struct resource *resource, const struct item *item)
{
    const struct sm_session *sm = resource->sm;
    uint32_t current = sm ? sm->attach : 1;
    int32_t ahead = (int32_t)(sm_attach_of(item->sm.attach) - current);
    bool is_same_edge = strcmp(resource->edge, item->edge) == 0;
    bool is_known = ahead == 0 && is_same_edge;
    bool is_moving = sm && sm->resume && !(is_known && sm->resume->is_granted);
    if (ahead < 0 || is_moving || (!item->sm.is_proved && !is_known)) {
        return true;
    }
    if (!sm) { /* the first attachment, which has one edge */
        return ahead == 0 && !is_same_edge;
    }
    if (!item->sm.has_sm) { /* before <enabled/>, so it has never left the edge it was bound at */
        return sm->is_detached || !is_same_edge;
    }
    /* Two homes, one after the other, gave the same number: who spoke here first has it. */
    return ahead == 0 && resource->is_told && !sm->is_detached && !is_same_edge;
}

bool sm_may_announce(struct entity *entity, struct resource *resource, const struct item *item)
{
    const struct sm_session *sm = resource->sm;
    struct egress *egress = entity->router->egress;
    if (is_overtaken(resource, item)) {
        uint32_t attach = sm_attach_of(item->sm.attach);
        egress_kick_moved(egress, item->edge, item->session, entity->bare, attach);
        return false;
    }
    bool is_held = resource->is_told && (!sm || !sm->is_detached);
    if (is_held && strcmp(resource->edge, item->edge) != 0) {
        uint32_t attach = sm ? sm->attach : 1;
        egress_kick_moved(egress, resource->edge, item->session, entity->bare, attach);
    }
    return true;
}

/* Nothing is known of it here: its queue begins with the oldest number the edge knows the meaning
 * of. */
static uint32_t first_base(const struct item *item)
{
    uint32_t acked = item->sm.acked;
    bool knows_older = item->id_count > 0 && !sm_sequence_is_after(item->sm.sequences[0], acked);
    return knows_older ? item->sm.sequences[0] - 1 : acked;
}

void sm_announce(struct entity *entity, struct resource *resource, const struct item *item)
{
    if (!item->sm.has_sm) {
        sm_end_management(entity, resource);
        return;
    }
    if (!resource->sm) {
        resource->sm = sm_session_create(entity, resource, first_base(item));
        resource->sm->is_resumable = true; /* the id the client shows tells the rest */
        resource->sm->is_inherited = true; /* whatever a former home left in Redis */
        sm_spool_open(entity);
    }
    resource->sm->is_queue_lost = false;
    if (resource->sm->attach != sm_attach_of(item->sm.attach)) {
        resource->sm->winner = (struct sm_winner){ 0, 0, 0 }; /* another home let it win */
    }
    resource->sm->attach = sm_attach_of(item->sm.attach);
    take_numbers(entity, resource, item);
    sm_attach(entity, resource);
    sm_flush(entity, resource);
}
