/* A hashed wheel: slot = due time / 10 ms, modulo the number of slots. A slot is an unordered list;
 * timers of a later rotation wait in it until their time. A bitmap finds the next slot in use; its
 * bits are cleared lazily, because timer_stop does not know the wheel. */
#include "chassis/timer.h"

#include <stdlib.h>

#include "chassis/base/err.h"
#include "chassis/base/mem.h"

enum {
    WHEEL_STEP_MS = 10,
    WHEEL_SLOTS = 4096, /* 41 seconds in one rotation */
    WHEEL_WORDS = WHEEL_SLOTS / 64,
};

struct timer_wheel {
    const struct clock *clock;
    int64_t tick; /* the oldest step that may still hold a due timer */
    struct timer *slots[WHEEL_SLOTS];
    uint64_t used[WHEEL_WORDS];
};

static size_t slot_of(int64_t tick)
{
    return (size_t)(tick % WHEEL_SLOTS);
}

static int64_t wheel_now(const struct timer_wheel *wheel)
{
    return wheel->clock->monotonic_ms(wheel->clock->context);
}

struct timer_wheel *timer_wheel_create(const struct clock *clock)
{
    struct timer_wheel *wheel = MEM_NEW(struct timer_wheel);
    wheel->clock = clock;
    wheel->tick = wheel_now(wheel) / WHEEL_STEP_MS;
    return wheel;
}

void timer_wheel_destroy(struct timer_wheel *wheel)
{
    if (wheel == NULL) {
        return;
    }
    for (size_t i = 0; i < WHEEL_SLOTS; i++) {
        while (wheel->slots[i] != NULL) {
            timer_stop(wheel->slots[i]);
        }
    }
    free(wheel);
}

static void list_push(struct timer **head, struct timer *timer)
{
    timer->next = *head;
    timer->prev = head;
    if (timer->next != NULL) {
        ASSERT(timer->next->prev == head); /* else it was initialised while it ran */
        timer->next->prev = &timer->next;
    }
    *head = timer;
}

void timer_init(struct timer *timer, void (*on_due)(struct timer *, void *), void *context)
{
    *timer = (struct timer){ .on_due = on_due, .context = context };
}

void timer_start(struct timer_wheel *wheel, struct timer *timer, int64_t delay_ms)
{
    timer_stop(timer);
    timer->due_ms = wheel_now(wheel) + (delay_ms > 0 ? delay_ms : 0);
    size_t slot = slot_of(timer->due_ms / WHEEL_STEP_MS);
    list_push(&wheel->slots[slot], timer);
    wheel->used[slot / 64] |= UINT64_C(1) << (slot % 64);
}

void timer_stop(struct timer *timer)
{
    if (timer->prev == NULL) {
        return;
    }
    ASSERT(*timer->prev == timer);
    *timer->prev = timer->next;
    if (timer->next != NULL) {
        ASSERT(timer->next->prev == &timer->next);
        timer->next->prev = timer->prev;
    }
    timer->next = NULL;
    timer->prev = NULL;
}

bool timer_is_running(const struct timer *timer)
{
    return timer->prev != NULL;
}

/* Due timers leave their slot before the first callback, so that callbacks may change any list. */
static void fire_slot(struct timer_wheel *wheel, size_t slot, int64_t now_ms)
{
    struct timer *due = NULL;
    struct timer **at = &wheel->slots[slot];
    while (*at != NULL) {
        struct timer *timer = *at;
        ASSERT(timer->prev == at);
        if (timer->due_ms <= now_ms) {
            timer_stop(timer);
            list_push(&due, timer); /* turns the newest-first list round: first started, first */
        } else {
            at = &timer->next;
        }
    }
    if (wheel->slots[slot] == NULL) {
        wheel->used[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
    }
    while (due != NULL) {
        struct timer *timer = due;
        timer_stop(timer);
        timer->on_due(timer, timer->context);
    }
}

int64_t timer_wheel_run(struct timer_wheel *wheel)
{
    int64_t now_ms = wheel_now(wheel);
    int64_t last = now_ms / WHEEL_STEP_MS;
    int64_t tick = wheel->tick;
    if (last - tick >= WHEEL_SLOTS) {
        tick = last - WHEEL_SLOTS + 1; /* asleep for more than a rotation: each slot once */
    }
    for (; tick <= last; tick++) {
        size_t slot = slot_of(tick);
        if ((wheel->used[slot / 64] & (UINT64_C(1) << (slot % 64))) != 0) {
            fire_slot(wheel, slot, now_ms);
        }
    }
    /* The present step stays open: it may hold timers due within it. */
    wheel->tick = last > wheel->tick ? last : wheel->tick;
    return timer_wheel_next_ms(wheel);
}

/* When the earliest timer of this slot is due, if it is in this rotation, else when the slot's step
 * is over: waking too early costs little, and looking further would walk many timers. -1: empty. */
static int64_t slot_next_ms(const struct timer_wheel *wheel, int64_t tick)
{
    int64_t earliest = INT64_MAX;
    const struct timer *timer = wheel->slots[slot_of(tick)];
    if (timer == NULL) {
        return -1;
    }
    for (; timer != NULL; timer = timer->next) {
        if (timer->due_ms / WHEEL_STEP_MS <= tick && timer->due_ms < earliest) {
            earliest = timer->due_ms;
        }
    }
    return earliest != INT64_MAX ? earliest : (tick + 1) * WHEEL_STEP_MS;
}

int64_t timer_wheel_next_ms(const struct timer_wheel *wheel)
{
    int64_t now_ms = wheel_now(wheel);
    for (int64_t tick = wheel->tick; tick < wheel->tick + WHEEL_SLOTS;) {
        size_t slot = slot_of(tick);
        uint64_t word = wheel->used[slot / 64] >> (slot % 64);
        if (word == 0) {
            tick += (int64_t)(64 - slot % 64);
            continue;
        }
        tick += __builtin_ctzll(word);
        int64_t next_ms = slot_next_ms(wheel, tick);
        if (next_ms >= 0) {
            return next_ms > now_ms ? next_ms - now_ms : 0;
        }
        tick++;
    }
    return -1;
}
