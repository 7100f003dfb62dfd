/* The way in: unpacks records and hands them to their verb. */
#include "archive-svc/archive.h"

#include "archive-svc/append.h"
#include "archive-svc/asker.h"
#include "archive-svc/log_read.h"
#include "chassis/base/arena.h"
#include "chassis/log.h"
#include "chassis/metrics.h"

static struct metric ignored_total = METRIC_COUNTER_INIT(
        "records_ignored_total", "Records that are no verb of this service.", NULL);

/* True: it took the arena. */
static bool dispatch(struct asker *asker, struct arena arena, const Wire__Envelope *envelope)
{
    /* Not a switch: the enum has thirty verbs, and -Wswitch-enum wants each of them named. */
    if (envelope->verb_case == WIRE__ENVELOPE__VERB_APPEND) {
        append_take(asker, arena, envelope->append);
        return true;
    }
    if (envelope->verb_case == WIRE__ENVELOPE__VERB_LOG_OPEN) {
        log_read_open(asker, envelope->log_open);
    } else if (envelope->verb_case == WIRE__ENVELOPE__VERB_LOG_READ) {
        log_read_page(asker, envelope->log_read);
    } else if (envelope->verb_case == WIRE__ENVELOPE__VERB_LOG_ERASE) {
        log_read_erase(asker, envelope->log_erase);
    } else {
        metric_add(&ignored_total, 1); /* a shard map, for example */
    }
    return false;
}

void archive_on_record(
        struct archive *archive, struct asker *asker, uint64_t boot_epoch, struct str record)
{
    (void)archive;
    asker_meet(asker, boot_epoch);
    struct arena arena;
    arena_init(&arena, 0);
    const Wire__Envelope *envelope = NULL;
    if (wire_unpack(&arena, record, &envelope) != ERR_OK) {
        metric_add(&ignored_total, 1);
        log_debug("archive", "record is no envelope", log_int("bytes", record.len));
        arena_fini(&arena);
        return;
    }
    if (!dispatch(asker, arena, envelope)) {
        arena_fini(&arena);
    }
}

void archive_drain(struct archive *archive, void (*on_idle)(void *context), void *context)
{
    archive->is_draining = true;
    archive->on_idle = on_idle;
    archive->on_idle_context = context;
    if (archive->appends_pending == 0) {
        on_idle(context);
    }
}
