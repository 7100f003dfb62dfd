/* Who is erased, told, warned, disabled and deleted by this router, and who is not. */
#include "router/lifecycle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "chassis/base/mem.h"
#include "chassis/loop.h"
#include "router/cluster.h"
#include "router/entity/entity_table.h"
#include "router/erasure.h"
#include "router/host_message.h"
#include "router/login_days.h"
#include "router/router.h"
#include "router/shard.h"
#include "router/store/lifecycle_store.h"

static struct fake_clock now;
static struct clock clock_;
static struct timer_wheel *timers;
static struct settings settings;
static struct host host;
static struct account_policy policy;
static struct str admins[] = { { "admin@example.org", 17 } };
static struct router router;
static struct lifecycle *lifecycle;
static struct buf out;
static struct lifecycle_row deleted[2];
static struct lifecycle_row notices[2];
static struct lifecycle_row accounts[4];
static size_t deleted_count;
static size_t notice_count;
static size_t row_count;
static bool is_home;
static bool is_in_use;
static bool is_taken;
static bool is_refused;
static bool is_settled;

/* ---- what it works with: everything is answered at once */

int64_t loop_now_ms(const struct loop *loop)
{
    (void)loop;
    return now.monotonic_ms;
}
struct timer_wheel *loop_timers(struct loop *loop)
{
    (void)loop;
    return timers;
}
unsigned shard_of(const struct shard_table *table, struct str bare)
{
    (void)table;
    return (unsigned)bare.len;
}
bool shard_is_owned(const struct shard_table *table, unsigned shard)
{
    (void)table;
    (void)shard;
    return is_home;
}
void cluster_tell_account_changed(struct router *to, struct str bare, bool end_sessions)
{
    (void)to;
    (void)end_sessions;
    buf_printf(&out, "CHANGED " STR_FMT "\n", STR_ARG(bare));
}
bool entity_has_taken(struct entity_table *table, struct str bare, const struct origin *origin)
{
    (void)table;
    (void)bare;
    (void)origin;
    return is_taken;
}
bool entity_is_in_use(struct entity_table *table, struct str bare)
{
    (void)table;
    (void)bare;
    return is_in_use;
}
bool entity_knows_sessions(const struct entity_table *table, unsigned shard)
{
    (void)table;
    (void)shard;
    return is_settled;
}
struct erasure {
    int64_t owner;
};
struct erasure *erasure_start(
        struct router *at, int64_t owner, struct str bare, erasure_done done, void *context)
{
    (void)at;
    (void)done;
    (void)context;
    struct erasure *erasure = MEM_NEW(struct erasure);
    erasure->owner = owner;
    buf_printf(&out, "ERASE " STR_FMT "\n", STR_ARG(bare));
    return erasure;
}
int64_t erasure_owner(const struct erasure *erasure)
{
    return erasure->owner;
}
void erasure_destroy(struct erasure *erasure)
{
    free(erasure);
}
void host_message_send(struct router *from,
        const struct host_message *message,
        egress_route_done done,
        void *context)
{
    (void)from;
    buf_printf(&out,
            "TELL " STR_FMT " [" STR_FMT "] " STR_FMT " %u.%u\n",
            STR_ARG(message->to),
            STR_ARG(message->subject),
            STR_ARG(message->body),
            message->origin.counter,
            message->origin.part);
    done(context, is_refused ? ERR_DENIED : ERR_OK);
}
void login_days_note(struct login_days *days, int64_t owner, bool is_login)
{
    (void)days;
    assert_false(is_login);
    buf_printf(&out, "USED %d\n", (int)owner);
}
void lifecycle_list_deleted(struct lifecycle_store *store,
        int64_t after_id,
        int64_t max,
        lifecycle_listed done,
        void *context)
{
    (void)store;
    (void)after_id;
    (void)max;
    done(context, ERR_OK, deleted, deleted_count);
}
void lifecycle_list_notices(struct lifecycle_store *store,
        int64_t after_id,
        int64_t max,
        lifecycle_listed done,
        void *context)
{
    (void)store;
    (void)after_id;
    (void)max;
    done(context, ERR_OK, notices, notice_count);
}
void lifecycle_list_accounts(struct lifecycle_store *store,
        int64_t after_id,
        int64_t max,
        lifecycle_listed done,
        void *context)
{
    (void)store;
    (void)max;
    assert_int_equal(after_id, 0);
    done(context, ERR_OK, accounts, row_count);
}
void lifecycle_end_notice(struct lifecycle_store *store,
        int64_t owner,
        enum notice_kind kind,
        lifecycle_done done,
        void *context)
{
    (void)store;
    buf_printf(&out, "TOLD %d %d\n", (int)owner, (int)kind);
    done(context, ERR_OK);
}
void lifecycle_set_stage(struct lifecycle_store *store,
        int64_t id,
        enum inactive_stage stage,
        int64_t idle_days,
        lifecycle_done done,
        void *context)
{
    (void)store;
    buf_printf(&out, "STAGE %d %d after %d\n", (int)id, (int)stage, (int)idle_days);
    done(context, ERR_OK);
}
void lifecycle_delete_inactive(struct lifecycle_store *store,
        int64_t id,
        int64_t idle_days,
        lifecycle_done done,
        void *context)
{
    (void)store;
    (void)idle_days;
    buf_printf(&out, "DELETE %d\n", (int)id);
    done(context, ERR_OK);
}
void lifecycle_forget_old(struct lifecycle_store *store, lifecycle_done done, void *context)
{
    (void)store;
    buf_append_literal(&out, "FORGET\n");
    done(context, ERR_OK);
}

/* ---- */

static int start(void **state)
{
    (void)state;
    now = (struct fake_clock){ 1000, 1000000 };
    clock_ = fake_clock_clock(&now);
    timers = timer_wheel_create(&clock_);
    buf_init(&out, 0);
    policy = (struct account_policy){
        .inactive_warn_days = 100,
        .inactive_disable_days = 130,
        .inactive_delete_days = 200,
        .inactive_text = STR("use it"),
        .welcome_subject = STR("Hello"),
        .welcome_text = STR("welcome"),
    };
    host = (struct host){ .domain = STR("example.org") };
    settings = (struct settings){
        .hosts = &host,
        .host_count = 1,
        .policies = &policy,
        .policy_count = 1,
        .admins = { admins, 1 },
    };
    router = (struct router){ .settings = &settings };
    deleted_count = notice_count = row_count = 0;
    is_home = is_taken = is_settled = true;
    is_in_use = is_refused = false;
    lifecycle = lifecycle_create(&router);
    lifecycle_start(lifecycle);
    router.lifecycle = lifecycle;
    return 0;
}

static int stop(void **state)
{
    (void)state;
    lifecycle_stop(lifecycle);
    lifecycle_destroy(lifecycle);
    timer_wheel_destroy(timers);
    buf_fini(&out);
    return 0;
}

static const char *after(int64_t ms)
{
    static char text[4096];
    buf_clear(&out);
    now.monotonic_ms += ms;
    (void)timer_wheel_run(timers);
    (void)snprintf(text, sizeof(text), STR_FMT, STR_ARG(buf_view(&out)));
    return text;
}

static struct lifecycle_row account(
        enum account_state state, enum inactive_stage stage, int64_t idle_days, int64_t stage_days)
{
    return (struct lifecycle_row){
        .id = 7,
        .bare = STR("a@example.org"),
        .state = state,
        .stage = stage,
        .idle_days = idle_days,
        .stage_days = stage_days,
    };
}

static const char *sweep(struct lifecycle_row row)
{
    accounts[0] = row;
    row_count = 1;
    lifecycle_sweep(lifecycle);
    return after(1);
}

static void a_deleted_account_is_erased_by_its_home_once(void **state)
{
    (void)state;
    deleted[0] = (struct lifecycle_row){ .id = 3, .bare = STR("gone@example.org") };
    deleted_count = 1;
    is_home = false;
    lifecycle_poke(lifecycle);
    assert_string_equal(after(200), "");
    is_home = true;
    assert_string_equal(after(5000), "ERASE gone@example.org\n");
    assert_string_equal(after(5000), ""); /* it is under way */
}

static void a_new_account_is_welcomed_until_the_log_has_it(void **state)
{
    (void)state;
    notices[0] = (struct lifecycle_row){
        .id = 4, .bare = STR("new@example.org"), .notice = NOTICE_WELCOME
    };
    notice_count = 1;
    is_taken = false;
    lifecycle_poke(lifecycle);
    assert_string_equal(after(200), "TELL new@example.org [Hello] welcome 1.0\n");
    is_taken = true;
    assert_string_equal(after(5000), "TELL new@example.org [Hello] welcome 1.0\nTOLD 4 1\n");
    policy.welcome_text = STR_NULL;
    assert_string_equal(after(5000), "TOLD 4 1\n"); /* nothing to say */
    notices[0].notice = NOTICE_INACTIVE;
    assert_string_equal(after(5000), "TELL new@example.org [] use it 2.0\nTOLD 4 2\n");
    notices[0].state = ACCOUNT_DISABLED;
    assert_string_equal(after(5000), "TOLD 4 2\n"); /* nobody reads it */
}

static void what_was_refused_is_another_message_the_next_time(void **state)
{
    (void)state;
    notices[0] = (struct lifecycle_row){
        .id = 4, .bare = STR("new@example.org"), .notice = NOTICE_WELCOME
    };
    notice_count = 1;
    is_refused = true;
    lifecycle_poke(lifecycle);
    assert_string_equal(after(200), "TELL new@example.org [Hello] welcome 1.0\n");
    assert_string_equal(after(5000), "TELL new@example.org [Hello] welcome 1.1\n");
    notice_count = 0; /* another router has told it */
    assert_string_equal(after(5000), "");
    notice_count = 1;
    is_refused = false;
    assert_string_equal(after(5000), "TELL new@example.org [Hello] welcome 1.0\nTOLD 4 1\n");
}

static void each_stage_takes_its_time(void **state)
{
    (void)state;
    assert_string_equal(sweep(account(ACCOUNT_ACTIVE, INACTIVE_NOT, 99, 0)), "FORGET\n");
    assert_string_equal(sweep(account(ACCOUNT_ACTIVE, INACTIVE_NOT, 100, 0)),
            "FORGET\nSTAGE 7 1 after 100\nCHANGED a@example.org\n");
    /* Idle for years, warned last week: the policy is new. */
    assert_string_equal(sweep(account(ACCOUNT_ACTIVE, INACTIVE_WARNED, 2000, 7)), "FORGET\n");
    assert_string_equal(sweep(account(ACCOUNT_ACTIVE, INACTIVE_WARNED, 130, 30)),
            "FORGET\nSTAGE 7 2 after 130\nCHANGED a@example.org\n");
    assert_string_equal(sweep(account(ACCOUNT_DISABLED, INACTIVE_DISABLED, 2000, 69)), "FORGET\n");
    assert_string_equal(sweep(account(ACCOUNT_DISABLED, INACTIVE_DISABLED, 200, 70)),
            "FORGET\nDELETE 7\nCHANGED a@example.org\n");
}

static void others_are_left_alone(void **state)
{
    (void)state;
    assert_string_equal(sweep(account(ACCOUNT_DISABLED, INACTIVE_NOT, 2000, 2000)), "FORGET\n");
    assert_string_equal(sweep(account(ACCOUNT_DELETED, INACTIVE_DISABLED, 2000, 2000)), "FORGET\n");
    struct lifecycle_row admin = account(ACCOUNT_ACTIVE, INACTIVE_NOT, 2000, 0);
    admin.bare = admins[0];
    assert_string_equal(sweep(admin), "FORGET\n");
    struct lifecycle_row foreign = account(ACCOUNT_ACTIVE, INACTIVE_NOT, 2000, 0);
    foreign.bare = STR("a@elsewhere.example");
    assert_string_equal(sweep(foreign), "FORGET\n");
    is_in_use = true;
    assert_string_equal(sweep(account(ACCOUNT_ACTIVE, INACTIVE_NOT, 2000, 0)), "FORGET\nUSED 7\n");
    is_in_use = false;
    is_settled = false; /* a session may just not have been announced yet */
    assert_string_equal(sweep(account(ACCOUNT_ACTIVE, INACTIVE_NOT, 2000, 0)), "FORGET\n");
    is_settled = true;
    is_home = false;
    assert_string_equal(sweep(account(ACCOUNT_ACTIVE, INACTIVE_NOT, 2000, 0)), "FORGET\n");
}

static void without_a_policy_nobody_is_listed(void **state)
{
    (void)state;
    policy.inactive_warn_days = policy.inactive_disable_days = 0;
    assert_string_equal(sweep(account(ACCOUNT_ACTIVE, INACTIVE_NOT, 2000, 0)), "FORGET\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_deleted_account_is_erased_by_its_home_once, start, stop),
        cmocka_unit_test_setup_teardown(
                a_new_account_is_welcomed_until_the_log_has_it, start, stop),
        cmocka_unit_test_setup_teardown(
                what_was_refused_is_another_message_the_next_time, start, stop),
        cmocka_unit_test_setup_teardown(each_stage_takes_its_time, start, stop),
        cmocka_unit_test_setup_teardown(others_are_left_alone, start, stop),
        cmocka_unit_test_setup_teardown(without_a_policy_nobody_is_listed, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
