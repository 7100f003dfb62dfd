/* Shared buckets as numbers in Redis. */
#include "router/quota_redis.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "chassis/base/mem.h"
#include "chassis/loop.h"
#include "chassis/redis.h"

#define MS_NS       INT64_C(1000000)
#define FIRST_MS    1000 /* the answer to the charge comes within this, or the charge is forgotten */
#define NUMBER_SIZE 24
#define NAME_SIZE   (2 + 2 * QUOTA_KEY_BYTES + 1)

struct quota_redis {
    struct loop *loop;
    struct redis *redis;
};

struct charge {
    struct quota_redis *store;
    struct quota_ask *ask;
    char name[NAME_SIZE];
};

static struct str format(char text[NUMBER_SIZE], int64_t number)
{
    int length = snprintf(text, NUMBER_SIZE, "%" PRId64, number);
    return str_from(text, (size_t)length);
}

/* A time that is over removes the key: also a number that does not begin with a time, because
 * Redis stood still between the two commands. */
static void set_end(const struct charge *charge, int64_t full_ns)
{
    char number[NUMBER_SIZE];
    struct str args[] = {
        STR("PEXPIREAT"), str_from_cstr(charge->name), format(number, full_ns / MS_NS + 1)
    };
    redis_command(charge->store->redis, args, 3, NULL, NULL);
}

static void on_charged(void *context, enum err err, const struct redis_value *reply)
{
    struct charge *charge = context;
    if (err == ERR_OK && reply->type != REDIS_INTEGER) {
        err = ERR_INVALID;
    }
    if (err == ERR_OK) {
        set_end(charge, reply->integer);
    }
    quota_charged(charge->ask,
            err,
            err == ERR_OK ? reply->integer : 0,
            loop_wall_us(charge->store->loop) * 1000);
    free(charge);
}

static void charge_bucket(void *context,
        const uint8_t key[QUOTA_KEY_BYTES],
        int64_t now_ns,
        int64_t amount_ns,
        struct quota_ask *ask)
{
    struct quota_redis *store = context;
    struct charge *charge = MEM_NEW(struct charge);
    *charge = (struct charge){ .store = store, .ask = ask, .name = "l:" };
    for (size_t i = 0; i < QUOTA_KEY_BYTES; i++) {
        (void)snprintf(charge->name + 2 + 2 * i, 3, "%02x", key[i]);
    }
    struct str name = str_from_cstr(charge->name);
    char numbers[3][NUMBER_SIZE];
    struct str set[] = {
        STR("SET"),
        name,
        format(numbers[0], now_ns),
        STR("NX"),
        STR("PX"),
        format(numbers[1], amount_ns / MS_NS + FIRST_MS),
    };
    struct str add[] = { STR("INCRBY"), name, format(numbers[2], amount_ns) };
    redis_command(store->redis, set, 6, NULL, NULL);
    redis_command(store->redis, add, 3, on_charged, charge);
}

static bool is_up(void *context)
{
    const struct quota_redis *store = context;
    return redis_is_up(store->redis);
}

const struct quota_store quota_redis_store = { .is_up = is_up, .charge = charge_bucket };

struct quota_redis *quota_redis_create(struct loop *loop, struct redis *redis)
{
    struct quota_redis *store = MEM_NEW(struct quota_redis);
    *store = (struct quota_redis){ loop, redis };
    return store;
}

void quota_redis_destroy(struct quota_redis *store)
{
    free(store);
}
