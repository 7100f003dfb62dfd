/* Spools in Redis, pipelined by chassis/redis. */
#include "router/spool.h"

#include "chassis/base/mem.h"
#include "chassis/redis.h"
#include "proto/wire/wire.h"

#define HEAD_BYTES      16
#define POSITION_DIGITS 24

void spool_element_encode(struct buf *out, const struct spool_element *element)
{
    buf_append_u64be(out, element->position);
    buf_append_u64be(out, (uint64_t)(element->is_provisional ? ~element->log_id : element->log_id));
    buf_append_str(out, element->stanza);
}

static uint64_t read_be(const char *at, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        value = value << 8 | (unsigned char)at[i];
    }
    return value;
}

enum err spool_element_decode(struct str value, struct spool_element *element_out)
{
    if (value.len < HEAD_BYTES) {
        return ERR_INVALID;
    }
    int64_t log_id = (int64_t)read_be(value.ptr + 8, 8);
    struct spool_element element = {
        .position = read_be(value.ptr, 8),
        .log_id = log_id < 0 ? ~log_id : log_id,
        .stanza = str_from(value.ptr + HEAD_BYTES, value.len - HEAD_BYTES),
        .is_provisional = log_id < 0,
    };
    if ((element.log_id == 0) != (element.stanza.len > 0)) {
        return ERR_INVALID;
    }
    *element_out = element;
    return ERR_OK;
}

/* The braces keep one account in one slot of a Redis cluster. */
static void write_key(struct buf *out, const struct spool_key *key)
{
    char session[ID128_TEXT_SIZE];
    id128_format(key->session, session);
    buf_init(out, 0);
    buf_append_literal(out, "u:{");
    buf_append_str(out, key->bare);
    buf_append_literal(out, "}:");
    buf_append_str(out, str_from_cstr(session));
}

static struct str print(uint64_t position, char out[POSITION_DIGITS])
{
    char *at = out + POSITION_DIGITS;
    do {
        *--at = (char)('0' + position % 10);
        position /= 10;
    } while (position > 0);
    return str_from(at, (size_t)(out + POSITION_DIGITS - at));
}

void spool_push(struct redis *redis,
        const struct spool_key *key,
        const struct spool_element *element,
        const struct stanza *stanza)
{
    struct spool_element full = *element;
    struct buf name;
    struct buf packed;
    struct buf value;
    write_key(&name, key);
    buf_init(&packed, 0);
    buf_init(&value, 0);
    if (full.log_id == 0) {
        wire_stanza_pack(&packed, stanza);
    }
    full.stanza = buf_view(&packed);
    spool_element_encode(&value, &full);
    char score[POSITION_DIGITS];
    struct str add[] = {
        STR("ZADD"), buf_view(&name), print(full.position, score), buf_view(&value)
    };
    redis_command(redis, add, 4, NULL, NULL);
    buf_fini(&value);
    buf_fini(&packed);
    buf_fini(&name);
}

void spool_trim(struct redis *redis, const struct spool_key *key, uint64_t position)
{
    struct buf name;
    char last[POSITION_DIGITS];
    write_key(&name, key);
    struct str trim[] = {
        STR("ZREMRANGEBYSCORE"), buf_view(&name), STR("-inf"), print(position, last)
    };
    redis_command(redis, trim, 4, NULL, NULL);
    buf_fini(&name);
}

void spool_expire(struct redis *redis, const struct spool_key *key, int64_t seconds)
{
    struct buf name;
    char text[24];
    write_key(&name, key);
    (void)snprintf(text, sizeof(text), "%lld", (long long)seconds);
    struct str expire[] = { STR("EXPIRE"), buf_view(&name), str_from_cstr(text) };
    redis_command(redis, expire, 3, NULL, NULL);
    buf_fini(&name);
}

void spool_erase(struct redis *redis, const struct spool_key *key)
{
    struct buf name;
    write_key(&name, key);
    struct str del[] = { STR("DEL"), buf_view(&name) };
    redis_command(redis, del, 2, NULL, NULL);
    buf_fini(&name);
}

/* ---- loading */

struct load {
    spool_loaded done;
    void *context;
};

static void on_loaded(void *context, enum err err, const struct redis_value *reply)
{
    struct load load = *(struct load *)context;
    free(context);
    if (err == ERR_OK && reply->type != REDIS_ARRAY) {
        err = ERR_INVALID;
    }
    size_t most = err == ERR_OK ? reply->count : 0;
    struct spool_element *elements = mem_calloc(most + 1, sizeof(elements[0]));
    size_t count = 0;
    for (size_t i = 0; i < most; i++) {
        struct redis_value value = redis_value_at(reply, i);
        if (spool_element_decode(value.text, &elements[count]) == ERR_OK) {
            count++;
        }
    }
    load.done(load.context, err, elements, count);
    free(elements);
}

void spool_load(struct redis *redis, const struct spool_key *key, spool_loaded done, void *context)
{
    struct load *load = MEM_NEW(struct load);
    *load = (struct load){ done, context };
    struct buf name;
    write_key(&name, key);
    struct str range[] = { STR("ZRANGE"), buf_view(&name), STR("0"), STR("-1") };
    redis_command(redis, range, 4, on_loaded, load);
    buf_fini(&name);
}

/* ---- who has such sessions */

static void command_live(struct redis *redis, struct str verb, unsigned shard, struct str bare)
{
    char name[24];
    (void)snprintf(name, sizeof(name), "live:%u", shard);
    struct str command[] = { verb, str_from_cstr(name), bare };
    redis_command(redis, command, 3, NULL, NULL);
}

void spool_add_live(struct redis *redis, unsigned shard, struct str bare)
{
    command_live(redis, STR("SADD"), shard, bare);
}

void spool_remove_live(struct redis *redis, unsigned shard, struct str bare)
{
    command_live(redis, STR("SREM"), shard, bare);
}

struct live_load {
    spool_live_loaded done;
    void *context;
};

static void on_live(void *context, enum err err, const struct redis_value *reply)
{
    struct live_load load = *(struct live_load *)context;
    free(context);
    if (err == ERR_OK && reply->type != REDIS_ARRAY) {
        err = ERR_INVALID;
    }
    size_t count = err == ERR_OK ? reply->count : 0;
    struct str *bares = mem_calloc(count + 1, sizeof(bares[0]));
    for (size_t i = 0; i < count; i++) {
        bares[i] = redis_value_at(reply, i).text;
    }
    load.done(load.context, err, bares, count);
    free(bares);
}

void spool_load_live(struct redis *redis, unsigned shard, spool_live_loaded done, void *context)
{
    struct live_load *load = MEM_NEW(struct live_load);
    *load = (struct live_load){ done, context };
    char name[24];
    (void)snprintf(name, sizeof(name), "live:%u", shard);
    struct str members[] = { STR("SMEMBERS"), str_from_cstr(name) };
    redis_command(redis, members, 2, on_live, load);
}
