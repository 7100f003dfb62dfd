/* What time does to accounts, as PostgreSQL sees it: days of logins, inactive ones, what is to be
 * told, erasures and tombstones. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/err.h"
#include "chassis/base/str.h"
#include "router/store/account_store.h"

struct lifecycle_store;
struct pg_pool;

enum notice_kind {
    NOTICE_WELCOME = 1,
    NOTICE_INACTIVE = 2,
};

/* How far the policy for inactive accounts has come with one. */
enum inactive_stage {
    INACTIVE_NOT = 0,
    INACTIVE_WARNED = 1,
    INACTIVE_DISABLED = 2,
};

struct lifecycle_row {
    int64_t id;
    struct str bare;
    enum notice_kind notice; /* lifecycle_list_notices */
    enum account_state state;
    enum inactive_stage stage; /* lifecycle_list_accounts */
    int64_t idle_days;
    int64_t stage_days; /* since it came to that stage */
};

/* `name_keys` (a view that stays): of the hashes in tombstones, see router/store/tombstone_name.h.
 */
struct lifecycle_store *lifecycle_store_create(struct pg_pool *pool, struct str name_keys);
void lifecycle_store_destroy(struct lifecycle_store *store); /* accepts NULL */

/* Rows are valid during the callback; the ones behind `after_id`, in order, at most `max`.
 * ERR_UNAVAILABLE, ERR_CLOSED: none. */
typedef void (*lifecycle_listed)(
        void *context, enum err err, const struct lifecycle_row *rows, size_t count);
/* Deleted accounts whose erasure is not finished. */
void lifecycle_list_deleted(struct lifecycle_store *store,
        int64_t after_id,
        int64_t max,
        lifecycle_listed done,
        void *context);
void lifecycle_list_notices(struct lifecycle_store *store,
        int64_t after_id,
        int64_t max,
        lifecycle_listed done,
        void *context);
/* All of them, whatever their state is. */
void lifecycle_list_accounts(struct lifecycle_store *store,
        int64_t after_id,
        int64_t max,
        lifecycle_listed done,
        void *context);

/* Accounts from before there were marks of look-alikes. */
void lifecycle_list_unmarked(struct lifecycle_store *store,
        int64_t after_id,
        int64_t max,
        lifecycle_listed done,
        void *context);

/* ERR_NOT_FOUND: there was nothing (any more) to do it to. */
typedef void (*lifecycle_done)(void *context, enum err err);
/* The tombstone of a deleted account: its name is blocked for `days`. */
void lifecycle_bury(struct lifecycle_store *store,
        int64_t id,
        struct str bare,
        int64_t days,
        lifecycle_done done,
        void *context);
/* The deleted account's row, and with it whatever still hangs on it. */
void lifecycle_remove(
        struct lifecycle_store *store, int64_t id, lifecycle_done done, void *context);
void lifecycle_end_notice(struct lifecycle_store *store,
        int64_t owner,
        enum notice_kind kind,
        lifecycle_done done,
        void *context);
/* Used today: `is_login` notes the day, too. Writes at most once a day for an account. */
void lifecycle_note_use(struct lifecycle_store *store,
        const int64_t *ids,
        size_t count,
        bool is_login,
        lifecycle_done done,
        void *context);
/* To `stage` unless it was used in the last `idle_days`, or somebody else was faster. WARNED leaves
 * a notice, DISABLED disables. */
void lifecycle_set_stage(struct lifecycle_store *store,
        int64_t id,
        enum inactive_stage stage,
        int64_t idle_days,
        lifecycle_done done,
        void *context);
/* Deletes what the policy has disabled, under the same conditions. */
void lifecycle_delete_inactive(struct lifecycle_store *store,
        int64_t id,
        int64_t idle_days,
        lifecycle_done done,
        void *context);
/* precis_look_alike_mark of rows that have none; one that somebody else works on is left alone. */
void lifecycle_mark(struct lifecycle_store *store,
        const struct lifecycle_row *rows,
        size_t count,
        lifecycle_done done,
        void *context);
/* Tombstones that block nothing any more, and notices nobody took for a week. */
void lifecycle_forget_old(struct lifecycle_store *store, lifecycle_done done, void *context);
