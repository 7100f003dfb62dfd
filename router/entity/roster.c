/* Items of a contact list: hash, copies, stored form, XML. */
#include "router/entity/roster.h"

#include <stdlib.h>

#include "chassis/base/digest.h"
#include "chassis/base/mem.h"
#include "proto/xmpp/xml_writer.h"

_Static_assert(ROSTER_MAX_REMOVED < ROSTER_MAX_DELTAS, "removals alone always fit");

#define ITEM_VERSION 1

/* ---- items */

static struct str put_text(char **at, struct str text)
{
    if (text.len == 0) {
        return STR_NULL;
    }
    char *copy = *at;
    memcpy(copy, text.ptr, text.len);
    *at += text.len;
    return str_from(copy, text.len);
}

struct roster_item *roster_item_create(const struct roster_item *from)
{
    size_t bytes = from->jid.len + from->name.len + from->groups.len + from->request.len;
    struct roster_item *item = mem_alloc(sizeof(*item) + bytes);
    char *at = (char *)(item + 1);
    *item = (struct roster_item){ .flags = from->flags, .origin = from->origin };
    item->jid = put_text(&at, from->jid);
    item->name = put_text(&at, from->name);
    item->groups = put_text(&at, from->groups);
    item->request = put_text(&at, from->request);
    return item;
}

void roster_item_destroy(struct roster_item *item)
{
    free(item);
}

bool roster_next_group(const struct roster_item *item, struct str *group)
{
    const char *end = item->groups.ptr + item->groups.len;
    const char *next = group->ptr ? group->ptr + group->len + 1 : item->groups.ptr;
    if (item->groups.len == 0 || next >= end) {
        return false;
    }
    *group = str_from(next, strnlen(next, (size_t)(end - next)));
    return true;
}

/* ---- the list */

struct roster_item *roster_find(const struct roster *roster, struct str jid)
{
    struct roster_item *item = NULL;
    HASH_FIND(hh, roster->items, jid.ptr, jid.len, item);
    return item;
}

unsigned roster_flags(const struct roster *roster, struct str jid)
{
    const struct roster_item *item = roster_find(roster, jid);
    return item ? item->flags : 0;
}

size_t roster_item_bytes(const struct roster_item *item)
{
    return item->jid.len + item->name.len + item->groups.len;
}

static size_t is_listed(const struct roster_item *item)
{
    return item->flags & ROSTER_LISTED ? 1 : 0;
}

void roster_put(struct roster *roster, struct roster_item *item)
{
    struct roster_item *former = roster_find(roster, item->jid);
    if (former) {
        roster->listed -= is_listed(former);
        roster->bytes -= is_listed(former) * roster_item_bytes(former);
        HASH_DEL(roster->items, former);
        roster_item_destroy(former);
    }
    if (item->flags == 0) {
        roster_item_destroy(item);
        return;
    }
    roster->listed += is_listed(item);
    roster->bytes += is_listed(item) * roster_item_bytes(item);
    HASH_ADD_KEYPTR(hh, roster->items, item->jid.ptr, item->jid.len, item);
}

/* ---- what has changed since it was loaded (RFC 6121 §2.6) */

static void forget_removal(struct roster *roster, size_t at)
{
    free(roster->removed[at].jid);
    roster->removed_count--;
    memmove(&roster->removed[at],
            &roster->removed[at + 1],
            (roster->removed_count - at) * sizeof(roster->removed[0]));
}

/* The item is here again, or is removed once more. */
static void forget_removal_of(struct roster *roster, struct str jid)
{
    for (size_t i = 0; i < roster->removed_count; i++) {
        if (str_equal(str_from_cstr(roster->removed[i].jid), jid)) {
            forget_removal(roster, i);
            return;
        }
    }
}

static void remember_removal(struct roster *roster, struct str jid, int64_t version)
{
    if (!roster->removed) {
        roster->removed = mem_calloc(ROSTER_MAX_REMOVED, sizeof(*roster->removed));
    }
    if (roster->removed_count == ROSTER_MAX_REMOVED) {
        roster->since = roster->removed[0].version;
        forget_removal(roster, 0);
    }
    roster->removed[roster->removed_count++] = (struct roster_removal){ str_to_cstr(jid), version };
}

void roster_change(struct roster *roster, struct roster_item *item, int64_t version)
{
    bool was_listed = roster_flags(roster, item->jid) & ROSTER_LISTED;
    if (is_listed(item)) {
        forget_removal_of(roster, item->jid);
    } else if (was_listed) {
        remember_removal(roster, item->jid, version);
    }
    item->version = version;
    roster->version = version;
    roster_put(roster, item);
}

static int compare_deltas(const void *left, const void *right)
{
    int64_t a = ((const struct roster_delta *)left)->version;
    int64_t b = ((const struct roster_delta *)right)->version;
    return (a > b) - (a < b);
}

bool roster_deltas(const struct roster *roster,
        int64_t version,
        struct roster_delta deltas_out[ROSTER_MAX_DELTAS],
        size_t *count_out)
{
    size_t count = 0;
    if (version < roster->since || version > roster->version) {
        return false;
    }
    for (size_t i = 0; i < roster->removed_count; i++) {
        const struct roster_removal *removal = &roster->removed[i];
        if (removal->version > version) {
            struct str jid = str_from_cstr(removal->jid);
            deltas_out[count++] = (struct roster_delta){ NULL, jid, removal->version };
        }
    }
    for (const struct roster_item *item = roster->items; item; item = item->hh.next) {
        if (item->version <= version || !is_listed(item)) {
            continue;
        }
        if (count == ROSTER_MAX_DELTAS) {
            return false;
        }
        deltas_out[count++] = (struct roster_delta){ item, item->jid, item->version };
    }
    qsort(deltas_out, count, sizeof(*deltas_out), compare_deltas);
    *count_out = count;
    return true;
}

void roster_clear(struct roster *roster)
{
    struct roster_item *item;
    struct roster_item *next;
    HASH_ITER(hh, roster->items, item, next)
    {
        HASH_DEL(roster->items, item);
        roster_item_destroy(item);
    }
    while (roster->removed_count > 0) {
        forget_removal(roster, roster->removed_count - 1);
    }
    free(roster->removed);
    *roster = (struct roster){ .items = NULL };
}

/* ---- stored form: u8 version, u8 flags, origin (u64, u64, u32, u32), then jid, name, groups and
 * request, each with a u32 length in front */

static void encode_text(struct buf *out, struct str text)
{
    buf_append_u32be(out, (uint32_t)text.len);
    buf_append_str(out, text);
}

void roster_item_encode(struct buf *out, const struct roster_item *item)
{
    buf_append_char(out, ITEM_VERSION);
    buf_append_char(out, (char)item->flags);
    buf_append_u64be(out, item->origin.session.hi);
    buf_append_u64be(out, item->origin.session.lo);
    buf_append_u32be(out, item->origin.counter);
    buf_append_u32be(out, item->origin.part);
    encode_text(out, item->jid);
    encode_text(out, item->name);
    encode_text(out, item->groups);
    encode_text(out, item->request);
}

struct reader {
    struct str rest;
    bool is_short;
};

static uint64_t read_number(struct reader *reader, size_t bytes)
{
    uint64_t value = 0;
    if (reader->rest.len < bytes) {
        reader->is_short = true;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++) {
        value = value << 8 | (unsigned char)reader->rest.ptr[i];
    }
    reader->rest = str_from(reader->rest.ptr + bytes, reader->rest.len - bytes);
    return value;
}

static struct str read_text(struct reader *reader)
{
    size_t len = (size_t)read_number(reader, 4);
    if (reader->is_short || reader->rest.len < len) {
        reader->is_short = true;
        return STR_NULL;
    }
    struct str text = str_from(reader->rest.ptr, len);
    reader->rest = str_from(reader->rest.ptr + len, reader->rest.len - len);
    return text;
}

enum err roster_item_decode(struct str content, struct roster_item **item_out)
{
    struct reader reader = { .rest = content };
    struct roster_item item = { .flags = 0 };
    uint64_t version = read_number(&reader, 1);
    item.flags = (unsigned)read_number(&reader, 1);
    item.origin.session.hi = read_number(&reader, 8);
    item.origin.session.lo = read_number(&reader, 8);
    item.origin.counter = (uint32_t)read_number(&reader, 4);
    item.origin.part = (uint32_t)read_number(&reader, 4) & INT32_MAX;
    item.jid = read_text(&reader);
    item.name = read_text(&reader);
    item.groups = read_text(&reader);
    item.request = read_text(&reader);
    bool has_end = item.groups.len == 0 || item.groups.ptr[item.groups.len - 1] == '\0';
    if (version != ITEM_VERSION || reader.is_short || reader.rest.len > 0 || item.jid.len == 0
            || item.flags == 0 || !has_end) {
        return ERR_INVALID;
    }
    *item_out = roster_item_create(&item);
    return ERR_OK;
}

/* ---- XML (RFC 6121 §2.1.2) */

const char *roster_subscription(unsigned flags)
{
    switch (flags & (ROSTER_TO | ROSTER_FROM)) {
    case ROSTER_TO: return "to";
    case ROSTER_FROM: return "from";
    case ROSTER_TO | ROSTER_FROM: return "both";
    default: return "none";
    }
}

void roster_item_write(struct buf *xml, const struct roster_item *item)
{
    struct str group = STR_NULL;
    const char *subscription = item->flags ? roster_subscription(item->flags) : "remove";
    xml_open(xml, "item", NULL);
    xml_attr(xml, "jid", item->jid);
    xml_attr(xml, "subscription", str_from_cstr(subscription));
    if (item->flags) {
        xml_attr_opt(xml, "name", item->name);
        xml_attr_opt(xml, "ask", item->flags & ROSTER_PENDING_OUT ? STR("subscribe") : STR_NULL);
        xml_attr_opt(xml, "approved", item->flags & ROSTER_APPROVED ? STR("true") : STR_NULL);
    }
    if (!item->flags || !roster_next_group(item, &group)) {
        xml_end_empty(xml);
        return;
    }
    xml_end_open(xml);
    do {
        xml_text_element(xml, "group", NULL, group);
    } while (roster_next_group(item, &group));
    xml_close(xml, "item");
}
