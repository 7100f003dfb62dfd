/* One pass: make partitions, drop old ones, clean in steps, then wait. */
#include "archive-svc/retention.h"

#include <stdlib.h>

#include "archive-svc/archive.h"
#include "archive-svc/archive_store.h"
#include "archive-svc/settings.h"
#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/loop.h"
#include "chassis/metrics.h"

enum {
    PASS_MS = 30000,
    PASSES_BETWEEN_INPUTS = 120, /* an hour: it reads the whole table */
    MAX_STEPS = 1000,            /* of cleaning in one pass */
};

static const int64_t us_per_day = INT64_C(86400000000);

struct retention {
    struct archive *archive;
    struct timer timer;
    unsigned pass;
    unsigned steps;
};

static struct metric deleted_total = METRIC_COUNTER_INIT(
        "retention_deleted_total", "Delivered log entries deleted after the replay window.", NULL);
static struct metric dropped_total = METRIC_COUNTER_INIT(
        "retention_partitions_dropped_total", "Weeks of the log dropped as too old.", NULL);

static void start_cleaning(struct retention *retention);

static struct archive_age age_of(const struct retention *retention, int64_t age_us)
{
    return (struct archive_age){
        .now_us = loop_wall_us(retention->archive->loop),
        .age_us = age_us,
    };
}

static void end_pass(struct retention *retention, const char *step, enum err err)
{
    if (err != ERR_OK && err != ERR_CLOSED) {
        log_warn("retention",
                "pass ended early",
                log_cstr("step", step),
                log_cstr("error", err_name(err)));
    }
    if (err != ERR_CLOSED) {
        timer_start(loop_timers(retention->archive->loop), &retention->timer, PASS_MS);
    }
}

static void on_inputs_cleaned(void *context, enum err err, int64_t count)
{
    struct retention *retention = context;
    if (err == ERR_OK && count > 0) {
        log_info("retention", "stale session inputs deleted", log_int("rows", count));
    }
    end_pass(retention, "inputs", err);
}

static void on_cleaned(void *context, enum err err, int64_t owners, int64_t entries)
{
    struct retention *retention = context;
    metric_add(&deleted_total, entries);
    if (err != ERR_OK) {
        end_pass(retention, "clean", err);
    } else if (owners == ARCHIVE_CLEAN_OWNERS && ++retention->steps < MAX_STEPS) {
        start_cleaning(retention);
    } else if (retention->pass++ % PASSES_BETWEEN_INPUTS == 0) {
        archive_store_clean_inputs(retention->archive->store, on_inputs_cleaned, retention);
    } else {
        end_pass(retention, "clean", ERR_OK);
    }
}

static void start_cleaning(struct retention *retention)
{
    const struct archive_settings *settings = retention->archive->settings;
    archive_store_clean(retention->archive->store,
            age_of(retention, settings->replay_window_ms * 1000),
            on_cleaned,
            retention);
}

/* What waits for a lock too long comes again with the next pass; cleaning goes on. */
static void on_dropped(void *context, enum err err, int64_t count)
{
    struct retention *retention = context;
    if (err == ERR_CLOSED) {
        return;
    }
    if (err != ERR_OK) {
        log_warn("retention", "old partitions not dropped", log_cstr("error", err_name(err)));
    } else if (count > 0) {
        metric_add(&dropped_total, count);
        log_info("retention", "old partitions dropped", log_int("weeks", count));
    }
    retention->steps = 0;
    start_cleaning(retention);
}

static void on_partitions(void *context, enum err err, int64_t count)
{
    struct retention *retention = context;
    if (err != ERR_OK) {
        end_pass(retention, "partitions", err);
        return;
    }
    if (count > 0) {
        log_info("retention", "partitions made", log_int("weeks", count));
    }
    int64_t age_us = retention->archive->settings->retention_days * us_per_day;
    archive_store_drop_partitions(
            retention->archive->store, age_of(retention, age_us), on_dropped, retention);
}

static void on_timer(struct timer *timer, void *context)
{
    (void)timer;
    struct retention *retention = context;
    archive_store_ensure_partitions(retention->archive->store,
            loop_wall_us(retention->archive->loop),
            on_partitions,
            retention);
}

struct retention *retention_create(struct archive *archive)
{
    struct retention *retention = MEM_NEW(struct retention);
    retention->archive = archive;
    metric_register(&deleted_total);
    metric_register(&dropped_total);
    timer_init(&retention->timer, on_timer, retention);
    timer_start(loop_timers(archive->loop), &retention->timer, 0);
    return retention;
}

void retention_destroy(struct retention *retention)
{
    if (retention != NULL) {
        timer_stop(&retention->timer);
        free(retention);
    }
}
