/* Answers to LogOpen, LogRead and LogErase: store calls with the request remembered. */
#include "archive-svc/log_read.h"

#include <stdlib.h>

#include "archive-svc/archive_store.h"
#include "archive-svc/settings.h"
#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/metrics.h"

struct log_request {
    struct asker *asker;
    uint64_t boot_epoch;
    uint64_t request;
};

static struct metric_family reads_total = {
    .name = "log_requests_total",
    .help = "Requests to open, read or erase a log.",
    .label = "verb",
};
static struct metric_family failures_total = {
    .name = "log_request_failures_total",
    .help = "Of these, those that failed.",
    .label = "class",
};

static struct log_request *request_create(struct asker *asker, uint64_t request, const char *verb)
{
    metric_family_add(&reads_total, verb, 1);
    struct log_request *each = MEM_NEW(struct log_request);
    each->asker = asker;
    each->boot_epoch = asker->boot_epoch;
    each->request = request;
    return each;
}

static Wire__Status status_of(enum err err)
{
    if (err == ERR_OK) {
        return WIRE__STATUS__STATUS_OK;
    }
    metric_family_add(&failures_total, err_name(err), 1);
    log_warn("archive", "log request failed", log_cstr("error", err_name(err)));
    return WIRE__STATUS__STATUS_TEMPORARY;
}

/* Frees the request. */
static void reply(struct log_request *request, const Wire__Envelope *envelope)
{
    asker_reply(request->asker, request->boot_epoch, envelope);
    free(request);
}

static void on_opened(void *context, enum err err, Wire__LogOpenReply *answer)
{
    struct log_request *request = context;
    answer->request = request->request;
    answer->status = status_of(err);
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_LOG_OPEN_REPLY;
    envelope.log_open_reply = answer;
    reply(request, &envelope);
}

void log_read_open(struct asker *asker, const Wire__LogOpen *open)
{
    struct log_request *request = request_create(asker, open->request, "open");
    archive_store_open(
            asker->archive->store, open->owner, open->origins_after_id, on_opened, request);
}

static void on_read(void *context, enum err err, Wire__LogReadReply *answer)
{
    struct log_request *request = context;
    answer->request = request->request;
    answer->status = status_of(err);
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_LOG_READ_REPLY;
    envelope.log_read_reply = answer;
    reply(request, &envelope);
}

/* 0 asks for as much as there may be. */
static uint32_t capped(uint32_t asked, int64_t max)
{
    return asked == 0 || asked > max ? (uint32_t)max : asked;
}

void log_read_page(struct asker *asker, const Wire__LogRead *read)
{
    const struct archive_settings *settings = asker->archive->settings;
    struct archive_page page = {
        .owner = read->owner,
        .after_id = read->after_id,
        .max_entries = capped(read->max_entries, settings->read_max_entries),
        .max_bytes = capped(read->max_bytes, settings->read_max_bytes),
    };
    struct log_request *request = request_create(asker, read->request, "read");
    archive_store_read(asker->archive->store, &page, on_read, request);
}

static void on_erased(void *context, enum err err)
{
    struct log_request *request = context;
    Wire__LogEraseReply answer = WIRE__LOG_ERASE_REPLY__INIT;
    answer.request = request->request;
    answer.status = status_of(err);
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_LOG_ERASE_REPLY;
    envelope.log_erase_reply = &answer;
    reply(request, &envelope);
}

void log_read_erase(struct asker *asker, const Wire__LogErase *erase)
{
    struct log_request *request = request_create(asker, erase->request, "erase");
    archive_store_erase(asker->archive->store, erase->owner, on_erased, request);
}
