/* Who is there is listed at once, as addresses; the list is worked off in portions. */
#include "router/announcer.h"

#include <utlist.h>

#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/loop.h"
#include "router/entity/entity_table.h"
#include "router/host_message.h"
#include "router/router.h"

#define PORTION    200
#define PORTION_MS 10

struct announcement {
    struct arena arena; /* holds it */
    struct str host;
    struct str subject;
    struct str text;
    struct origin origin;
    struct buf addresses; /* each with a NUL behind it */
    struct str rest;
    struct announcement *prev;
    struct announcement *next;
};

struct announcer {
    struct router *router;
    struct timer timer;
    struct announcement *list; /* oldest first */
    size_t count;
};

static void remove_first(struct announcer *announcer)
{
    struct announcement *first = announcer->list;
    struct arena arena = first->arena;
    DL_DELETE(announcer->list, first);
    announcer->count--;
    buf_fini(&first->addresses);
    arena_fini(&arena);
}

static void send_to(struct announcer *announcer, struct announcement *announcement, struct str to)
{
    const struct host_message message = {
        .host = announcement->host,
        .to = to,
        .subject = announcement->subject,
        .body = announcement->text,
        .type = STANZA_TYPE_HEADLINE,
        .origin = announcement->origin,
    };
    announcement->origin.counter++;
    if (entity_is_in_use(announcer->router->entities, to)) {
        host_message_send(announcer->router, &message, NULL, NULL);
    }
}

static void on_due(struct timer *timer, void *context)
{
    struct announcer *announcer = context;
    struct announcement *first = announcer->list;
    for (int i = 0; i < PORTION && first->rest.len > 0; i++) {
        send_to(announcer, first, str_cut(&first->rest, '\0'));
    }
    if (first->rest.len == 0) {
        remove_first(announcer);
    }
    if (announcer->list != NULL) {
        timer_start(loop_timers(announcer->router->loop), timer, PORTION_MS);
    }
}

void announcer_begin(
        struct announcer *announcer, struct str host, struct str subject, struct str text)
{
    if (announcer->count == ANNOUNCER_MAX) {
        log_warn("announcer", "too many announcements at a time", log_str("host", host));
        return;
    }
    struct arena arena;
    arena_init(&arena, 0);
    struct announcement *announcement = arena_calloc(&arena, sizeof(*announcement));
    announcement->host = str_dup(&arena, host);
    announcement->subject = str_dup(&arena, subject);
    announcement->text = str_dup(&arena, text);
    announcement->origin.session = id128_random();
    announcement->origin.counter = 1;
    announcement->arena = arena;
    buf_init(&announcement->addresses, 0);
    entity_list_in_use(announcer->router->entities, host, &announcement->addresses);
    announcement->rest = buf_view(&announcement->addresses);
    DL_APPEND(announcer->list, announcement);
    announcer->count++;
    if (!timer_is_running(&announcer->timer)) {
        timer_start(loop_timers(announcer->router->loop), &announcer->timer, 0);
    }
}

struct announcer *announcer_create(struct router *router)
{
    struct announcer *announcer = MEM_NEW(struct announcer);
    announcer->router = router;
    timer_init(&announcer->timer, on_due, announcer);
    return announcer;
}

void announcer_destroy(struct announcer *announcer)
{
    if (announcer == NULL) {
        return;
    }
    timer_stop(&announcer->timer);
    while (announcer->list != NULL) {
        remove_first(announcer);
    }
    free(announcer);
}
