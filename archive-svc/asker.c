/* One router and the replies it has no room for yet. */
#include "archive-svc/asker.h"

#include <stdlib.h>

#include "archive-svc/append.h"
#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/metrics.h"

enum {
    /* A router that takes nothing for so long has given up on these requests; it repeats them. */
    MAX_WAITING_REPLIES = 1000,
};

struct reply {
    struct reply *next;
    struct buf record;
};

static struct metric replies_dropped = METRIC_COUNTER_INIT(
        "replies_dropped_total", "Replies a router could not take; it asks again.", NULL);

struct asker *asker_create(struct archive *archive, struct link_peer *peer)
{
    struct asker *asker = MEM_NEW(struct asker);
    asker->archive = archive;
    asker->peer = peer;
    asker->replies_tail = &asker->replies;
    metric_register(&replies_dropped);
    return asker;
}

static void drop_first_reply(struct asker *asker)
{
    struct reply *reply = asker->replies;
    asker->replies = reply->next;
    if (asker->replies == NULL) {
        asker->replies_tail = &asker->replies;
    }
    asker->reply_count--;
    buf_fini(&reply->record);
    free(reply);
}

static void drop_replies(struct asker *asker)
{
    while (asker->replies != NULL) {
        drop_first_reply(asker);
    }
}

void asker_destroy(struct asker *asker)
{
    if (asker == NULL) {
        return;
    }
    append_forget(asker);
    ASSERT(asker->appends == NULL);
    drop_replies(asker);
    free(asker);
}

void asker_meet(struct asker *asker, uint64_t boot_epoch)
{
    if (boot_epoch == asker->boot_epoch) {
        return;
    }
    asker->boot_epoch = boot_epoch;
    append_forget(asker);
    drop_replies(asker);
}

static void keep_reply(struct asker *asker, struct buf record)
{
    if (asker->reply_count >= MAX_WAITING_REPLIES) {
        metric_add(&replies_dropped, 1);
        buf_fini(&record);
        return;
    }
    struct reply *reply = MEM_NEW(struct reply);
    reply->record = record;
    *asker->replies_tail = reply;
    asker->replies_tail = &reply->next;
    asker->reply_count++;
}

void asker_reply(struct asker *asker, uint64_t boot_epoch, const Wire__Envelope *envelope)
{
    if (boot_epoch != asker->boot_epoch) {
        return;
    }
    struct buf record;
    buf_init(&record, 0);
    wire_pack(&record, envelope);
    enum err err = asker->replies != NULL ? ERR_LIMIT /* in order */
                                          : asker->archive->send(asker->peer, buf_view(&record));
    if (err == ERR_LIMIT) {
        keep_reply(asker, record);
        return;
    }
    if (err != ERR_OK) {
        metric_add(&replies_dropped, 1);
        log_error("archive",
                "reply cannot be sent",
                log_cstr("error", err_name(err)),
                log_int("bytes", record.len));
    }
    buf_fini(&record);
}

void asker_on_room(struct asker *asker)
{
    while (asker->replies != NULL
            && asker->archive->send(asker->peer, buf_view(&asker->replies->record)) != ERR_LIMIT) {
        drop_first_reply(asker);
    }
}
