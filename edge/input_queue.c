/* A list of packed records with a cursor. */
#include "edge/input_queue.h"

#include "chassis/base/err.h"
#include "chassis/base/mem.h"

struct input {
    struct input *next;
    uint32_t counter;
    uint32_t len;
    char record[];
};

static size_t memory_of(const struct input *input)
{
    return sizeof(*input) + input->len;
}

void input_queue_fini(struct input_queue *queue)
{
    while (queue->first) {
        struct input *next = queue->first->next;
        free(queue->first);
        queue->first = next;
    }
    *queue = (struct input_queue){ 0 };
}

static struct input *create(uint32_t counter, struct str record)
{
    ASSERT(record.len <= UINT32_MAX);
    struct input *input = mem_alloc(sizeof(*input) + record.len);
    *input = (struct input){ .counter = counter, .len = (uint32_t)record.len };
    memcpy(input->record, record.ptr, record.len);
    return input;
}

void input_queue_push(struct input_queue *queue, uint32_t counter, struct str record)
{
    struct input *input = create(counter, record);
    if (queue->last) {
        queue->last->next = input;
    } else {
        queue->first = input;
    }
    queue->last = input;
    if (!queue->unsent) {
        queue->unsent = input;
    }
    queue->count++;
    queue->bytes += memory_of(input);
}

size_t input_queue_handled(struct input_queue *queue, uint32_t counter)
{
    /* What was never pushed cannot be handled: a counter beyond the last one is not ours (F04). */
    if (!queue->last || (int32_t)(queue->last->counter - counter) < 0) {
        return 0;
    }
    size_t freed = 0;
    while (queue->first && (int32_t)(counter - queue->first->counter) >= 0) {
        struct input *input = queue->first;
        queue->first = input->next;
        if (queue->unsent == input) {
            queue->unsent = input->next;
        }
        freed += memory_of(input);
        queue->count--;
        free(input);
    }
    if (!queue->first) {
        queue->last = NULL;
    }
    queue->bytes -= freed;
    return freed;
}

void input_queue_replace(struct input_queue *queue, uint32_t counter, struct str record)
{
    struct input **at = &queue->first;
    while (*at && (*at)->counter != counter) {
        at = &(*at)->next;
    }
    struct input *old = *at;
    if (!old) {
        return;
    }
    struct input *input = create(counter, record);
    input->next = old->next;
    *at = input;
    if (queue->last == old) {
        queue->last = input;
    }
    if (queue->unsent == old) {
        queue->unsent = input;
    }
    queue->bytes = queue->bytes - memory_of(old) + memory_of(input);
    free(old);
}

void input_queue_rewind(struct input_queue *queue)
{
    queue->unsent = queue->first;
}

bool input_queue_peek(const struct input_queue *queue, struct str *record_out)
{
    if (!queue->unsent) {
        return false;
    }
    *record_out = str_from(queue->unsent->record, queue->unsent->len);
    return true;
}

void input_queue_sent(struct input_queue *queue)
{
    ASSERT(queue->unsent != NULL);
    queue->unsent = queue->unsent->next;
}
