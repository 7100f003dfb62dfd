/* Session records in Redis, pipelined by chassis/redis. */
#include "router/session_registry.h"

#include "chassis/base/mem.h"
#include "chassis/redis.h"

#define RECORD_VERSION    1
#define RECORD_SM_VERSION 2
#define RECORD_HEAD_BYTES 23
#define RECORD_SM_BYTES   28
/* Two days: outlives any outage, not a forgotten account. */
#define RECORD_TTL_S    "172800"
#define FLAG_AVAILABLE  1
#define FLAG_RESUMABLE  2
#define FLAG_DETACHED   4
#define FLAG_CARBONS    16
#define FLAG_BLOCKLIST  32
#define FLAG_INTERESTED 8
#define PRESENCE_HEAD   8
#define MAX_RECORDS     256 /* of one account; more are not ours */

static char flags_of(const struct session_record *record)
{
    int flags = record->is_available ? FLAG_AVAILABLE : 0;
    flags |= record->has_carbons ? FLAG_CARBONS : 0;
    flags |= record->has_blocklist ? FLAG_BLOCKLIST : 0;
    flags |= record->is_interested ? FLAG_INTERESTED : 0;
    if (record->has_sm) {
        flags |= record->sm.is_resumable ? FLAG_RESUMABLE : 0;
        flags |= record->sm.is_detached ? FLAG_DETACHED : 0;
    }
    return (char)flags;
}

void session_record_encode(struct buf *out, const struct session_record *record)
{
    buf_append_char(out, record->has_sm ? RECORD_SM_VERSION : RECORD_VERSION);
    buf_append_u64be(out, record->session.hi);
    buf_append_u64be(out, record->session.lo);
    buf_append_char(out, flags_of(record));
    buf_append_char(out, (char)record->priority);
    buf_append_u32be(out, record->handled);
    if (record->has_sm) {
        const struct session_record_sm *sm = &record->sm;
        buf_append_u32be(out, sm->base_sequence);
        buf_append_u32be(out, sm->base_counter);
        buf_append_u32be(out, sm->acked);
        buf_append_u32be(out, sm->attach);
        buf_append_u32be(out, sm->max_s);
        buf_append_u64be(out, sm->is_detached ? (uint64_t)sm->detached_wall_ms : sm->granted);
    }
    buf_append_str(out, record->edge);
}

static uint64_t read_be(const char *at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        value = value << 8 | (unsigned char)at[i];
    }
    return value;
}

enum err session_record_decode(struct str value, struct session_record *record_out)
{
    bool has_sm = value.len > 0 && value.ptr[0] == RECORD_SM_VERSION;
    size_t head = RECORD_HEAD_BYTES + (has_sm ? RECORD_SM_BYTES : 0);
    if (value.len <= head || (value.ptr[0] != RECORD_VERSION && !has_sm)) {
        return ERR_INVALID;
    }
    *record_out = (struct session_record){
        .session = { read_be(value.ptr + 1, 8), read_be(value.ptr + 9, 8) },
        .is_available = (value.ptr[17] & FLAG_AVAILABLE) != 0,
        .has_blocklist = (value.ptr[17] & FLAG_BLOCKLIST) != 0,
        .has_carbons = (value.ptr[17] & FLAG_CARBONS) != 0,
        .is_interested = (value.ptr[17] & FLAG_INTERESTED) != 0,
        .priority = (int8_t)value.ptr[18],
        .handled = (uint32_t)read_be(value.ptr + 19, 4),
        .edge = { value.ptr + head, value.len - head },
        .has_sm = has_sm,
    };
    if (has_sm) {
        const char *sm = value.ptr + RECORD_HEAD_BYTES;
        record_out->sm = (struct session_record_sm){
            .is_resumable = (value.ptr[17] & FLAG_RESUMABLE) != 0,
            .is_detached = (value.ptr[17] & FLAG_DETACHED) != 0,
            .base_sequence = (uint32_t)read_be(sm, 4),
            .base_counter = (uint32_t)read_be(sm + 4, 4),
            .acked = (uint32_t)read_be(sm + 8, 4),
            .attach = (uint32_t)read_be(sm + 12, 4),
            .max_s = (uint32_t)read_be(sm + 16, 4),
        };
        bool is_detached = record_out->sm.is_detached;
        uint64_t last = read_be(sm + 20, 8);
        record_out->sm.detached_wall_ms = is_detached ? (int64_t)last : 0;
        record_out->sm.granted = is_detached ? 0 : (uint32_t)last;
    }
    return ERR_OK;
}

void session_presence_encode(struct buf *out, const struct session_record *record)
{
    buf_append_u32be(out, record->presence_child_count);
    buf_append_u32be(out, (uint32_t)record->presence.len);
    buf_append_str(out, record->presence);
    buf_append_str(out, record->directed);
}

enum err session_presence_decode(struct str value, struct session_record *record_out)
{
    if (value.len < PRESENCE_HEAD) {
        return ERR_INVALID;
    }
    size_t len = (size_t)read_be(value.ptr + 4, 4);
    size_t rest = value.len - PRESENCE_HEAD;
    if (len > rest || (len < rest && value.ptr[value.len - 1] != '\0')) {
        return ERR_INVALID;
    }
    record_out->presence_child_count = (uint32_t)read_be(value.ptr, 4);
    record_out->presence = str_from(value.ptr + PRESENCE_HEAD, len);
    record_out->directed = str_from(value.ptr + PRESENCE_HEAD + len, rest - len);
    return ERR_OK;
}

/* The braces keep one account in one slot of a Redis cluster. */
static void write_key_of(struct buf *out, char kind, struct str bare)
{
    buf_init(out, 0);
    buf_append_char(out, kind);
    buf_append_literal(out, ":{");
    buf_append_str(out, bare);
    buf_append_char(out, '}');
}

static void write_key(struct buf *out, struct str bare)
{
    write_key_of(out, 's', bare);
}

static void write_presence_key(struct buf *out, struct str bare)
{
    write_key_of(out, 'p', bare);
}

static void renew(struct redis *redis, struct str key)
{
    struct str expire[] = { STR("EXPIRE"), key, STR(RECORD_TTL_S) };
    redis_command(redis, expire, 3, NULL, NULL);
}

void session_registry_write(
        struct redis *redis, struct str bare, const struct session_record *record)
{
    struct buf key;
    struct buf value;
    write_key(&key, bare);
    buf_init(&value, 0);
    session_record_encode(&value, record);
    struct str set[] = { STR("HSET"), buf_view(&key), record->resource, buf_view(&value) };
    redis_command(redis, set, 4, NULL, NULL);
    renew(redis, buf_view(&key));
    buf_fini(&value);
    buf_fini(&key);
}

void session_registry_remove(struct redis *redis, struct str bare, struct str resource)
{
    struct buf key;
    write_key(&key, bare);
    struct str del[] = { STR("HDEL"), buf_view(&key), resource };
    redis_command(redis, del, 3, NULL, NULL);
    buf_fini(&key);
}

static void write_session_field(struct buf *out, struct id128 session)
{
    buf_init(out, 0);
    buf_append_u64be(out, session.hi);
    buf_append_u64be(out, session.lo);
}

void session_registry_write_presence(
        struct redis *redis, struct str bare, const struct session_record *record)
{
    struct buf key;
    struct buf field;
    struct buf value;
    write_presence_key(&key, bare);
    write_session_field(&field, record->session);
    buf_init(&value, 0);
    if (record->presence.len > 0 || record->directed.len > 0) {
        session_presence_encode(&value, record);
        struct str set[] = { STR("HSET"), buf_view(&key), buf_view(&field), buf_view(&value) };
        redis_command(redis, set, 4, NULL, NULL);
        renew(redis, buf_view(&key));
    } else {
        struct str del[] = { STR("HDEL"), buf_view(&key), buf_view(&field) };
        redis_command(redis, del, 3, NULL, NULL);
    }
    buf_fini(&value);
    buf_fini(&field);
    buf_fini(&key);
}

void session_registry_renew(struct redis *redis, struct str bare)
{
    struct buf key;
    struct buf presence;
    write_key(&key, bare);
    write_presence_key(&presence, bare);
    renew(redis, buf_view(&key));
    renew(redis, buf_view(&presence));
    buf_fini(&presence);
    buf_fini(&key);
}

void session_registry_erase(struct redis *redis, struct str bare)
{
    struct buf key;
    struct buf presence;
    write_key(&key, bare);
    write_presence_key(&presence, bare);
    struct str del[] = { STR("DEL"), buf_view(&key), buf_view(&presence) };
    redis_command(redis, del, 3, NULL, NULL);
    buf_fini(&presence);
    buf_fini(&key);
}

struct load {
    session_registry_loaded done;
    void *context;
    struct buf presences; /* of the first answer: u32 length, field, u32 length, value, ... */
};

static void keep_text(struct buf *out, struct str text)
{
    buf_append_u32be(out, (uint32_t)text.len);
    buf_append_str(out, text);
}

static void on_presences(void *context, enum err err, const struct redis_value *reply)
{
    struct load *load = context;
    for (size_t i = 0; err == ERR_OK && reply->type == REDIS_ARRAY && i < reply->count; i++) {
        keep_text(&load->presences, redis_value_at(reply, i).text);
    }
}

static struct str next_text(struct str *rest)
{
    size_t len = (size_t)read_be(rest->ptr, 4);
    struct str text = str_from(rest->ptr + 4, len);
    *rest = str_from(rest->ptr + 4 + len, rest->len - 4 - len);
    return text;
}

/* Views into `load`. */
static void add_presence(const struct load *load, struct session_record *record)
{
    struct buf field;
    write_session_field(&field, record->session);
    struct str rest = buf_view(&load->presences);
    while (rest.len > 0) {
        struct str name = next_text(&rest);
        struct str value = rest.len > 0 ? next_text(&rest) : STR_NULL;
        if (str_equal(name, buf_view(&field)) && session_presence_decode(value, record) == ERR_OK) {
            break;
        }
    }
    buf_fini(&field);
}

static void on_loaded(void *context, enum err err, const struct redis_value *reply)
{
    struct load *load = context;
    struct session_record records[MAX_RECORDS];
    size_t count = 0;
    if (err == ERR_OK && reply->type != REDIS_ARRAY) {
        err = ERR_INVALID;
    }
    if (err == ERR_OK) {
        for (size_t i = 0; i + 1 < reply->count && count < MAX_RECORDS; i += 2) {
            struct redis_value field = redis_value_at(reply, i);
            struct redis_value value = redis_value_at(reply, i + 1);
            if (field.text.len > 0
                    && session_record_decode(value.text, &records[count]) == ERR_OK) {
                records[count].resource = field.text;
                add_presence(load, &records[count++]);
            }
        }
    }
    load->done(load->context, err, records, count);
    buf_fini(&load->presences);
    free(load);
}

void session_registry_load(
        struct redis *redis, struct str bare, session_registry_loaded done, void *context)
{
    struct load *load = MEM_NEW(struct load);
    load->done = done;
    load->context = context;
    buf_init(&load->presences, 0);
    struct buf key;
    struct buf presence;
    write_key(&key, bare);
    write_presence_key(&presence, bare);
    struct str presences[] = { STR("HGETALL"), buf_view(&presence) };
    struct str sessions[] = { STR("HGETALL"), buf_view(&key) };
    redis_command(redis, presences, 2, on_presences, load); /* answered first */
    redis_command(redis, sessions, 2, on_loaded, load);
    buf_fini(&presence);
    buf_fini(&key);
}
