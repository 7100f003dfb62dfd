/* Ends streams in batches, then waits for the answers. */
#include "edge/drain.h"

#include "chassis/base/digest.h"
#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/registry.h"
#include "edge/edge.h"
#include "edge/listeners.h"
#include "edge/session_table.h"
#include "edge/stream.h"

#define STEP_MS     50
#define FINISHED_MS 300 /* for the last bytes of the last streams */

struct drain {
    struct edge *edge;
    struct timer timer;
    int64_t ends_ms; /* all streams are to be ended by then */
    bool is_finishing;
};

static void finish(struct drain *drain)
{
    struct edge *edge = drain->edge;
    log_info("drain", "all sessions are answered for");
    registry_leave(edge->registry);
    service_drained(edge->service);
}

/* Streams to end in this step: an equal share of the rest, with jitter, so that clients do not come
 * back elsewhere all at once. */
static uint32_t share_of(const struct drain *drain)
{
    int64_t left_ms = drain->ends_ms - loop_now_ms(drain->edge->loop);
    if (left_ms <= STEP_MS) {
        return drain->edge->stream_count;
    }
    uint32_t steps = (uint32_t)(left_ms / STEP_MS);
    uint32_t share = drain->edge->stream_count / steps + 1;
    return share / 2 + (uint32_t)(random_u64() % (share + 1));
}

/* A client that may resume finds its session on another edge; an error would end it. */
static void end(struct stream *stream)
{
    if (stream->session && session_may_resume(stream->session)) {
        stream_detach(stream);
    } else {
        stream_fail(stream, STREAM_ERROR_SYSTEM_SHUTDOWN, STR_NULL);
    }
}

static void on_step(struct timer *timer, void *context)
{
    struct drain *drain = context;
    struct edge *edge = drain->edge;
    if (drain->is_finishing) {
        finish(drain);
        return;
    }
    for (uint32_t left = share_of(drain); left > 0 && edge->streams; left--) {
        end(edge->streams);
    }
    bool is_done = !edge->streams && edge->sessions->count[SESSION_LINGERING] == 0;
    drain->is_finishing = is_done;
    timer_start(loop_timers(edge->loop), timer, is_done ? FINISHED_MS : STEP_MS);
}

struct drain *drain_create(struct edge *edge)
{
    struct drain *drain = MEM_NEW(struct drain);
    drain->edge = edge;
    timer_init(&drain->timer, on_step, drain);
    return drain;
}

void drain_destroy(struct drain *drain)
{
    if (drain) {
        timer_stop(&drain->timer);
        free(drain);
    }
}

void drain_start(struct drain *drain)
{
    struct edge *edge = drain->edge;
    log_info("drain", "ending streams", log_int("streams", edge->stream_count));
    service_set_ready(edge->service, false);
    listeners_pause(edge->listeners);
    drain->ends_ms = loop_now_ms(edge->loop) + edge->settings->c2s->drain_window_ms;
    timer_start(loop_timers(edge->loop), &drain->timer, 0);
}
