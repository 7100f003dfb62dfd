/* The lease of this router: one statement a second, and what follows from its answer. It has
 * PostgreSQL connections of its own, since a lease must not wait behind anybody's query (G02). */
#include "router/shard.h"

#include "chassis/base/mem.h"
#include "chassis/log.h"
#include "chassis/metrics.h"
#include "chassis/pg.h"
#include "proto/xmpp/jid.h"
#include "router/peers.h"
#include "router/router.h"
#include "router/shard_book.h"

#define TICK_MS           1000
#define SOON_MS           20  /* many reasons to look at once become one tick */
#define MARGIN_MS         500 /* we know it before PostgreSQL lets others take over */
#define START_PATIENCE    75  /* times SOON_MS */
#define MAX_RELEASING     32  /* at a time while evening out */
#define LEASE_CONNECTIONS 2

static struct metric metric_failures =
        METRIC_COUNTER_INIT("lease_failures_total", "Leases that could not be renewed.", NULL);
static struct metric metric_lapsed = METRIC_COUNTER_INIT(
        "lease_lapsed_total", "Times that the lease ran out; shards are kept.", NULL);
static struct metric metric_owned = METRIC_GAUGE_INIT("shards_owned", "Shards at home here.", NULL);
static struct metric metric_lost =
        METRIC_COUNTER_INIT("shards_lost_total", "Shards lost or handed over.", NULL);
static struct metric metric_gained =
        METRIC_COUNTER_INIT("shards_gained_total", "Shards taken over.", NULL);

struct shard_table {
    struct router *router;
    struct shard_handlers handlers;
    void *context;
    struct pg_pool *pg;
    struct shard_book book;
    struct timer tick;
    struct timer expiry;
    int64_t tick_started_ms;
    int64_t alive_ms;  /* when a tick began or ended last */
    unsigned patience; /* ticks that may still wait for an archive-svc at the start */
    bool is_ticking;
    bool wants_tick; /* another one as soon as this one is back */
    bool wants_all;  /* the whole table, whatever the version */
    bool is_failing; /* the last tick failed: logged once */
    bool has_slept;  /* we, not PostgreSQL, were away while others could take over */
    bool has_begun;
    bool is_draining;
    bool has_left;
    void (*on_drained)(void *context);
    void *drained_context;
};

static int64_t now_of(const struct shard_table *table)
{
    return loop_now_ms(table->router->loop);
}

/* That PostgreSQL is away has to be known before the lease runs out. */
static int64_t query_timeout_ms(const struct shard_table *table)
{
    int64_t lease_ms = table->router->settings->lease_ms;
    int64_t left_ms = lease_ms - MARGIN_MS - TICK_MS - 5 * SOON_MS;
    return left_ms < lease_ms / 2 ? left_ms : lease_ms / 2;
}

static void tick_in(struct shard_table *table, int64_t delay_ms)
{
    if (!table->has_begun) {
        return;
    }
    timer_start(loop_timers(table->router->loop), &table->tick, delay_ms);
}

static void tick_soon(struct shard_table *table)
{
    if (!table->has_begun) {
        return;
    }

    if (table->is_ticking) {
        table->wants_tick = true;
    } else {
        tick_in(table, SOON_MS);
    }
}

static void lose(struct shard_table *table, unsigned shard)
{
    if (table->book.entries[shard].held_epoch == 0) {
        return;
    }

    shard_book_lose(&table->book, shard);
    metric_add(&metric_lost, 1);
    table->handlers.on_lost(table->context, shard);
}

/* ---- giving away */

static const char sql_hand_over[] = "SELECT router.hand_over($1, $2, $3, $4)";
static const char sql_leave[] = "SELECT router.leave($1, $2)";

static void on_left(void *context,
        enum err err,
        const char *sqlstate,
        const struct pg_result *const *results,
        size_t count)
{
    (void)err; /* then the lease runs out by itself */
    (void)sqlstate;
    (void)results;
    (void)count;
    struct shard_table *table = context;
    if (err != ERR_CLOSED) {
        table->on_drained(table->drained_context);
    }
}

static void check_drained(struct shard_table *table)
{
    if (!table->is_draining || table->has_left || table->is_ticking) {
        return;
    }
    if (!table->has_begun) { /* nobody knows of us */
        table->has_left = true;
        table->on_drained(table->drained_context);
        return;
    }

    for (unsigned i = 0; i < table->book.shards; i++) {
        if (table->book.entries[i].held_epoch != 0 || table->book.entries[i].is_handing) {
            return;
        }
    }
    if (table->wants_all && !table->is_failing) {
        tick_soon(table); /* once more: the map we send on makes the new owners look at once */
        return;
    }
    table->has_left = true;
    timer_stop(&table->tick);
    timer_stop(&table->expiry);
    struct pg_query *query = pg_query_create(table->pg);
    pg_query_statement(query, sql_leave);
    pg_add_text(query, str_from_cstr(table->router->node));
    pg_add_int8(query, (int64_t)table->router->boot_epoch);
    pg_query_send(query, on_left, table);
}

struct hand_over {
    struct shard_table *table;
    unsigned shard;
};

static void on_handed_over(void *context,
        enum err err,
        const char *sqlstate,
        const struct pg_result *const *results,
        size_t count)
{
    (void)sqlstate;
    (void)results;
    (void)count;
    struct hand_over *work = context;
    struct shard_table *table = work->table;
    unsigned shard = work->shard;
    free(work);
    if (err == ERR_CLOSED) {
        return;
    }

    /* If it failed, the next tick takes the shard back under a new epoch. */
    table->book.entries[shard].is_handing = false;
    table->wants_all = true;
    tick_soon(table);
    check_drained(table);
}

void shard_quiesced(struct shard_table *table, unsigned shard)
{
    struct shard_entry *entry = &table->book.entries[shard];
    if (!entry->is_releasing) {
        return; /* lost meanwhile */
    }

    uint64_t epoch = entry->held_epoch;
    const char *to = shard_book_poorest(&table->book);
    lose(table, shard);
    entry->is_handing = true;
    if (to != NULL) {
        for (int i = 1; i < table->book.node_count; i++) {
            if (table->book.nodes[i].name == to) {
                entry->owner = i; /* so that the next one goes to who is poorest then */
            }
        }
    }
    struct hand_over *work = MEM_NEW(struct hand_over);
    *work = (struct hand_over){ table, shard };
    struct pg_query *query = pg_query_create(table->pg);
    pg_query_statement(query, sql_hand_over);
    pg_add_int4(query, (int32_t)shard);
    pg_add_text(query, str_from_cstr(table->router->node));
    pg_add_int8(query, (int64_t)epoch);
    if (to != NULL) {
        pg_add_text(query, str_from_cstr(to));
    } else {
        pg_add_null(query);
    }
    pg_query_send(query, on_handed_over, work);
}

static void release(struct shard_table *table, unsigned shard)
{
    struct shard_entry *entry = &table->book.entries[shard];
    if (entry->held_epoch != 0 && !entry->is_releasing) {
        entry->is_releasing = true;
        table->handlers.on_release(table->context, shard);
    }
}

static void even_out(struct shard_table *table)
{
    unsigned surplus = shard_book_surplus(&table->book);
    unsigned running = 0;
    for (unsigned i = 0; i < table->book.shards; i++) {
        running += table->book.entries[i].is_releasing || table->book.entries[i].is_handing;
    }
    for (unsigned i = table->book.shards; i-- > 0 && surplus > 0 && running < MAX_RELEASING;) {
        if (table->book.entries[i].held_epoch != 0 && !table->book.entries[i].is_releasing) {
            release(table, i);
            surplus--;
            running++;
        }
    }
}

void shard_drain(struct shard_table *table, void (*done)(void *context), void *context)
{
    table->is_draining = true;
    table->on_drained = done;
    table->drained_context = context;
    tick_soon(table); /* others learn that we take no more */
    for (unsigned i = 0; i < table->book.shards; i++) {
        release(table, i);
    }
    check_drained(table);
}

/* ---- the map */

/* Owners and the living, not every router there ever was. Writes the place of each node in the
 * list, counted from 1. */
static void pack_nodes(
        const struct shard_book *book, struct arena *arena, uint32_t *places, Wire__ShardMap *map)
{
    map->routers = arena_calloc(arena, (size_t)book->node_count * sizeof(*map->routers));
    for (int i = 0; i < book->node_count; i++) {
        if (!shard_book_is_needed(book, i)) {
            continue;
        }

        Wire__RouterNode *node = arena_alloc(arena, sizeof(*node));
        wire__router_node__init(node);
        node->name = wire_bytes(str_from_cstr(book->nodes[i].name));
        node->address = wire_bytes(str_from_cstr(book->nodes[i].address));
        map->routers[map->n_routers++] = node;
        places[i] = (uint32_t)map->n_routers;
    }
}

void shard_pack_map(const struct shard_table *table, struct buf *out)
{
    const struct shard_book *book = &table->book;
    struct arena arena;
    arena_init(&arena, 8192);
    Wire__ShardMap map = WIRE__SHARD_MAP__INIT;
    map.version = book->version;
    uint32_t *places = arena_calloc(&arena, (size_t)book->node_count * sizeof(*places));
    pack_nodes(book, &arena, places, &map);
    map.owner = arena_alloc(&arena, book->shards * sizeof(*map.owner));
    map.epoch = arena_alloc(&arena, book->shards * sizeof(*map.epoch));
    map.n_owner = book->shards;
    map.n_epoch = book->shards;
    for (unsigned i = 0; i < book->shards; i++) {
        int owner = book->entries[i].owner;
        map.owner[i] = owner == SHARD_NOBODY ? 0 : places[owner];
        map.epoch[i] = book->entries[i].epoch;
    }
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_SHARD_MAP;
    envelope.shard_map = &map;
    wire_pack(out, &envelope);
    arena_fini(&arena);
}

static void tell_packed(struct peer *peer, struct str record)
{
    if (peer->is_up && (peer->role == LINK_ROLE_EDGE || peer->role == LINK_ROLE_ROUTER)) {
        /* Without room it follows when there is some (ingress). */
        enum err err = link_send(peer->link, record);
        (void)err;
    }
}

void shard_tell(const struct shard_table *table, struct peer *peer)
{
    if (table->book.version == 0) {
        return;
    }

    struct buf record;
    buf_init(&record, 0);
    shard_pack_map(table, &record);
    tell_packed(peer, buf_view(&record));
    buf_fini(&record);
}

static void tell_all(const struct shard_table *table)
{
    struct buf record;
    buf_init(&record, 0);
    shard_pack_map(table, &record);
    const struct peers *peers = table->router->peers;
    for (size_t i = 0; i < peers->count; i++) {
        tell_packed(peers->items[i], buf_view(&record));
    }
    buf_fini(&record);
}

/* ---- the tick */

static const char sql_tick[] = "SELECT version, shard, owner, address, epoch"
                               " FROM router.lease_tick($1, $2, $3, $4, $5, $6, $7, $8)";
static const char sql_nodes[] = "SELECT node, address FROM router.router_node"
                                " WHERE NOT draining AND expires > clock_timestamp()";

static struct str text_at(const struct pg_result *result, int row, int column)
{
    return pg_result_is_null(result, row, column) ? STR("") : pg_result_bytes(result, row, column);
}

static void settle(struct shard_table *table)
{
    for (unsigned i = 0; i < table->book.shards; i++) {
        if (shard_book_must_lose(&table->book, i)) {
            lose(table, i);
        }
        if (shard_book_may_gain(&table->book, i)) {
            failpoint("lease-before-takeover");
            shard_book_gain(&table->book, i);
            metric_add(&metric_gained, 1);
            table->handlers.on_gained(table->context, i, table->book.entries[i].epoch);
            if (table->is_draining) {
                release(table, i);
            }
        }
    }
}

static void apply_table(struct shard_table *table, const struct pg_result *result)
{
    int rows = pg_result_rows(result);
    if (rows == 0) {
        return; /* the version we know */
    }

    bool is_changed = false;
    for (int i = 0; i < rows; i++) {
        struct shard_row row = {
            .shard = (unsigned)pg_result_int(result, i, 1),
            .owner = text_at(result, i, 2),
            .address = text_at(result, i, 3),
            .epoch = (uint64_t)pg_result_int(result, i, 4),
        };
        is_changed = shard_book_apply(&table->book, &row) || is_changed;
    }
    uint64_t version = (uint64_t)pg_result_int(result, 0, 0);
    is_changed = is_changed || version != table->book.version;
    table->book.version = version;
    settle(table);
    if (is_changed) {
        tell_all(table);
        table->handlers.on_map(table->context);
    }
}

static void apply_nodes(struct shard_table *table, const struct pg_result *result)
{
    shard_book_nodes_begin(&table->book);
    for (int i = 0; i < pg_result_rows(result); i++) {
        shard_book_node_is_live(
                &table->book, pg_result_bytes(result, i, 0), pg_result_bytes(result, i, 1));
    }
}

/* Ticks begin and end more often than this, whatever PostgreSQL does. Asked before each word that
 * only a home may say, since the timer that would notice may not have had its turn yet. */
static bool has_slept(const struct shard_table *table)
{
    int64_t now = now_of(table);
    bool is_long_over =
            table->book.deadline_ms != 0 && now - table->book.deadline_ms > 2 * MARGIN_MS;
    bool is_back = now - table->alive_ms > query_timeout_ms(table) + 2 * TICK_MS;
    return table->has_slept || is_long_over || is_back;
}

static void note_alive(struct shard_table *table)
{
    table->has_slept = !shard_has_lease(table) && has_slept(table);
    table->alive_ms = now_of(table);
}

/* From now on another router may have our shards, or none can, as PostgreSQL is away. Whoever
 * writes is fenced by its epoch, so they are kept until the table, a newer map or an append says
 * more. */
static void on_expiry(struct timer *timer, void *context)
{
    (void)timer;
    struct shard_table *table = context;
    log_error("shard", "the lease ran out", log_int("shards", shard_book_held_count(&table->book)));
    metric_add(&metric_lapsed, 1);
    note_alive(table);
    table->book.deadline_ms = 0;
    table->wants_all = true;
}

static void note_failure(struct shard_table *table, enum err err, const char *sqlstate)
{
    metric_add(&metric_failures, 1);
    table->wants_all = true; /* what it did, if anything, is unknown */
    if (!table->is_failing) {
        log_warn("shard",
                "the lease could not be renewed",
                log_cstr("err", err_name(err)),
                log_cstr("sqlstate", sqlstate));
    }
    table->is_failing = true;
    if (strcmp(sqlstate, "ST001") == 0) {
        service_fail(table->router->service, "another process runs under this node name");
    }
}

static void renew(struct shard_table *table, const struct pg_result *const *results)
{
    int64_t deadline = table->tick_started_ms + table->router->settings->lease_ms - MARGIN_MS;
    if (deadline <= now_of(table)) {
        table->wants_all = true; /* the answer took too long to be worth anything */
        return;
    }

    if (table->is_failing) {
        log_info("shard", "the lease is renewed again");
    }
    table->is_failing = false;
    table->has_slept = false;
    table->book.deadline_ms = deadline;
    timer_start(loop_timers(table->router->loop), &table->expiry, deadline - now_of(table));
    table->wants_all = false;
    apply_nodes(table, results[1]);
    apply_table(table, results[0]);
    table->handlers.on_renewed(table->context);
    if (!table->is_draining) {
        even_out(table);
    }
}

static void on_tick_done(void *context,
        enum err err,
        const char *sqlstate,
        const struct pg_result *const *results,
        size_t count)
{
    struct shard_table *table = context;
    if (err == ERR_CLOSED) {
        return;
    }

    note_alive(table);
    table->is_ticking = false;
    if (err == ERR_OK && count == 2) {
        renew(table, results);
    } else {
        note_failure(table, err, sqlstate);
    }
    metric_set(&metric_owned, shard_book_held_count(&table->book));

    int64_t next = table->tick_started_ms + TICK_MS - now_of(table);
    tick_in(table, table->wants_tick || next < SOON_MS ? SOON_MS : next);
    table->wants_tick = false;
    check_drained(table);
}

static void add_retakes(struct shard_table *table, struct pg_query *query)
{
    pg_add_array_begin(query, PG_ARRAY_INT4);
    for (unsigned i = 0; i < table->book.shards; i++) {
        if (shard_book_must_retake(&table->book, i)) {
            pg_add_int4(query, (int32_t)i);
            table->wants_all = true;
        }
    }
    pg_add_array_end(query);
}

static void on_tick(struct timer *timer, void *context)
{
    (void)timer;
    struct shard_table *table = context;
    if (table->book.version == 0 && table->patience > 0
            && peers_choose(table->router->peers, LINK_ROLE_ARCHIVE, STR(""), NULL) == NULL) {
        table->patience--;
        tick_in(table, SOON_MS); /* shards are of no use before the log can be reached */
        return;
    }

    note_alive(table);
    table->is_ticking = true;
    table->tick_started_ms = now_of(table);
    struct pg_query *query = pg_query_create(table->pg);
    pg_query_statement(query, sql_tick);
    pg_add_text(query, str_from_cstr(table->router->node));
    pg_add_text(query, str_from_cstr(link_address(table->router->link)));
    pg_add_int8(query, (int64_t)table->router->boot_epoch);
    pg_add_int4(query, (int32_t)table->router->settings->lease_ms);
    pg_add_int4(query, (int32_t)table->book.shards);
    pg_add_bool(query, table->is_draining);
    add_retakes(table, query);
    pg_add_int8(query, table->wants_all ? 0 : (int64_t)table->book.version);
    pg_query_statement(query, sql_nodes);
    pg_query_send(query, on_tick_done, table);
}

/* ---- questions and news */

unsigned shard_of(const struct shard_table *table, struct str bare)
{
    return jid_shard(settings_home_of(table->router->settings, bare), table->book.shards);
}

unsigned shard_count(const struct shard_table *table)
{
    return table->book.shards;
}

bool shard_is_held(const struct shard_table *table, unsigned shard)
{
    return shard_book_is_held(&table->book, shard);
}

bool shard_is_owned(const struct shard_table *table, unsigned shard)
{
    return shard_is_held(table, shard) && !table->book.entries[shard].is_releasing;
}

bool shard_has_lease(const struct shard_table *table)
{
    return now_of(table) < table->book.deadline_ms;
}

bool shard_may_give_up(const struct shard_table *table)
{
    return shard_has_lease(table) || (table->is_failing && !has_slept(table));
}

uint64_t shard_epoch(const struct shard_table *table, unsigned shard)
{
    return table->book.entries[shard].held_epoch;
}

uint64_t shard_listed_epoch(const struct shard_table *table, unsigned shard)
{
    return table->book.entries[shard].epoch;
}

const char *shard_owner_node(const struct shard_table *table, unsigned shard)
{
    int owner = table->book.entries[shard].owner;
    return owner == SHARD_NOBODY ? NULL : table->book.nodes[owner].name;
}

uint64_t shard_map_version(const struct shard_table *table)
{
    return table->book.version;
}

void shard_fenced(struct shard_table *table, unsigned shard, uint64_t epoch)
{
    if (!shard_book_is_fenced(&table->book, shard, epoch)) {
        return;
    }

    log_warn("shard", "an append was fenced", log_int("shard", shard));
    table->wants_all = true;
    lose(table, shard);
    tick_soon(table);
}

/* PostgreSQL may be away for us alone: without a lease, what was taken from us is believed. */
static void believe(struct shard_table *table, const Wire__ShardMap *map)
{
    struct shard_book *book = &table->book;
    for (unsigned i = 0; i < book->shards; i++) {
        if (map->epoch[i] <= book->entries[i].epoch || map->owner[i] == 0
                || map->owner[i] > map->n_routers) {
            continue;
        }
        const Wire__RouterNode *owner = map->routers[map->owner[i] - 1];
        struct shard_row row = {
            .shard = i,
            .owner = wire_str(owner->name),
            .address = wire_str(owner->address),
            .epoch = map->epoch[i],
        };
        (void)shard_book_apply(book, &row);
        if (shard_book_must_lose(book, i)) {
            lose(table, i);
        }
    }
    table->handlers.on_map(table->context);
}

void shard_on_map(struct shard_table *table, const Wire__ShardMap *map)
{
    if (map->version <= table->book.version || table->has_left) {
        return;
    }
    if (!shard_has_lease(table) && map->n_owner == table->book.shards
            && map->n_epoch == table->book.shards) {
        believe(table, map);
    }
    tick_soon(table);
}

/* ---- life */

static enum err open_pool(struct shard_table *table)
{
    const struct pg_config *config =
            config_get(service_config(table->router->service), &config_section_postgres_router);
    struct pg_options options = pg_config_options(config);
    options.connections = LEASE_CONNECTIONS;
    options.query_timeout_ms = query_timeout_ms(table);
    options.reconnect_min_ms = 50;
    options.reconnect_max_ms = 1000;
    options.companion = table->router->pg;
    options.max_queued = 2 * (size_t)table->book.shards + 16;
    return pg_pool_open(table->router->loop, &options, &table->pg);
}

enum err shard_table_open(struct router *router,
        const struct shard_handlers *handlers,
        void *context,
        struct shard_table **table_out)
{
    struct shard_table *table = MEM_NEW(struct shard_table);
    table->router = router;
    table->handlers = *handlers;
    table->context = context;
    shard_book_init(&table->book, router->settings->shards, router->node);
    timer_init(&table->tick, on_tick, table);
    timer_init(&table->expiry, on_expiry, table);
    enum err err = open_pool(table);
    if (err != ERR_OK) {
        shard_book_fini(&table->book);
        free(table);
        return err;
    }

    metric_register(&metric_failures);
    metric_register(&metric_lapsed);
    metric_register(&metric_owned);
    metric_register(&metric_lost);
    metric_register(&metric_gained);
    table->patience = START_PATIENCE;
    *table_out = table;
    return ERR_OK;
}

void shard_table_begin(struct shard_table *table)
{
    table->has_begun = true;
    table->alive_ms = now_of(table);
    tick_in(table, 0);
}

void shard_table_close(struct shard_table *table)
{
    if (table == NULL) {
        return;
    }

    timer_stop(&table->tick);
    timer_stop(&table->expiry);
    pg_pool_close(table->pg);
    shard_book_fini(&table->book);
    free(table);
}
