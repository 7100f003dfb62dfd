/* The appends of each router, one transaction after the other (see append.h). */
#include "archive-svc/append.h"

#include <stdlib.h>

#include "archive-svc/archive_store.h"
#include "archive-svc/settings.h"
#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/loop.h"
#include "chassis/metrics.h"
#include "chassis/service.h"

enum {
    /* A router has one in flight; repeats after a lost link may add a few. */
    MAX_WAITING = 64,
};

struct append_job {
    struct append_job *next;
    struct asker *asker;
    uint64_t boot_epoch;
    struct arena arena;
    const Wire__Append *append;
    int64_t began_us;
    bool has_made_room;
};

static struct metric appends_total =
        METRIC_COUNTER_INIT("appends_total", "Append transactions committed.", NULL);
static struct metric entries_total =
        METRIC_COUNTER_INIT("append_entries_total", "Log entries in committed appends.", NULL);
static struct metric rows_total = METRIC_COUNTER_INIT(
        "rows_total", "Log entries written: repeats and fenced ones not.", NULL);
static struct metric fenced_total =
        METRIC_COUNTER_INIT("append_fenced_total", "Shards refused for an old epoch.", NULL);
static struct metric append_seconds = METRIC_HISTOGRAM_INIT(
        "append_seconds", "From the arrival of an append to its commit, waiting included.", NULL);
static struct metric_family failures_total = {
    .name = "append_failures_total",
    .help = "Appends that were not committed, or not known to be.",
    .label = "class",
};

static void job_start(struct append_job *job);

void append_register_metrics(void)
{
    metric_register(&appends_total);
    metric_register(&entries_total);
    metric_register(&rows_total);
    metric_register(&fenced_total);
    metric_register(&append_seconds);
}

static void job_destroy(struct append_job *job)
{
    struct archive *archive = job->asker->archive;
    job->asker->append_count--;
    archive->appends_pending--;
    arena_fini(&job->arena);
    free(job);
    if (archive->is_draining && archive->appends_pending == 0 && archive->on_idle != NULL) {
        archive->on_idle(archive->on_idle_context);
    }
}

static void reply(struct asker *asker,
        uint64_t boot_epoch,
        const Wire__Append *append,
        Wire__Status status,
        const struct archive_append_result *result)
{
    Wire__AppendReply answer = WIRE__APPEND_REPLY__INIT;
    answer.request = append->request;
    answer.status = status;
    uint32_t *fenced = NULL;
    if (result != NULL && result->fenced_count > 0) {
        fenced = mem_calloc(result->fenced_count, sizeof(uint32_t));
        memcpy(fenced, result->fenced, result->fenced_count * sizeof(uint32_t));
        answer.fenced = fenced;
        answer.n_fenced = result->fenced_count;
    }
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_APPEND_REPLY;
    envelope.append_reply = &answer;
    failpoint("append-before-reply");
    asker_reply(asker, boot_epoch, &envelope);
    free(fenced);
}

/* The next append of this router begins only after this one is answered. */
static void job_finish(
        struct append_job *job, Wire__Status status, const struct archive_append_result *result)
{
    struct asker *asker = job->asker;
    reply(asker, job->boot_epoch, job->append, status, result);
    asker->appends = job->next;
    job_destroy(job);
    if (asker->appends != NULL) {
        job_start(asker->appends);
    }
}

static void on_room_made(void *context, enum err err)
{
    struct append_job *job = context;
    if (err == ERR_OK) {
        job_start(job);
        return;
    }
    metric_family_add(&failures_total, "no-partition", 1);
    log_error("archive", "no partition can be made", log_cstr("error", err_name(err)));
    job_finish(job, WIRE__STATUS__STATUS_TEMPORARY, NULL);
}

static void on_appended(void *context, enum err err, const struct archive_append_result *result)
{
    struct append_job *job = context;
    struct archive *archive = job->asker->archive;
    if (err == ERR_NOT_FOUND && !job->has_made_room) {
        job->has_made_room = true; /* once: ids of more weeks than that come again with a repeat */
        archive_store_make_room(archive->store, job->append, on_room_made, job);
        return;
    }
    if (err != ERR_OK) {
        metric_family_add(&failures_total, err_name(err), 1);
        log_warn("archive", "append failed", log_cstr("error", err_name(err)));
        job_finish(job, WIRE__STATUS__STATUS_TEMPORARY, NULL);
        return;
    }
    failpoint("append-after-commit");
    int64_t elapsed_us = loop_wall_us(archive->loop) - job->began_us;
    metric_observe_us(&append_seconds, elapsed_us > 0 ? elapsed_us : 0);
    metric_add(&appends_total, 1);
    metric_add(&entries_total, (int64_t)job->append->n_entries);
    metric_add(&rows_total, result->rows);
    metric_add(&fenced_total, (int64_t)result->fenced_count);
    job_finish(job, WIRE__STATUS__STATUS_OK, result);
}

static void job_start(struct append_job *job)
{
    enum err err = archive_store_append(job->asker->archive->store, job->append, on_appended, job);
    if (err != ERR_OK) {
        log_error("archive", "append is malformed", log_int("request", job->append->request));
        metric_family_add(&failures_total, err_name(err), 1);
        job_finish(job, WIRE__STATUS__STATUS_INVALID, NULL);
    }
}

static bool is_too_large(const Wire__Append *append, const struct archive_settings *settings)
{
    size_t max = (size_t)settings->max_batch;
    return append->n_entries > max || append->n_inputs > max || append->n_watermarks > max
            || append->n_epochs > max;
}

static Wire__Status refusal(const struct asker *asker, const Wire__Append *append)
{
    if (asker->archive->is_draining || asker->append_count >= MAX_WAITING) {
        return WIRE__STATUS__STATUS_TEMPORARY; /* nothing happened: to be repeated, elsewhere */
    }
    if (is_too_large(append, asker->archive->settings)) {
        return WIRE__STATUS__STATUS_LIMIT;
    }
    return WIRE__STATUS__STATUS_OK;
}

/* A repeat of what is still here: the answer to that is the answer. */
static bool is_at_work(const struct asker *asker, uint64_t request)
{
    for (const struct append_job *job = asker->appends; job != NULL; job = job->next) {
        if (job->append->request == request && job->boot_epoch == asker->boot_epoch) {
            return true;
        }
    }
    return false;
}

void append_take(struct asker *asker, struct arena arena, const Wire__Append *append)
{
    if (is_at_work(asker, append->request)) {
        arena_fini(&arena);
        return;
    }
    Wire__Status status = refusal(asker, append);
    if (status != WIRE__STATUS__STATUS_OK) {
        reply(asker, asker->boot_epoch, append, status, NULL);
        arena_fini(&arena);
        return;
    }
    struct append_job *job = MEM_NEW(struct append_job);
    job->asker = asker;
    job->boot_epoch = asker->boot_epoch;
    job->arena = arena;
    job->append = append;
    job->began_us = loop_wall_us(asker->archive->loop);
    asker->append_count++;
    asker->archive->appends_pending++;
    struct append_job **tail = &asker->appends;
    while (*tail != NULL) {
        tail = &(*tail)->next;
    }
    *tail = job;
    if (asker->appends == job) {
        job_start(job);
    }
}

void append_forget(struct asker *asker)
{
    if (asker->appends == NULL) {
        return;
    }
    struct append_job *job = asker->appends->next;
    asker->appends->next = NULL;
    while (job != NULL) {
        struct append_job *next = job->next;
        job_destroy(job);
        job = next;
    }
}
