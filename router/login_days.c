/* Two lists of account ids, each written as one statement that touches only rows of another day. */
#include "router/login_days.h"

#include "chassis/base/mem.h"
#include "chassis/loop.h"
#include "router/router.h"
#include "router/store/lifecycle_store.h"

#define WRITE_AFTER_MS 2000
#define MAX_WAITING    4096 /* more are forgotten: the next login tells again */

struct day_list {
    struct login_days *days;
    bool is_login;
    bool is_writing;
    size_t count;
    int64_t owners[MAX_WAITING];
};

struct login_days {
    struct router *router;
    struct timer timer;
    struct day_list lists[2];
};

static void schedule(struct login_days *days)
{
    if (!timer_is_running(&days->timer)) {
        timer_start(loop_timers(days->router->loop), &days->timer, WRITE_AFTER_MS);
    }
}

static void on_written(void *context, enum err err)
{
    struct day_list *list = context;
    if (err == ERR_CLOSED) {
        return;
    }
    list->is_writing = false;
    if (list->count > 0) {
        schedule(list->days);
    }
}

/* Lost if PostgreSQL is away: a day more or less of inactivity is nothing to wait for. */
static void write_list(struct day_list *list)
{
    if (list->count == 0 || list->is_writing) {
        return;
    }
    list->is_writing = true;
    lifecycle_note_use(list->days->router->lifecycle_store,
            list->owners,
            list->count,
            list->is_login,
            on_written,
            list);
    list->count = 0;
}

static void on_due(struct timer *timer, void *context)
{
    (void)timer;
    struct login_days *days = context;
    write_list(&days->lists[0]);
    write_list(&days->lists[1]);
}

void login_days_note(struct login_days *days, int64_t owner, bool is_login)
{
    struct day_list *list = &days->lists[is_login ? 1 : 0];
    if (owner <= 0 || list->count == MAX_WAITING) {
        return;
    }
    list->owners[list->count++] = owner;
    schedule(days);
}

struct login_days *login_days_create(struct router *router)
{
    struct login_days *days = MEM_NEW(struct login_days);
    days->router = router;
    for (int i = 0; i < 2; i++) {
        days->lists[i].days = days;
        days->lists[i].is_login = i == 1;
    }
    timer_init(&days->timer, on_due, days);
    return days;
}

void login_days_destroy(struct login_days *days)
{
    if (days != NULL) {
        timer_stop(&days->timer);
        free(days);
    }
}
