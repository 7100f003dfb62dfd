/* A copy of the stored text, and views into it: in order, and sorted for the look-up. */
#include "router/entity/blocklist.h"

#include <stdlib.h>

#include "chassis/base/mem.h"

struct blocklist {
    char *text;
    struct str *items;  /* in order */
    struct str *sorted; /* by bytes */
    size_t count;
};

static int compare(const void *left, const void *right)
{
    const struct str *a = left;
    const struct str *b = right;
    size_t shorter = a->len < b->len ? a->len : b->len;
    int order = memcmp(a->ptr, b->ptr, shorter);
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

static size_t count_lines(struct str stored)
{
    size_t count = 0;
    while (stored.len) {
        count += str_cut(&stored, '\n').len ? 1 : 0;
    }
    return count;
}

struct blocklist *blocklist_create(struct str stored)
{
    size_t count = count_lines(stored);
    if (count == 0) {
        return NULL;
    }
    struct blocklist *list = MEM_NEW(struct blocklist);
    list->text = str_to_cstr(stored);
    list->items = mem_alloc(count * sizeof(*list->items));
    list->sorted = mem_alloc(count * sizeof(*list->sorted));
    struct str rest = str_from(list->text, stored.len);
    while (rest.len) {
        struct str line = str_cut(&rest, '\n');
        if (line.len) {
            list->items[list->count++] = line;
        }
    }
    memcpy(list->sorted, list->items, count * sizeof(*list->sorted));
    qsort(list->sorted, count, sizeof(*list->sorted), compare);
    return list;
}

void blocklist_destroy(struct blocklist *list)
{
    if (!list) {
        return;
    }
    free(list->text);
    free(list->items);
    free(list->sorted);
    free(list);
}

bool blocklist_has(const struct blocklist *list, struct str jid)
{
    return list && jid.len
            && bsearch(&jid, list->sorted, list->count, sizeof(*list->sorted), compare);
}

bool blocklist_matches(const struct blocklist *list, const struct jid *jid)
{
    return list
            && (blocklist_has(list, jid->full) || blocklist_has(list, jid->bare)
                    || blocklist_has(list, jid->domain));
}

size_t blocklist_count(const struct blocklist *list)
{
    return list ? list->count : 0;
}

struct str blocklist_at(const struct blocklist *list, size_t index)
{
    return list->items[index];
}
