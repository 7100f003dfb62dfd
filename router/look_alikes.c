/* Pages of accounts without a mark, each one a list and a statement. Every router does it for all:
 * what another one was faster with is not found again. */
#include "router/look_alikes.h"

#include "chassis/base/mem.h"
#include "chassis/loop.h"
#include "router/router.h"
#include "router/store/lifecycle_store.h"

#define FIRST_MS 5000
#define PAGE     200
#define PAGE_MS  200              /* between two pages */
#define REST_MS  (10 * 60 * 1000) /* somebody may put accounts there by SQL */
#define RETRY_MS 5000

struct look_alikes {
    struct router *router;
    struct timer timer;
    bool is_full_page; /* there may be more behind `after` */
    int64_t after;
};

static void look_in(struct look_alikes *looks, int64_t delay_ms)
{
    timer_start(loop_timers(looks->router->loop), &looks->timer, delay_ms);
}

static void on_marked(void *context, enum err err)
{
    struct look_alikes *looks = context;
    if (err == ERR_CLOSED) {
        return;
    }
    if (err != ERR_OK) {
        looks->after = 0;
        look_in(looks, RETRY_MS);
    } else {
        look_in(looks, looks->is_full_page ? PAGE_MS : REST_MS);
    }
}

static void on_listed(void *context, enum err err, const struct lifecycle_row *rows, size_t count)
{
    struct look_alikes *looks = context;
    looks->is_full_page = err == ERR_OK && count == PAGE;
    looks->after = looks->is_full_page ? rows[count - 1].id : 0;
    if (err != ERR_OK || count == 0) {
        on_marked(looks, err);
    } else {
        lifecycle_mark(looks->router->lifecycle_store, rows, count, on_marked, looks);
    }
}

static void on_due(struct timer *timer, void *context)
{
    (void)timer;
    struct look_alikes *looks = context;
    lifecycle_list_unmarked(looks->router->lifecycle_store, looks->after, PAGE, on_listed, looks);
}

struct look_alikes *look_alikes_create(struct router *router)
{
    struct look_alikes *looks = MEM_NEW(struct look_alikes);
    looks->router = router;
    timer_init(&looks->timer, on_due, looks);
    return looks;
}

void look_alikes_start(struct look_alikes *looks)
{
    look_in(looks, FIRST_MS);
}

void look_alikes_destroy(struct look_alikes *looks)
{
    if (looks) {
        timer_stop(&looks->timer);
        free(looks);
    }
}
