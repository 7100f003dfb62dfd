/* The newest map wins, and what has to be repeated gets a new generation (F08). */
#include "edge/shard_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SHARDS 3

static bool changed[SHARDS];

static bool update(struct shard_map *map, uint64_t version, const uint32_t *owners, size_t count)
{
    Wire__RouterNode nodes[2] = { WIRE__ROUTER_NODE__INIT, WIRE__ROUTER_NODE__INIT };
    Wire__RouterNode *routers[2] = { &nodes[0], &nodes[1] };
    uint32_t owner[SHARDS + 1];
    uint64_t epoch[SHARDS + 1];
    nodes[0].name = wire_bytes(STR("one"));
    nodes[1].name = wire_bytes(STR("two"));
    for (size_t i = 0; i < count; i++) {
        owner[i] = owners[i];
        epoch[i] = owners[i];
    }
    Wire__ShardMap message = WIRE__SHARD_MAP__INIT;
    message.version = version;
    message.routers = routers;
    message.n_routers = 2;
    message.owner = owner;
    message.n_owner = count;
    message.epoch = epoch;
    message.n_epoch = count;
    return shard_map_update(map, &message, changed);
}

static void only_changed_shards_are_repeated(void **state)
{
    (void)state;
    struct shard_map *map = shard_map_create(SHARDS);
    assert_true(update(map, 5, (uint32_t[]){ 1, 1, 0 }, SHARDS));
    assert_true(changed[0] && changed[1]);
    assert_false(changed[2]); /* nobody before, nobody now */
    uint32_t generation = shard_map_route(map, 0)->generation;
    assert_true(update(map, 6, (uint32_t[]){ 1, 2, 2 }, SHARDS));
    assert_false(changed[0]);
    assert_true(changed[1] && changed[2]);
    assert_int_equal(shard_map_route(map, 0)->generation, generation);
    assert_string_equal(shard_map_route(map, 1)->owner, "two");
    shard_map_destroy(map);
}

static void older_and_malformed_maps_change_nothing(void **state)
{
    (void)state;
    struct shard_map *map = shard_map_create(SHARDS);
    assert_true(update(map, 5, (uint32_t[]){ 1, 1, 1 }, SHARDS));
    assert_false(update(map, 5, (uint32_t[]){ 2, 2, 2 }, SHARDS));
    assert_false(update(map, 4, (uint32_t[]){ 2, 2, 2 }, SHARDS));
    assert_false(update(map, 6, (uint32_t[]){ 2, 2, 3 }, SHARDS)); /* a router that is not listed */
    assert_false(update(map, 6, (uint32_t[]){ 2, 2 }, 2));
    assert_false(update(map, 6, (uint32_t[]){ 2, 2, 2, 2 }, 4));
    assert_int_equal(shard_map_version(map), 5);
    assert_string_equal(shard_map_route(map, 2)->owner, "one");
    shard_map_destroy(map);
}

static void denial_blocks_until_a_retry_or_a_newer_map(void **state)
{
    (void)state;
    struct shard_map *map = shard_map_create(SHARDS);
    assert_true(update(map, 1, (uint32_t[]){ 1, 1, 1 }, SHARDS));
    uint32_t generation = shard_map_route(map, 0)->generation;
    assert_false(shard_map_block(map, 0, "two"));
    assert_false(shard_map_block(map, SHARDS, "one"));
    assert_true(shard_map_block(map, 0, "one"));
    assert_false(shard_map_block(map, 0, "one"));
    shard_map_unblock(map, 0);
    assert_false(shard_map_route(map, 0)->is_blocked);
    assert_int_not_equal(shard_map_route(map, 0)->generation, generation);
    assert_true(shard_map_block(map, 1, "one"));
    assert_true(update(map, 2, (uint32_t[]){ 1, 1, 1 }, SHARDS));
    assert_true(changed[1]);
    assert_false(shard_map_route(map, 1)->is_blocked);
    shard_map_destroy(map);
}

static void death_of_a_router_repeats_its_shards_only(void **state)
{
    (void)state;
    struct shard_map *map = shard_map_create(SHARDS);
    assert_true(update(map, 1, (uint32_t[]){ 1, 2, 1 }, SHARDS));
    uint32_t generation = shard_map_route(map, 1)->generation;
    uint32_t others = shard_map_route(map, 0)->generation;
    shard_map_router_died(map, "two");
    assert_int_not_equal(shard_map_route(map, 1)->generation, generation);
    assert_int_equal(shard_map_route(map, 0)->generation, others);
    shard_map_destroy(map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_changed_shards_are_repeated),
        cmocka_unit_test(older_and_malformed_maps_change_nothing),
        cmocka_unit_test(denial_blocks_until_a_retry_or_a_newer_map),
        cmocka_unit_test(death_of_a_router_repeats_its_shards_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
