/* A router without sockets, stores or threads, for unit tests of entities and features: everything
 * an entity asks of its surroundings is written down as a line of text (fake.out) or answered from
 * memory. Included by one _test.c of an executable: its definitions take the place of the real
 * ones, which the linker then leaves in their library. */
#pragma once

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chassis/base/mem.h"
#include "chassis/loop.h"
#include "chassis/redis.h"
#include "proto/wire/wire.h"
#include "proto/xmpp/jid.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/precis_look_alike.h"
#include "router/auth.h"
#include "router/cluster.h"
#include "router/commit.h"
#include "router/data_seal.h"
#include "router/entity/entity.h"
#include "router/entity/entity_table.h"
#include "router/lifecycle.h"
#include "router/log_client.h"
#include "router/password_work.h"
#include "router/route_many.h"
#include "router/router.h"
#include "router/session_registry.h"
#include "router/shard.h"
#include "router/signer.h"
#include "router/spool.h"
#include "router/store/account_data_store.h"
#include "router/store/roster_store.h"
#include "router/vault.h"

#define FAKE_SHARDS 8
#define FAKE_MAX    256

struct loop {
    struct clock clock;
    struct timer_wheel *timers;
    struct loop_task *tasks;
};

struct fake_entry {
    int64_t owner;
    int64_t id;
    struct origin origin;
    struct buf packed;
    bool is_committed;
};

struct fake_account {
    const char *bare;
    struct account_row row;
};

struct fake_session {
    struct id128 id;
    char name[64];
};

struct fake_input {
    int64_t owner;
    struct id128 session;
    uint32_t h;
};

/* A row of the roster store; the key of an account is one with an empty contact. */
struct fake_row {
    int64_t owner;
    struct buf contact;
    struct buf item;
};

struct fake_save {
    struct roster_write write; /* its views are heap copies */
    char *texts[3];
};

struct fake_call {
    void (*run)(struct fake_call *call);
    void (*done)(void); /* cast by run */
    void *context;
    int64_t owner;
    int64_t after_id;
    uint32_t max_entries;
    struct str bare;
    char bare_text[64];
    uint64_t request;
    bool is_live;
    enum err err;
    const struct buf *value;
    struct fake_save save;
};

struct fake {
    struct fake_clock time;
    struct loop loop;
    struct settings settings;
    struct host host;
    struct router router;
    struct buf out;
    struct fake_account accounts[8];
    size_t account_count;
    struct fake_session sessions[FAKE_MAX];
    size_t session_count;
    struct fake_entry entries[FAKE_MAX];
    size_t entry_count;
    struct fake_input inputs[FAKE_MAX];
    size_t input_count;
    int64_t watermarks[8]; /* by owner */
    int64_t pending_watermarks[8];
    bool is_watermark_slow; /* it stays pending */
    struct {
        commit_done done;
        void *context;
    } waits[FAKE_MAX];
    size_t wait_count;
    struct fake_call calls[FAKE_MAX];
    size_t call_count;
    struct {
        egress_route_done done;
        void *context;
    } routes[FAKE_MAX];
    size_t route_count;
    struct session_record records[8];
    size_t record_count;
    bool is_redis_up;
    bool is_redis_slow; /* it has room for redis_room looks */
    int redis_room;
    int64_t redis_lost_ms; /* when; 0: long ago */
    bool is_redis_mute;    /* fake_answer_redis answers */
    struct {
        redis_done done;
        void *context;
    } questions[FAKE_MAX];
    size_t question_count;
    bool is_store_down;
    bool is_fenced;
    struct fake_datum {
        int64_t owner;
        enum account_data_kind kind;
        struct buf key;
        struct buf value;
    } data[FAKE_MAX];
    size_t data_count;
    bool is_data_clear; /* rows are from before there were seals */
    bool is_log_down;
    bool has_no_room;
    bool is_foreign[FAKE_SHARDS]; /* shards of another router */
    const char *dead_edge;
    const char *full_edge;
    bool is_auto_commit;
    char resume_id[128]; /* of the last ENABLED */
    uint64_t last_request;
    struct session_record
            written; /* the last one with stream management; resource and edge unset */
    struct {
        struct spool_element element;
        struct id128 session;
        struct buf packed;
    } spool[FAKE_MAX];
    size_t spool_count;
    size_t spool_trimmed; /* elements in front that are gone */
    struct fake_row rows[FAKE_MAX];
    size_t row_count;
    int64_t versions[8]; /* by owner */
    bool has_slept;
    int64_t failing_owner; /* whose roster cannot be written */
    const char *live[8];
    size_t live_count;
};

static struct fake fake;

/* ---- clock, loop */

struct loop *loop_create(const struct clock *clock)
{
    (void)clock;
    return &fake.loop;
}
int64_t loop_now_ms(const struct loop *loop)
{
    (void)loop;
    return fake.time.monotonic_ms;
}
int64_t loop_wall_us(const struct loop *loop)
{
    (void)loop;
    return fake.time.wall_us;
}
struct timer_wheel *loop_timers(struct loop *loop)
{
    return loop->timers;
}
void loop_defer(struct loop *loop, enum loop_phase phase, struct loop_task *task)
{
    (void)phase;
    if (!task->queued) {
        task->queued = true;
        task->next = loop->tasks;
        loop->tasks = task;
    }
}
void loop_task_cancel(struct loop *loop, struct loop_task *task)
{
    struct loop_task **at = &loop->tasks;
    while (*at && *at != task) {
        at = &(*at)->next;
    }
    if (*at) {
        *at = task->next;
    }
    task->queued = false;
}
struct loop_wake {
    struct loop_task task;
};
struct loop_wake *loop_wake_create(struct loop *loop, void (*fn)(void *context), void *context)
{
    (void)loop;
    struct loop_wake *wake = MEM_NEW(struct loop_wake);
    wake->task = (struct loop_task){ .run = fn, .context = context };
    return wake;
}
void loop_wake_signal(struct loop_wake *wake)
{
    loop_defer(&fake.loop, LOOP_PHASE_WORK, &wake->task);
}
void loop_wake_destroy(struct loop_wake *wake)
{
    loop_task_cancel(&fake.loop, &wake->task);
    free(wake);
}

/* ---- names in the output */

static inline const char *fake_name_of(struct id128 session)
{
    for (size_t i = 0; i < fake.session_count; i++) {
        if (id128_equal(fake.sessions[i].id, session)) {
            return fake.sessions[i].name;
        }
    }
    return "?";
}

static inline struct id128 fake_session(const char *name)
{
    for (size_t i = fake.session_count; i-- > 0;) {
        if (strcmp(fake.sessions[i].name, name) == 0) {
            return fake.sessions[i].id;
        }
    }
    return (struct id128){ 0, 0 };
}

static inline void fake_know_session(struct id128 id, const char *name)
{
    struct fake_session *session = &fake.sessions[fake.session_count++];
    session->id = id;
    (void)snprintf(session->name, sizeof(session->name), "%s", name);
}

static inline void fake_write_stanza(const struct stanza *stanza)
{
    buf_append_char(&fake.out, ' ');
    stanza_write(&fake.out, stanza);
    buf_append_char(&fake.out, '\n');
}

/* ---- egress */

enum err egress_deliver(struct egress *egress,
        const char *edge,
        const struct stanza *stanza,
        int64_t log_id,
        const struct egress_target *targets,
        size_t count)
{
    (void)egress;
    if (fake.dead_edge && strcmp(edge, fake.dead_edge) == 0) {
        return ERR_UNAVAILABLE;
    }
    if (fake.full_edge && strcmp(edge, fake.full_edge) == 0) {
        return ERR_LIMIT;
    }
    buf_printf(&fake.out, "DELIVER %s", edge);
    for (size_t i = 0; i < count; i++) {
        buf_printf(&fake.out, " %s", fake_name_of(targets[i].session));
    }
    if (targets[0].sequence) {
        buf_printf(&fake.out, " #%u", targets[0].sequence);
    }
    buf_printf(&fake.out, " %s", log_id ? "kept" : "volatile");
    fake_write_stanza(stanza);
    return ERR_OK;
}
void egress_handled(struct egress *egress,
        const char *edge,
        struct id128 session,
        uint32_t counter,
        Wire__Switch carbons)
{
    (void)egress;
    buf_printf(&fake.out,
            "HANDLED %s %s %u%s\n",
            edge,
            fake_name_of(session),
            counter,
            carbons == WIRE__SWITCH__SWITCH_ON ? " copies" : "");
}
void egress_answered(struct egress *egress,
        const char *edge,
        struct id128 session,
        uint32_t handled,
        uint32_t counter)
{
    (void)egress;
    buf_printf(&fake.out,
            "ANSWERED %s %s %u behind %u\n",
            edge,
            fake_name_of(session),
            counter,
            handled);
}
void egress_kick(struct egress *egress,
        const char *edge,
        struct id128 session,
        struct str bare,
        enum stream_condition condition,
        struct str text)
{
    (void)egress;
    (void)bare;
    (void)text;
    buf_printf(&fake.out,
            "KICK %s %s %s\n",
            edge,
            fake_name_of(session),
            stream_condition_name(condition));
}
void egress_kick_moved(struct egress *egress,
        const char *edge,
        struct id128 session,
        struct str bare,
        uint32_t attach)
{
    (void)egress;
    (void)bare;
    buf_printf(&fake.out, "MOVED %s %s %u\n", edge, fake_name_of(session), attach);
}
void egress_enable_reply(struct egress *egress, const char *edge, const Wire__EnableReply *reply)
{
    (void)egress;
    if (reply->status != WIRE__STATUS__STATUS_OK) {
        buf_printf(&fake.out, "NOT-ENABLED %s %d\n", edge, (int)reply->status);
        return;
    }
    (void)snprintf(
            fake.resume_id, sizeof(fake.resume_id), STR_FMT, STR_ARG(wire_str(reply->resume_id)));
    buf_printf(&fake.out,
            "ENABLED %s %u %u max=%u%s\n",
            edge,
            reply->sequence,
            reply->counter,
            reply->max_s,
            reply->resume_id.len ? " resumable" : "");
}
void egress_resume_reply(struct egress *egress, const char *edge, const Wire__ResumeReply *reply)
{
    (void)egress;
    if (reply->status == WIRE__STATUS__STATUS_OK) {
        buf_printf(&fake.out,
                "RESUMED %s %s handled=%u acked=%u attach=%u\n",
                edge,
                fake_name_of(wire_id(reply->session)),
                reply->handled,
                reply->acked,
                reply->attach);
    } else if (reply->has_h) {
        buf_printf(&fake.out,
                "NOT-RESUMED %s %d h=%u\n",
                edge,
                (int)reply->status,
                reply->handled - reply->counter);
    } else {
        buf_printf(&fake.out, "NOT-RESUMED %s %d\n", edge, (int)reply->status);
    }
}
void egress_close_reply(
        struct egress *egress, const char *edge, struct id128 session, uint32_t attach)
{
    (void)egress;
    buf_printf(&fake.out, "CLOSED %s %s %u\n", edge, fake_name_of(session), attach);
}
void egress_ask_announce(struct egress *egress, const char *edge, unsigned shard)
{
    (void)egress;
    (void)shard;
    buf_printf(&fake.out, "ASK %s\n", edge);
}
void egress_bind_reply(struct egress *egress, const char *edge, const Wire__BindReply *reply)
{
    (void)egress;
    if (reply->status != WIRE__STATUS__STATUS_OK) {
        buf_printf(&fake.out, "REFUSED %s %d\n", edge, (int)reply->status);
        return;
    }
    struct jid jid;
    assert_int_equal(jid_split(wire_str(reply->full), &jid), ERR_OK);
    char name[64];
    (void)snprintf(name, sizeof(name), STR_FMT, STR_ARG(jid.resource));
    fake_know_session(wire_id(reply->session), name);
    buf_printf(&fake.out, "BOUND %s " STR_FMT "\n", edge, STR_ARG(jid.full));
}
void egress_route(struct egress *egress,
        const struct origin *origin,
        const struct stanza *stanza,
        egress_route_done done,
        void *context)
{
    (void)egress;
    buf_printf(&fake.out,
            "ROUTE %s %u%s",
            done ? "kept" : "volatile",
            origin->counter,
            origin->is_repeat ? " again" : "");
    fake_write_stanza(stanza);
    if (done) {
        fake.routes[fake.route_count].done = done;
        fake.routes[fake.route_count++].context = context;
    }
}

void route_many_send(struct route_many *many,
        const struct origin *origin,
        const struct stanza *stanza,
        const struct str *to,
        size_t count)
{
    (void)many;
    (void)origin;
    buf_printf(&fake.out, "ROUTE-MANY");
    for (size_t i = 0; i < count; i++) {
        buf_printf(&fake.out, " " STR_FMT, STR_ARG(to[i]));
    }
    fake_write_stanza(stanza);
}

/* ---- commit: what is added becomes part of the log with fake_commit(ERR_OK) */

void commit_entry(struct commit *commit,
        unsigned shard,
        int64_t owner,
        int64_t id,
        const struct origin *origin,
        const struct stanza *stanza)
{
    (void)commit;
    (void)shard;
    struct fake_entry *entry = &fake.entries[fake.entry_count++];
    *entry = (struct fake_entry){ .owner = owner, .id = id, .origin = *origin };
    buf_init(&entry->packed, 0);
    wire_stanza_pack(&entry->packed, stanza);
    buf_printf(&fake.out, "ENTRY %" PRId64, owner);
    fake_write_stanza(stanza);
}
void commit_input(
        struct commit *commit, unsigned shard, int64_t owner, const struct commit_input *input)
{
    (void)commit;
    (void)shard;
    fake.inputs[fake.input_count++] = (struct fake_input){ owner, input->session, input->h };
    buf_printf(&fake.out,
            "INPUT %s %u%s%s\n",
            fake_name_of(input->session),
            input->h,
            input->is_closed ? " closed" : "",
            input->is_ahead ? " ahead" : "");
}
void commit_watermark(struct commit *commit, unsigned shard, int64_t owner, int64_t id)
{
    (void)commit;
    (void)shard;
    *(fake.is_watermark_slow ? &fake.pending_watermarks[owner] : &fake.watermarks[owner]) = id;
    buf_printf(&fake.out, "WATERMARK %" PRId64 "\n", owner);
}
int64_t commit_pending_watermark(const struct commit *commit, int64_t owner)
{
    (void)commit;
    return fake.pending_watermarks[owner];
}
void commit_wait(struct commit *commit, unsigned shard, commit_done done, void *context)
{
    (void)commit;
    (void)shard;
    fake.waits[fake.wait_count].done = done;
    fake.waits[fake.wait_count++].context = context;
}
void commit_wait_input(struct commit *commit, unsigned shard, commit_done done, void *context)
{
    commit_wait(commit, shard, done, context);
}
void commit_flush(struct commit *commit, unsigned shard, commit_done done, void *context)
{
    commit_wait(commit, shard, done, context);
}
bool commit_has_room(const struct commit *commit)
{
    (void)commit;
    return !fake.has_no_room;
}
bool commit_is_idle(const struct commit *commit, unsigned shard)
{
    (void)commit;
    (void)shard;
    return fake.wait_count == 0;
}

/* ---- stores: answers come from fake_run */

static inline struct fake_call *fake_add_call(void (*run)(struct fake_call *), void *context)
{
    static uint64_t next_request = 1;
    for (size_t i = 0; i < FAKE_MAX; i++) {
        struct fake_call *call = &fake.calls[i];
        if (!call->is_live) {
            *call = (struct fake_call){
                .run = run, .context = context, .is_live = true, .request = next_request++
            };
            fake.call_count++;
            return call;
        }
    }
    assert_fail("too many calls", __FILE__, __LINE__);
}

static inline struct fake_account *fake_find_account(struct str bare)
{
    for (size_t i = 0; i < fake.account_count; i++) {
        if (str_equal(str_from_cstr(fake.accounts[i].bare), bare)) {
            return &fake.accounts[i];
        }
    }
    return NULL;
}

static inline struct fake_row *fake_find_row(int64_t owner, struct str contact)
{
    for (size_t i = 0; i < fake.row_count; i++) {
        struct fake_row *row = &fake.rows[i];
        if (row->owner == owner && str_equal(buf_view(&row->contact), contact)) {
            return row;
        }
    }
    return NULL;
}
static inline void fake_set_row(int64_t owner, struct str contact, struct str item)
{
    struct fake_row *row = fake_find_row(owner, contact);
    if (!row) {
        row = &fake.rows[fake.row_count++];
        *row = (struct fake_row){ .owner = owner };
        buf_append_str(&row->contact, contact);
    }
    buf_clear(&row->item);
    buf_append_str(&row->item, item);
}
static inline struct fake_datum *fake_find_datum(
        int64_t owner, enum account_data_kind kind, struct str key)
{
    for (size_t i = 0; i < fake.data_count; i++) {
        struct fake_datum *datum = &fake.data[i];
        if (datum->owner == owner && datum->kind == kind && str_equal(buf_view(&datum->key), key)) {
            return datum;
        }
    }
    return NULL;
}
static inline void fake_answer_data(struct fake_call *call)
{
    struct account_datum row = { .value = call->value ? buf_view(call->value) : STR_NULL,
        .is_sealed = !fake.is_data_clear };
    bool is_there = call->err == ERR_OK && row.value.len > 0;
    ((account_data_loaded)call->done)(
            call->context, call->err, is_there ? &row : NULL, is_there ? 1 : 0);
}
void account_data_load(struct account_data_store *store,
        const struct account_data_name *name,
        account_data_loaded done,
        void *context)
{
    (void)store;
    struct fake_datum *datum = fake_find_datum(
            name->owner, name->kind, fake.is_data_clear ? name->clear_key : name->key);
    struct fake_call *call = fake_add_call(fake_answer_data, context);
    call->done = (void (*)(void))done;
    call->err = fake.is_store_down ? ERR_UNAVAILABLE : ERR_OK;
    call->value = datum ? &datum->value : NULL;
}
static inline void fake_answer_put(struct fake_call *call)
{
    ((account_data_changed)call->done)(call->context, call->err);
}
static inline enum err fake_judge_change(const struct account_data_change *change)
{
    int64_t bytes = 0;
    for (size_t i = 0; i < change->count; i++) {
        bytes += (int64_t)(change->items[i].key.len + change->items[i].value.len);
        bytes -= change->items[i].value.len > 0 ? ACCOUNT_DATA_SEAL_BYTES : 0;
    }
    if (fake.is_store_down) {
        return ERR_UNAVAILABLE;
    }
    if (fake.is_fenced) {
        return ERR_FENCED;
    }
    bool fits = (int64_t)change->count <= change->max_items && bytes <= change->max_bytes;
    return fits ? ERR_OK : ERR_LIMIT;
}
/* Rosters and data of an account are under one key: the row without contact. */
static inline void fake_print_opened(
        const struct account_data_change *change, const struct account_datum *item)
{
    struct vault_key key;
    struct fake_row *row = fake_find_row(change->owner, STR_NULL);
    assert_int_equal(
            vault_open_key(fake.router.vault, change->owner, buf_view(&row->item), &key), ERR_OK);
    struct data_place place = data_place_of(&key, change->kind, item->clear_key);
    assert_true(str_equal(item->key, data_place_key(&place)));
    if (item->value.len > 0) {
        assert_int_equal(data_open(&key, &place, item->value, &fake.out), ERR_OK);
    }
    buf_append_char(&fake.out, '\n');
}
void account_data_put(struct account_data_store *store,
        const struct account_data_change *change,
        account_data_changed done,
        void *context)
{
    (void)store;
    struct fake_call *call = fake_add_call(fake_answer_put, context);
    call->done = (void (*)(void))done;
    call->err = fake_judge_change(change);
    if ((call->err == ERR_OK || call->err == ERR_LIMIT) && change->wrapped_key.len > 0) {
        assert_null(fake_find_row(change->owner, STR_NULL));
        fake_set_row(change->owner, STR_NULL, change->wrapped_key);
    }
    for (size_t i = 0; call->err == ERR_OK && i < change->count; i++) {
        const struct account_datum *item = &change->items[i];
        struct fake_datum *datum = fake_find_datum(change->owner, change->kind, item->key);
        if (!datum) {
            datum = &fake.data[fake.data_count++];
            datum->owner = change->owner;
            datum->kind = change->kind;
            buf_append_str(&datum->key, item->key);
        }
        buf_clear(&datum->value);
        buf_append_str(&datum->value, item->value);
        buf_printf(&fake.out, "DATA %" PRId64 " %d ", change->owner, (int)change->kind);
        fake_print_opened(change, item);
    }
}

static inline void fake_answer_account(struct fake_call *call)
{
    struct fake_account *account = fake_find_account(call->bare);
    enum err err = fake.is_store_down ? ERR_UNAVAILABLE : account ? ERR_OK : ERR_NOT_FOUND;
    if (err == ERR_OK) {
        struct fake_datum *list =
                fake_find_datum(account->row.id, ACCOUNT_DATA_BLOCKLIST, STR_NULL);
        account->row.blocked = list ? buf_view(&list->value) : STR_NULL;
        account->row.is_blocked_sealed = account->row.blocked.len > 0 && !fake.is_data_clear;
        struct fake_row *key = fake_find_row(account->row.id, STR_NULL);
        account->row.wrapped_key = key ? buf_view(&key->item) : STR_NULL;
    }
    ((account_loaded)call->done)(call->context, err, err == ERR_OK ? &account->row : NULL);
}
static inline void fake_keep_bare(struct fake_call *call, struct str bare)
{
    (void)snprintf(call->bare_text, sizeof(call->bare_text), STR_FMT, STR_ARG(bare));
    call->bare = str_from_cstr(call->bare_text);
}
void account_load(struct account_store *store, struct str bare, account_loaded done, void *context)
{
    (void)store;
    struct fake_call *call = fake_add_call(fake_answer_account, context);
    call->done = (void (*)(void))done;
    fake_keep_bare(call, bare);
}
static inline void fake_answer_change(struct fake_call *call)
{
    ((account_changed)call->done)(
            call->context, fake.is_store_down ? ERR_UNAVAILABLE : call->err, call->owner);
}
void account_set_verifiers(struct account_store *store,
        struct str bare,
        const struct verifier verifiers[VERIFIERS],
        account_changed done,
        void *context)
{
    (void)store;
    assert_int_equal(verifiers[DIGEST_SHA1].iterations, fake.settings.scram_iterations);
    assert_memory_not_equal(verifiers[0].salt, verifiers[1].salt, sizeof(verifiers[0].salt));
    struct fake_call *call = fake_add_call(fake_answer_change, context);
    call->done = (void (*)(void))done;
    buf_printf(&fake.out, "PASSWORD " STR_FMT "\n", STR_ARG(bare));
}
static inline void fake_answer_told(struct fake_call *call)
{
    ((account_told)call->done)(call->context, call->err, str_from_cstr(call->bare_text));
}
void account_create(struct account_store *store,
        struct str bare,
        const struct verifier verifiers[VERIFIERS],
        account_changed done,
        void *context)
{
    (void)store;
    (void)verifiers;
    struct fake_call *call = fake_add_call(fake_answer_change, context);
    call->done = (void (*)(void))done;
    call->err = fake_find_account(bare) ? ERR_EXISTS : ERR_OK;
    buf_printf(&fake.out, "CREATE " STR_FMT "\n", STR_ARG(bare));
}
/* The store says ERR_EXISTS for what looks like an account, too. */
void account_register(struct account_store *store,
        struct str bare,
        const struct verifier verifiers[VERIFIERS],
        account_changed done,
        void *context)
{
    (void)store;
    (void)verifiers;
    struct fake_call *call = fake_add_call(fake_answer_change, context);
    uint8_t mark[LOOK_ALIKE_MARK_BYTES];
    precis_look_alike_mark(bare, mark);
    call->done = (void (*)(void))done;
    for (size_t i = 0; i < fake.account_count; i++) {
        uint8_t other[LOOK_ALIKE_MARK_BYTES];
        precis_look_alike_mark(str_from_cstr(fake.accounts[i].bare), other);
        call->err = memcmp(mark, other, sizeof(mark)) == 0 ? ERR_EXISTS : call->err;
    }
    buf_printf(&fake.out, "REGISTER " STR_FMT "\n", STR_ARG(bare));
}
void account_set_state(struct account_store *store,
        struct str bare,
        enum account_state state,
        account_changed done,
        void *context)
{
    (void)store;
    struct fake_account *account = fake_find_account(bare);
    struct fake_call *call = fake_add_call(fake_answer_change, context);
    call->done = (void (*)(void))done;
    call->err = account ? ERR_OK : ERR_NOT_FOUND;
    if (account) {
        account->row.state = state;
    }
    buf_printf(&fake.out, "STATE " STR_FMT " %d\n", STR_ARG(bare), (int)state);
}
void account_count(struct account_store *store,
        struct str domain,
        enum account_state state,
        account_told done,
        void *context)
{
    (void)store;
    (void)domain;
    struct fake_call *call = fake_add_call(fake_answer_told, context);
    call->done = (void (*)(void))done;
    (void)snprintf(call->bare_text, sizeof(call->bare_text), "%d", 10 + (int)state);
}
void account_list(struct account_store *store,
        struct str domain,
        int64_t max,
        account_told done,
        void *context)
{
    (void)store;
    (void)domain;
    struct fake_call *call = fake_add_call(fake_answer_told, context);
    call->done = (void (*)(void))done;
    (void)snprintf(call->bare_text, sizeof(call->bare_text), "a@x\nb@x\nmax%d@x", (int)max);
}
void cluster_tell_account_changed(struct router *router, struct str bare, bool end_sessions)
{
    (void)router;
    buf_printf(&fake.out, "CHANGED " STR_FMT "%s\n", STR_ARG(bare), end_sessions ? " end" : "");
    entity_on_account_changed(fake.router.entities, bare);
    if (end_sessions) {
        entity_on_end_sessions(fake.router.entities, bare);
    }
}
uint64_t cluster_count_online(const struct router *router)
{
    return entity_count_online(router->entities);
}
void cluster_announce(struct router *router, struct str host, struct str subject, struct str text)
{
    (void)router;
    buf_printf(&fake.out,
            "ANNOUNCE " STR_FMT " [" STR_FMT "] " STR_FMT "\n",
            STR_ARG(host),
            STR_ARG(subject),
            STR_ARG(text));
}
void account_last_login(
        struct account_store *store, struct str bare, account_told done, void *context)
{
    (void)store;
    struct fake_call *call = fake_add_call(fake_answer_told, context);
    call->done = (void (*)(void))done;
    call->err = fake_find_account(bare) ? ERR_OK : ERR_NOT_FOUND;
    (void)snprintf(call->bare_text, sizeof(call->bare_text), "2026-11-27");
}
void lifecycle_poke(struct lifecycle *lifecycle)
{
    (void)lifecycle;
    buf_printf(&fake.out, "POKED\n");
}
void account_delete(
        struct account_store *store, struct str bare, account_changed done, void *context)
{
    (void)store;
    struct fake_call *call = fake_add_call(fake_answer_change, context);
    call->done = (void (*)(void))done;
    buf_printf(&fake.out, "DELETE " STR_FMT "\n", STR_ARG(bare));
    struct fake_account *account = fake_find_account(bare);
    call->err = account ? ERR_OK : ERR_NOT_FOUND;
    if (!fake.is_store_down && account) {
        account->row.state = ACCOUNT_DELETED;
    }
}
static inline void fake_answer_derive(struct fake_call *call)
{
    struct verifier verifier = { .iterations = (uint32_t)fake.settings.scram_iterations,
        .salt_len = 16 };
    memcpy(verifier.salt, call->bare_text, sizeof(verifier.salt));
    ((password_derived)call->done)(call->context, &verifier);
}
enum err password_derive(struct password_work *work,
        enum digest digest,
        struct str password,
        const struct verifier *parameters,
        password_derived done,
        void *context)
{
    (void)work;
    (void)digest;
    assert_true(password.len > 0);
    struct fake_call *call = fake_add_call(fake_answer_derive, context);
    call->done = (void (*)(void))done;
    memcpy(call->bare_text, parameters->salt, sizeof(parameters->salt));
    return ERR_OK;
}

static inline void fake_answer_derive_all(struct fake_call *call)
{
    struct verifier verifiers[VERIFIERS] = { 0 };
    for (int i = 0; i < VERIFIERS; i++) {
        verifiers[i].iterations = (uint32_t)fake.settings.scram_iterations;
        verifiers[i].salt[0] = (uint8_t)i;
    }
    ((password_derived_all)call->done)(call->context, verifiers);
}
enum err password_derive_all(struct password_work *work,
        struct str password,
        uint32_t iterations,
        password_derived_all done,
        void *context)
{
    (void)work;
    (void)iterations;
    assert_true(password.len > 0);
    struct fake_call *call = fake_add_call(fake_answer_derive_all, context);
    call->done = (void (*)(void))done;
    return ERR_OK;
}

/* ---- rosters */

static inline size_t fake_count_rows(int64_t owner)
{
    size_t count = 0;
    for (size_t i = 0; i < fake.row_count; i++) {
        const struct fake_row *row = &fake.rows[i];
        count += row->owner == owner && row->contact.len && row->item.len;
    }
    return count;
}
static inline void fake_answer_roster(struct fake_call *call)
{
    static struct roster_row rows[FAKE_MAX];
    struct roster_snapshot snapshot = { .rows = rows, .version = fake.versions[call->owner] };
    struct fake_row *key = fake_find_row(call->owner, STR_NULL);
    snapshot.wrapped_key = key ? buf_view(&key->item) : STR_NULL;
    for (size_t i = 0; i < fake.row_count; i++) {
        const struct fake_row *row = &fake.rows[i];
        if (row->owner == call->owner && row->contact.len && row->item.len) {
            rows[snapshot.count++] =
                    (struct roster_row){ buf_view(&row->contact), buf_view(&row->item) };
        }
    }
    ((roster_loaded)call->done)(
            call->context, fake.is_store_down ? ERR_UNAVAILABLE : ERR_OK, &snapshot);
}
void roster_load(struct roster_store *store, int64_t owner, roster_loaded done, void *context)
{
    (void)store;
    struct fake_call *call = fake_add_call(fake_answer_roster, context);
    call->done = (void (*)(void))done;
    call->owner = owner;
}
static inline void fake_answer_save(struct fake_call *call)
{
    const struct roster_write *write = &call->save.write;
    enum err err = fake.is_fenced ? ERR_FENCED : fake.is_store_down ? ERR_UNAVAILABLE : ERR_OK;
    err = write->owner == fake.failing_owner ? ERR_UNAVAILABLE : err;
    if (err == ERR_OK) {
        if (write->wrapped_key.len) {
            assert_null(fake_find_row(write->owner, STR_NULL));
            fake_set_row(write->owner, STR_NULL, write->wrapped_key);
        }
        fake_set_row(write->owner, write->contact, write->item);
        assert_true(write->version > fake.versions[write->owner]);
        fake.versions[write->owner] = write->version;
    }
    for (size_t i = 0; i < 3; i++) {
        free(call->save.texts[i]);
    }
    ((roster_saved)call->done)(call->context, err);
}
void roster_save(struct roster_store *store,
        const struct roster_write *write,
        roster_saved done,
        void *context)
{
    (void)store;
    struct fake_call *call = fake_add_call(fake_answer_save, context);
    call->done = (void (*)(void))done;
    struct fake_save *save = &call->save;
    save->write = *write;
    struct str *views[] = { &save->write.wrapped_key, &save->write.contact, &save->write.item };
    for (size_t i = 0; i < 3; i++) {
        save->texts[i] = str_to_cstr(*views[i]);
        views[i]->ptr = save->texts[i];
    }
    buf_printf(
            &fake.out, "SAVE %" PRId64 " %s\n", write->owner, write->item.len ? "put" : "remove");
}

/* ---- the log */

static inline void fake_answer_open(struct fake_call *call)
{
    log_open_done done = (log_open_done)call->done;
    if (fake.is_log_down) {
        done(call->context, ERR_TIMEOUT, NULL);
        return;
    }
    static Wire__Origin origins[FAKE_MAX];
    static Wire__Origin *origin_list[FAKE_MAX];
    static Wire__Id ids[2 * FAKE_MAX];
    static int64_t origin_ids[FAKE_MAX];
    static Wire__SessionInput inputs[FAKE_MAX];
    static Wire__SessionInput *input_list[FAKE_MAX];
    Wire__LogOpenReply reply = WIRE__LOG_OPEN_REPLY__INIT;
    reply.watermark = fake.watermarks[call->owner];
    reply.last_id = reply.watermark;
    reply.origins = origin_list;
    reply.origin_ids = origin_ids;
    reply.inputs = input_list;
    for (size_t i = 0; i < fake.entry_count; i++) {
        const struct fake_entry *entry = &fake.entries[i];
        if (!entry->is_committed || entry->owner != call->owner) {
            continue;
        }
        size_t n = reply.n_origins++;
        ids[n] = WIRE_ID_INIT(entry->origin.session);
        wire__origin__init(&origins[n]);
        origins[n].session = &ids[n];
        origins[n].counter = entry->origin.counter;
        origin_list[n] = &origins[n];
        origin_ids[n] = entry->id;
        reply.last_id = entry->id > reply.last_id ? entry->id : reply.last_id;
    }
    reply.n_origin_ids = reply.n_origins;
    for (size_t i = 0; i < fake.input_count; i++) {
        if (fake.inputs[i].owner == call->owner) {
            size_t n = reply.n_inputs++;
            ids[FAKE_MAX + n] = WIRE_ID_INIT(fake.inputs[i].session);
            wire__session_input__init(&inputs[n]);
            inputs[n].session = &ids[FAKE_MAX + n];
            inputs[n].h = fake.inputs[i].h;
            input_list[n] = &inputs[n];
        }
    }
    done(call->context, ERR_OK, &reply);
}
uint64_t log_open_owner(struct log_client *client,
        int64_t owner,
        int64_t origins_after_id,
        log_open_done done,
        void *context)
{
    (void)client;
    (void)origins_after_id;
    struct fake_call *call = fake_add_call(fake_answer_open, context);
    call->done = (void (*)(void))done;
    call->owner = owner;
    return call->request;
}
static inline void fake_answer_read(struct fake_call *call)
{
    log_read_done done = (log_read_done)call->done;
    if (fake.is_log_down) {
        done(call->context, ERR_TIMEOUT, NULL);
        return;
    }
    static Wire__LogEntry entries[FAKE_MAX];
    static Wire__LogEntry *list[FAKE_MAX];
    Wire__LogReadReply reply = WIRE__LOG_READ_REPLY__INIT;
    reply.entries = list;
    reply.is_complete = true;
    for (size_t i = 0; i < fake.entry_count; i++) {
        const struct fake_entry *entry = &fake.entries[i];
        if (!entry->is_committed || entry->owner != call->owner || entry->id <= call->after_id) {
            continue;
        }
        if (reply.n_entries == call->max_entries) {
            reply.is_complete = false;
            break;
        }
        size_t n = reply.n_entries++;
        wire__log_entry__init(&entries[n]);
        entries[n].id = entry->id;
        entries[n].stanza = wire_bytes(buf_view(&entry->packed));
        list[n] = &entries[n];
    }
    buf_printf(&fake.out, "READ %" PRId64 " %zu\n", call->owner, reply.n_entries);
    done(call->context, ERR_OK, &reply);
}
uint64_t log_read(struct log_client *client,
        int64_t owner,
        int64_t after_id,
        uint32_t max_entries,
        uint32_t max_bytes,
        log_read_done done,
        void *context)
{
    (void)client;
    (void)max_bytes;
    struct fake_call *call = fake_add_call(fake_answer_read, context);
    call->done = (void (*)(void))done;
    call->owner = owner;
    call->after_id = after_id;
    call->max_entries = max_entries;
    return call->request;
}
static inline void fake_answer_erase(struct fake_call *call)
{
    ((log_erase_done)call->done)(call->context, ERR_OK);
}
uint64_t log_erase(struct log_client *client, int64_t owner, log_erase_done done, void *context)
{
    (void)client;
    struct fake_call *call = fake_add_call(fake_answer_erase, context);
    call->done = (void (*)(void))done;
    buf_printf(&fake.out, "ERASE %" PRId64 "\n", owner);
    return call->request;
}
void log_cancel(struct log_client *client, uint64_t request)
{
    (void)client;
    for (size_t i = 0; i < FAKE_MAX; i++) {
        if (fake.calls[i].is_live && fake.calls[i].request == request) {
            fake.calls[i].is_live = false;
            fake.call_count--;
        }
    }
}

/* ---- the rest */

unsigned shard_of(const struct shard_table *table, struct str bare)
{
    (void)table;
    return jid_shard(bare, FAKE_SHARDS);
}
bool shard_is_owned(const struct shard_table *table, unsigned shard)
{
    (void)table;
    return !fake.is_foreign[shard];
}
bool shard_may_give_up(const struct shard_table *table)
{
    (void)table;
    return !fake.has_slept;
}
uint64_t shard_epoch(const struct shard_table *table, unsigned shard)
{
    (void)table;
    (void)shard;
    return 1;
}
void shard_fenced(struct shard_table *table, unsigned shard, uint64_t epoch)
{
    (void)table;
    assert_int_equal(epoch, shard_epoch(table, shard));
    buf_printf(&fake.out, "FENCED\n");
    entity_drop_shard(fake.router.entities, shard); /* as on_lost of the router does */
}
void signer_token(
        const struct signer *signer, const struct signer_session *session, struct buf *out)
{
    (void)signer;
    (void)session;
    buf_append_literal(out, "token");
}
void auth_on_account_changed(struct auth *auth, struct str bare)
{
    (void)auth;
    (void)bare;
}
void signer_resource(const struct signer *signer,
        struct str bare,
        struct id128 client,
        char out[SIGNER_RESOURCE_BYTES])
{
    (void)signer;
    (void)bare;
    char text[ID128_TEXT_SIZE];
    id128_format(client, text);
    memcpy(out, text + ID128_TEXT_SIZE - 1 - SIGNER_RESOURCE_BYTES, SIGNER_RESOURCE_BYTES);
}
void signer_resume_id(const struct signer *signer,
        struct str bare,
        const struct signer_resume *resume,
        struct buf *out)
{
    (void)signer;
    (void)bare;
    buf_printf(out,
            "%" PRIx64 "-%" PRIx64 "-%u-%u",
            resume->session.hi,
            resume->session.lo,
            resume->sequence,
            resume->counter);
}
enum err signer_open_resume_id(const struct signer *signer,
        struct str bare,
        struct str resume_id,
        struct signer_resume *resume_out)
{
    (void)signer;
    (void)bare;
    char text[128];
    (void)snprintf(text, sizeof(text), STR_FMT, STR_ARG(resume_id));
    struct signer_resume resume;
    if (sscanf(text,
                "%" SCNx64 "-%" SCNx64 "-%u-%u",
                &resume.session.hi,
                &resume.session.lo,
                &resume.sequence,
                &resume.counter)
            != 4) {
        return ERR_DENIED;
    }
    *resume_out = resume;
    return ERR_OK;
}
const struct host *settings_find_host(const struct settings *settings, struct str domain)
{
    (void)settings;
    return str_equal(domain, fake.host.domain) ? &fake.host : NULL;
}
bool redis_is_up(const struct redis *redis)
{
    (void)redis;
    return fake.is_redis_up;
}
bool redis_has_room(const struct redis *redis)
{
    (void)redis;
    return !fake.is_redis_slow || fake.redis_room-- > 0;
}
int64_t redis_down_ms(const struct redis *redis)
{
    (void)redis;
    int64_t since_ms = fake.redis_lost_ms > 0 ? loop_now_ms(NULL) - fake.redis_lost_ms : INT32_MAX;
    return fake.is_redis_up ? 0 : since_ms;
}
static inline void fake_answer_redis(enum err err)
{
    const struct redis_value pong = { .type = REDIS_STATUS, .text = STR("PONG") };
    size_t count = fake.question_count;
    fake.question_count = 0;
    for (size_t i = 0; i < count; i++) {
        fake.questions[i].done(fake.questions[i].context, err, err == ERR_OK ? &pong : NULL);
    }
}
void redis_command(
        struct redis *redis, const struct str *args, size_t count, redis_done done, void *context)
{
    (void)redis;
    (void)count;
    buf_printf(&fake.out, "REDIS " STR_FMT "\n", STR_ARG(args[0]));
    fake.questions[fake.question_count].done = done;
    fake.questions[fake.question_count++].context = context;
}
void session_registry_write(
        struct redis *redis, struct str bare, const struct session_record *record)
{
    (void)redis;
    buf_printf(&fake.out,
            "RECORD " STR_FMT "/" STR_FMT " " STR_FMT " %s %d\n",
            STR_ARG(bare),
            STR_ARG(record->resource),
            STR_ARG(record->edge),
            record->is_available ? "available" : "unavailable",
            record->priority);
    if (record->has_sm) {
        fake.written = *record;
        fake.written.resource = STR_NULL;
        fake.written.edge = STR_NULL;
    }
}
void session_registry_write_presence(
        struct redis *redis, struct str bare, const struct session_record *record)
{
    (void)redis;
    buf_printf(&fake.out,
            "PRESENCE " STR_FMT " " STR_FMT " %zu\n",
            STR_ARG(bare),
            STR_ARG(record->presence),
            record->directed.len);
}
void session_registry_remove(struct redis *redis, struct str bare, struct str resource)
{
    (void)redis;
    buf_printf(&fake.out, "FORGET " STR_FMT "/" STR_FMT "\n", STR_ARG(bare), STR_ARG(resource));
}
void session_registry_renew(struct redis *redis, struct str bare)
{
    (void)redis;
    buf_printf(&fake.out, "RENEW " STR_FMT "\n", STR_ARG(bare));
}
void session_registry_erase(struct redis *redis, struct str bare)
{
    (void)redis;
    (void)bare;
}
void spool_push(struct redis *redis,
        const struct spool_key *key,
        const struct spool_element *element,
        const struct stanza *stanza)
{
    (void)redis;
    size_t n = fake.spool_count++;
    buf_init(&fake.spool[n].packed, 0);
    if (element->log_id == 0) {
        wire_stanza_pack(&fake.spool[n].packed, stanza);
    }
    fake.spool[n].session = key->session;
    fake.spool[n].element = *element;
    fake.spool[n].element.stanza = buf_view(&fake.spool[n].packed);
    buf_printf(&fake.out,
            "SPOOL %s #%u %s%s\n",
            fake_name_of(key->session),
            (unsigned)(uint32_t)element->position,
            element->log_id ? "kept" : "volatile",
            element->is_provisional ? " provisional" : "");
}
void spool_trim(struct redis *redis, const struct spool_key *key, uint64_t position)
{
    (void)redis;
    while (fake.spool_trimmed < fake.spool_count
            && fake.spool[fake.spool_trimmed].element.position <= position) {
        fake.spool_trimmed++;
    }
    buf_printf(
            &fake.out, "TRIM %s #%u\n", fake_name_of(key->session), (unsigned)(uint32_t)position);
}
void spool_expire(struct redis *redis, const struct spool_key *key, int64_t seconds)
{
    (void)redis;
    (void)key;
    (void)seconds;
}
void spool_erase(struct redis *redis, const struct spool_key *key)
{
    (void)redis;
    fake.spool_trimmed = fake.spool_count;
    buf_printf(&fake.out, "UNSPOOL %s\n", fake_name_of(key->session));
}
static inline void fake_answer_spool(struct fake_call *call)
{
    static struct spool_element elements[FAKE_MAX];
    size_t count = 0;
    for (size_t i = fake.spool_trimmed; i < fake.spool_count; i++) {
        elements[count++] = fake.spool[i].element;
    }
    ((spool_loaded)call->done)(call->context, ERR_OK, elements, count);
}
void spool_load(struct redis *redis, const struct spool_key *key, spool_loaded done, void *context)
{
    (void)redis;
    (void)key;
    struct fake_call *call = fake_add_call(fake_answer_spool, context);
    call->done = (void (*)(void))done;
}
void spool_add_live(struct redis *redis, unsigned shard, struct str bare)
{
    (void)redis;
    (void)shard;
    buf_printf(&fake.out, "LIVE " STR_FMT "\n", STR_ARG(bare));
}
void spool_remove_live(struct redis *redis, unsigned shard, struct str bare)
{
    (void)redis;
    (void)shard;
    buf_printf(&fake.out, "NOT-LIVE " STR_FMT "\n", STR_ARG(bare));
}
static inline void fake_answer_live(struct fake_call *call)
{
    struct str bares[8];
    for (size_t i = 0; i < fake.live_count; i++) {
        bares[i] = str_from_cstr(fake.live[i]);
    }
    ((spool_live_loaded)call->done)(call->context, ERR_OK, bares, fake.live_count);
}
void spool_load_live(struct redis *redis, unsigned shard, spool_live_loaded done, void *context)
{
    (void)redis;
    (void)shard;
    struct fake_call *call = fake_add_call(fake_answer_live, context);
    call->done = (void (*)(void))done;
}
static inline void fake_answer_sessions(struct fake_call *call)
{
    session_registry_loaded done = (session_registry_loaded)call->done;
    done(call->context, ERR_OK, fake.records, fake.record_count);
}
void session_registry_load(
        struct redis *redis, struct str bare, session_registry_loaded done, void *context)
{
    (void)redis;
    (void)bare;
    struct fake_call *call = fake_add_call(fake_answer_sessions, context);
    call->done = (void (*)(void))done;
}

/* ---- what tests do */

static inline void fake_commit(enum err err);

static inline bool fake_run_calls(void)
{
    struct fake_call *oldest = NULL;
    for (size_t i = 0; i < FAKE_MAX; i++) {
        struct fake_call *call = &fake.calls[i];
        if (call->is_live && (!oldest || call->request < oldest->request)) {
            oldest = call;
        }
    }
    if (!oldest) {
        return false;
    }
    struct fake_call call = *oldest;
    if (call.bare.len) {
        call.bare = str_from_cstr(call.bare_text);
    }
    oldest->is_live = false;
    fake.call_count--;
    call.run(&call);
    return true;
}

/* Until nothing is left to do, except commits that fake_commit decides. */
static inline void fake_run(void)
{
    for (;;) {
        if (fake.loop.tasks) {
            struct loop_task *task = fake.loop.tasks;
            fake.loop.tasks = task->next;
            task->queued = false;
            task->run(task->context);
        } else if (fake.is_auto_commit && fake.wait_count) {
            fake_commit(ERR_OK);
        } else if (fake.question_count && !fake.is_redis_mute) {
            fake_answer_redis(fake.is_redis_up ? ERR_OK : ERR_UNAVAILABLE);
        } else if (!fake_run_calls()) {
            return;
        }
    }
}

/* Those that asked first wait on. */
static inline void fake_commit_from(size_t first, enum err err)
{
    size_t count = fake.wait_count;
    for (size_t i = first; i < count; i++) {
        fake.waits[i].done(fake.waits[i].context, err);
    }
    memmove(fake.waits + first,
            fake.waits + count,
            (fake.wait_count - count) * sizeof(fake.waits[0]));
    fake.wait_count -= count - first;
}

static inline void fake_commit(enum err err)
{
    for (size_t i = 0; err == ERR_OK && i < fake.entry_count; i++) {
        fake.entries[i].is_committed = true;
    }
    fake_commit_from(0, err);
}

static inline void fake_advance(int64_t ms)
{
    fake.time.monotonic_ms += ms;
    fake.time.wall_us += ms * 1000;
    (void)timer_wheel_run(fake.loop.timers);
    fake_run();
}

static inline void fake_add_account(const char *bare)
{
    int64_t id = (int64_t)fake.account_count + 1;
    fake.accounts[fake.account_count++] =
            (struct fake_account){ bare, { .id = id, .state = ACCOUNT_ACTIVE } };
}

static inline int fake_start(void **state)
{
    (void)state;
    fake = (struct fake){ .time = { 1000, INT64_C(1700000000000000) }, .is_auto_commit = true };
    fake.loop.clock = fake_clock_clock(&fake.time);
    fake.loop.timers = timer_wheel_create(&fake.loop.clock);
    fake.host = (struct host){
        .domain = STR("example.org"), .registration = true, .resource_conflict = "replace"
    };
    fake.settings = (struct settings){
        .shards = FAKE_SHARDS,
        .hosts = &fake.host,
        .host_count = 1,
        .scram_iterations = 10000,
        .max_resources = 4,
        .resume_timeout_ms = 300000,
        .max_unacked_stanzas = 5,
        .ack_patience_ms = 1000,
        .max_unacked_bytes = 65536,
        .send_window_bytes = 65536,
        .csi_max_held = 200,
        .csi_max_held_bytes = 65536,
        .commit_timeout_ms = 10000,
        .archive_patience_ms = 2000,
        .max_entities = 100,
        .entity_idle_ms = 60000,
        .max_mailbox = 100,
        .catch_up_page_entries = 2,
        .catch_up_page_bytes = 65536,
        .blocking_max_items = 5,
        .blocking_max_bytes = 1024,
        .private_xml_max_items = 5,
        .private_xml_max_bytes = 1024,
        .vcard_max_bytes = 1024,
        .vcard_is_public = true,
        .roster_max_items = 4,
        .roster_max_groups = 3,
        .roster_max_name_bytes = 32,
        .roster_max_bytes = 256,
        .max_directed = 3,
    };
    fake.router.loop = &fake.loop;
    fake.router.settings = &fake.settings;
    fake.router.redis = (struct redis *)&fake; /* never looked into */
    if (vault_create(STR("a secret of more than thirty-two bytes"), &fake.router.vault) != ERR_OK) {
        return -1;
    }
    buf_init(&fake.out, 0);
    fake_add_account("alice@example.org");
    fake_add_account("bob@example.org");
    return entity_table_create(&fake.router, &fake.router.entities) == ERR_OK ? 0 : -1;
}

static inline int fake_stop(void **state)
{
    (void)state;
    entity_table_destroy(fake.router.entities);
    fake_commit(ERR_CLOSED);
    fake_answer_redis(ERR_UNAVAILABLE);
    while (fake_run_calls()) {
    }
    for (size_t i = 0; i < fake.route_count; i++) {
        fake.routes[i].done(fake.routes[i].context, ERR_CLOSED);
    }
    for (size_t i = 0; i < fake.entry_count; i++) {
        buf_fini(&fake.entries[i].packed);
    }
    for (size_t i = 0; i < fake.data_count; i++) {
        buf_fini(&fake.data[i].key);
        buf_fini(&fake.data[i].value);
    }
    for (size_t i = 0; i < fake.spool_count; i++) {
        buf_fini(&fake.spool[i].packed);
    }
    for (size_t i = 0; i < fake.row_count; i++) {
        buf_fini(&fake.rows[i].contact);
        buf_fini(&fake.rows[i].item);
    }
    vault_destroy(fake.router.vault);
    buf_fini(&fake.out);
    timer_wheel_destroy(fake.loop.timers);
    return 0;
}

/* What happened since the last look; the text is valid until the next call. */
static inline const char *fake_take_out(void)
{
    static char text[65536];
    (void)snprintf(text, sizeof(text), STR_FMT, STR_ARG(buf_view(&fake.out)));
    buf_clear(&fake.out);
    return text;
}

static inline void fake_clear(void)
{
    buf_clear(&fake.out);
}

static inline void fake_bind(const char *edge, const char *bare, const char *resource)
{
    Wire__Bind bind = WIRE__BIND__INIT;
    bind.request = 7;
    bind.bare = wire_bytes(str_from_cstr(bare));
    bind.resource = wire_bytes(str_from_cstr(resource));
    entity_on_bind(fake.router.entities, edge, &bind);
    fake_run();
}

static inline struct str fake_bare(const char *full)
{
    struct jid jid;
    assert_int_equal(jid_split(str_from_cstr(full), &jid), ERR_OK);
    return jid.bare;
}

static inline const char *fake_resource(const char *full)
{
    return strchr(full, '/') + 1;
}

/* `stanza->from` names the session. */
static inline void fake_post_input(const char *edge, uint32_t counter, const struct stanza *stanza)
{
    char *full = str_to_cstr(stanza->from);
    Wire__Id id = WIRE_ID_INIT(fake_session(fake_resource(full)));
    Wire__Input input = WIRE__INPUT__INIT;
    input.session = &id;
    input.counter = counter;
    input.bare = wire_bytes(fake_bare(full));
    entity_on_input(fake.router.entities, edge, &input, stanza);
    free(full);
}

/* What an edge repeats of an input that was answered with an error. */
static inline void fake_answered(const char *edge, const char *full, uint32_t counter)
{
    static const struct stanza nothing;
    Wire__Id id = WIRE_ID_INIT(fake_session(fake_resource(full)));
    Wire__Input input = WIRE__INPUT__INIT;
    input.session = &id;
    input.counter = counter;
    input.bare = wire_bytes(fake_bare(full));
    input.is_answered = true;
    entity_on_input(fake.router.entities, edge, &input, &nothing);
}

static inline void fake_input(const char *edge, uint32_t counter, const struct stanza *stanza)
{
    fake_post_input(edge, counter, stanza);
    fake_run();
}

static inline struct stanza fake_message(const char *from, const char *to, const char *children)
{
    return (struct stanza){
        .kind = STANZA_MESSAGE,
        .type = STANZA_TYPE_CHAT,
        .flags = strstr(children, "<body") ? STANZA_HAS_BODY : 0,
        .id = STR("m"),
        .from = str_from_cstr(from),
        .to = str_from_cstr(to),
        .children = str_from_cstr(children),
        .child_count = 1,
    };
}

static inline struct stanza fake_presence(const char *from, enum stanza_type type, int32_t priority)
{
    return (struct stanza){
        .kind = STANZA_PRESENCE,
        .type = type,
        .from = str_from_cstr(from),
        .priority = priority,
    };
}

static inline struct stanza fake_iq(
        const char *from, const char *to, enum stanza_type type, const char *ns, const char *name)
{
    static char child[512];
    (void)snprintf(child, sizeof(child), "<%s xmlns='%s'/>", name, ns);
    return (struct stanza){
        .kind = STANZA_IQ,
        .type = type,
        .id = STR("q"),
        .from = str_from_cstr(from),
        .to = str_from_cstr(to),
        .payload_ns = str_from_cstr(ns),
        .payload_name = str_from_cstr(name),
        .child_count = 1,
        .children = str_from_cstr(child),
    };
}

/* Bound and available; counter 1 is used up. */
static inline void fake_login(const char *edge, const char *full, int priority)
{
    char *bare = str_to_cstr(fake_bare(full));
    fake_bind(edge, bare, fake_resource(full));
    struct stanza presence = fake_presence(full, STANZA_TYPE_NONE, priority);
    fake_input(edge, 1, &presence);
    free(bare);
}

/* The client of `full` has the newest `count` committed entries of its account, oldest first. */
static inline void fake_deliver_confirm(const char *edge, const char *full, int64_t id)
{
    Wire__Id session = WIRE_ID_INIT(fake_session(fake_resource(full)));
    Wire__Delivered delivered = WIRE__DELIVERED__INIT;
    delivered.session = &session;
    delivered.bare = wire_bytes(fake_bare(full));
    delivered.ids = &id;
    delivered.n_ids = 1;
    entity_on_delivered(fake.router.entities, edge, &delivered);
    fake_run();
}

static inline void fake_enable(const char *edge, const char *full, bool may_resume)
{
    Wire__Id session = WIRE_ID_INIT(fake_session(fake_resource(full)));
    Wire__Enable enable = WIRE__ENABLE__INIT;
    enable.session = &session;
    enable.bare = wire_bytes(fake_bare(full));
    enable.may_resume = may_resume;
    entity_on_enable(fake.router.entities, edge, &enable);
    fake_run();
}

/* Alice's phone at e1, and Bob's desk at e2 with stream management. */
static inline void fake_login_managed(void)
{
    fake_login("e1", "alice@example.org/phone", 0);
    fake_login("e2", "bob@example.org/desk", 0);
    fake_enable("e2", "bob@example.org/desk", true);
    fake_clear();
}

/* Bob's router is gone; the next one finds what is in Redis. */
static inline void fake_take_over_bob(void)
{
    entity_drop(entity_find(fake.router.entities, STR("bob@example.org")));
    fake.records[0] = fake.written;
    fake.records[0].resource = STR("desk");
    fake.records[0].edge = STR("e2");
    fake.record_count = 1;
    fake_clear();
    fake.live[0] = "bob@example.org";
    fake.live_count = 1;
    entity_revive_shard(fake.router.entities, 0);
    fake_run();
    fake_advance(10);
}

static inline void fake_acked(const char *edge, const char *full, uint32_t sequence)
{
    Wire__Id session = WIRE_ID_INIT(fake_session(fake_resource(full)));
    Wire__Acked acked = WIRE__ACKED__INIT;
    acked.session = &session;
    acked.bare = wire_bytes(fake_bare(full));
    acked.sequence = sequence;
    entity_on_acked(fake.router.entities, edge, &acked);
    fake_run();
}

/* On a stream that had authenticated `before_ms` ago. */
static inline void fake_post_resume_of(
        const char *edge, const char *bare, uint32_t h, int64_t before_ms)
{
    Wire__Resume resume = WIRE__RESUME__INIT;
    resume.request = ++fake.last_request;
    resume.bare = wire_bytes(str_from_cstr(bare));
    resume.resume_id = wire_bytes(str_from_cstr(fake.resume_id));
    resume.h = h;
    int64_t now_us = loop_wall_us(fake.router.loop);
    entity_on_resume(fake.router.entities, edge, &resume, now_us - before_ms * 1000);
}

/* On one that has just authenticated. */
static inline void fake_post_resume(const char *edge, const char *bare, uint32_t h)
{
    fake_post_resume_of(edge, bare, h, -1);
}

static inline void fake_end_stream(
        const char *edge, const char *full, bool is_resumable, uint32_t attach)
{
    Wire__Id session = WIRE_ID_INIT(fake_session(fake_resource(full)));
    Wire__Close close = WIRE__CLOSE__INIT;
    close.session = &session;
    close.bare = wire_bytes(fake_bare(full));
    close.is_resumable = is_resumable;
    close.attach = attach;
    entity_on_close(fake.router.entities, edge, &close);
    fake_run();
}

/* The connection is lost. */
static inline void fake_detach(const char *edge, const char *full, uint32_t attach)
{
    fake_end_stream(edge, full, true, attach);
}

static inline void fake_close(const char *edge, const char *full)
{
    fake_end_stream(edge, full, false, 0);
}

/* An edge that holds it and says that stream management is off. */
static inline void fake_announce_plain(const char *edge, const char *full, uint32_t handled)
{
    Wire__Id session = WIRE_ID_INIT(fake_session(fake_resource(full)));
    Wire__Announce announce = WIRE__ANNOUNCE__INIT;
    announce.session = &session;
    announce.full = wire_bytes(str_from_cstr(full));
    announce.handled = handled;
    announce.is_available = true;
    entity_on_announce(fake.router.entities, edge, &announce);
    fake_run();
}

#define assert_seen(text, part)     fake_assert_seen((text), (part), true)
#define assert_not_seen(text, part) fake_assert_seen((text), (part), false)

static inline void fake_assert_seen(const char *text, const char *part, bool is_wanted)
{
    if ((strstr(text, part) != NULL) != is_wanted) {
        fail_msg("%s: %s\nin:\n%s", is_wanted ? "not seen" : "seen", part, text);
    }
}

static inline void assert_before(const char *text, const char *first, const char *second)
{
    fake_assert_seen(text, first, true);
    fake_assert_seen(text, second, true);
    const char *at = strstr(text, first);
    const char *then = strstr(text, second);
    if (at && then && at > then) {
        fail_msg("%s is not before %s in:\n%s", first, second, text);
    }
}
