/* Local buckets in front of shared ones. */
#include "router/quota.h"

#include <utlist.h>

#include "chassis/base/buf.h"
#include "chassis/base/digest.h"
#include "chassis/base/map.h"
#include "chassis/base/mem.h"
#include "chassis/metrics.h"

#define MAX_ENTRIES     65536
#define SWEEP_AT_ONCE   2                   /* old entries looked at for each new one */
#define HEARD_FOR_NS    INT64_C(1000000000) /* then rare things are asked for anew */
#define ANSWER_WAIT_NS  INT64_C(500000000)  /* the lot counts only while an answer may come */
#define REST_AFTER_NS   INT64_C(1000000000) /* after an answer that was an error */
#define MIN_BATCH_SHARE 16

static struct metric_family limited_total = {
    .name = "rate_limited_total",
    .help = "What was refused because a limit of an account, address or host was reached.",
    .label = "limit",
};

/* Shares of the bucket: told when so much is unsaid; at most so much without an answer. `is_rare`:
 * each one is told at once, when the last answer is old. */
struct policy {
    const char *label;
    int64_t batch_share;
    int64_t lot_share;
    bool is_rare;
};

static const struct policy policies[QUOTA_KINDS] = {
    [QUOTA_STANZAS] = { "stanzas", 4, 1, false },
    [QUOTA_BYTES] = { "bytes", 4, 1, false },
    [QUOTA_SUBSCRIPTIONS] = { "subscriptions", 16, 1, true },
    [QUOTA_STRANGERS] = { "strangers", 16, 1, true },
    [QUOTA_HOST_STANZAS] = { "host-stanzas", 16, 4, false },
    [QUOTA_HOST_REGISTRATIONS] = { "host-registrations", 16, 4, true },
    [QUOTA_ADDRESS_REGISTRATIONS] = { "address-registrations", 16, 4, true },
    [QUOTA_ADDRESS_FAILURES] = { "address-failed-logins", 16, 4, true },
    [QUOTA_ACCOUNT_FAILURES] = { "account-failed-logins", 16, 4, true },
    [QUOTA_PAIR_FAILURES] = { "pair-failed-logins", 16, 4, true },
};

struct entry {
    UT_hash_handle hh; /* in order of first use */
    uint8_t key[QUOTA_KEY_BYTES];
    struct quota_bucket bucket;
    int64_t reserved_ns;
};

/* Asked for with each stanza, so found by its name: the keyed hash is made when something is told.
 * Domains are few, and stay. */
struct domain {
    UT_hash_handle hh;
    struct quota_bucket bucket;
    char name[];
};

struct quota {
    const struct quota_store *store;
    void *context;
    uint8_t secret[QUOTA_SECRET_BYTES];
    struct entry *entries;
    struct domain *domains;
    struct quota_ask *asks;
    int64_t resting_until_ns;
};

struct quota_ask {
    struct quota *quota;
    struct quota_bucket *bucket; /* NULL: it is gone */
    uint8_t key[QUOTA_KEY_BYTES];
    int64_t batch_ns;
    int64_t amount_ns;
    int64_t sent_ns;
    struct quota_ask *prev;
    struct quota_ask *next;
};

/* ---- telling and hearing */

static void make_key(const struct quota *quota,
        const struct quota_spend *spend,
        uint8_t key_out[QUOTA_KEY_BYTES])
{
    uint8_t mac[DIGEST_MAX_BYTES];
    struct buf text;
    buf_init(&text, 0);
    buf_append_char(&text, (char)spend->kind);
    buf_append_str(&text, spend->identity);
    digest_hmac(DIGEST_SHA256, str_from(quota->secret, QUOTA_SECRET_BYTES), buf_view(&text), mac);
    memcpy(key_out, mac, QUOTA_KEY_BYTES);
    buf_fini(&text);
}

static bool may_tell(const struct quota *quota, const struct quota_bucket *bucket, int64_t now_ns)
{
    return quota && quota->store && !bucket->ask && bucket->unsaid_ns > 0
            && now_ns >= quota->resting_until_ns && quota->store->is_up(quota->context);
}

static int64_t share_of(const struct quota_limit *limit, int64_t share)
{
    int64_t part = limit->window_ns / share;
    return part > limit->cost_ns ? part : limit->cost_ns;
}

static void send_ask(struct quota_ask *ask, int64_t now_ns)
{
    struct quota *quota = ask->quota;
    ask->amount_ns = ask->bucket->unsaid_ns;
    ask->sent_ns = now_ns;
    ask->bucket->unsaid_ns = 0;
    quota->store->charge(quota->context, ask->key, now_ns, ask->amount_ns, ask);
}

static void tell(struct quota *quota, struct quota_bucket *bucket, const struct quota_spend *spend)
{
    struct quota_ask *ask = MEM_NEW(struct quota_ask);
    ask->quota = quota;
    ask->bucket = bucket;
    ask->batch_ns = share_of(&spend->limit, policies[spend->kind].batch_share);
    make_key(quota, spend, ask->key);
    DL_APPEND(quota->asks, ask);
    bucket->ask = ask;
    send_ask(ask, spend->now_ns);
}

void quota_charged(struct quota_ask *ask, enum err err, int64_t full_ns, int64_t now_ns)
{
    struct quota *quota = ask->quota;
    struct quota_bucket *bucket = ask->bucket;
    if (err != ERR_OK) {
        quota->resting_until_ns = now_ns + REST_AFTER_NS;
    }
    if (bucket) {
        bucket->ask = NULL;
        if (err == ERR_OK) {
            quota_bucket_hear(bucket, full_ns, now_ns);
        } else {
            bucket->unsaid_ns += ask->amount_ns;
        }
        if (bucket->unsaid_ns >= ask->batch_ns && may_tell(quota, bucket, now_ns)) {
            bucket->ask = ask; /* there was more meanwhile */
            send_ask(ask, now_ns);
            return;
        }
    }
    DL_DELETE(quota->asks, ask);
    free(ask);
}

static void tell_when_due(
        struct quota *quota, struct quota_bucket *bucket, const struct quota_spend *spend)
{
    const struct policy *policy = &policies[spend->kind];
    bool is_due = bucket->unsaid_ns >= share_of(&spend->limit, policy->batch_share)
            || (policy->is_rare && spend->now_ns - bucket->heard_ns >= HEARD_FOR_NS);
    if (is_due && may_tell(quota, bucket, spend->now_ns)) {
        tell(quota, bucket, spend);
    }
}

/* What the others spend meanwhile is not known: no more than a lot goes out on trust. */
static bool is_within_lot(
        const struct quota_bucket *bucket, const struct quota_spend *spend, int64_t cost_ns)
{
    const struct quota_ask *ask = bucket->ask;
    int64_t lot_ns = share_of(&spend->limit, policies[spend->kind].lot_share);
    return !ask || spend->now_ns - ask->sent_ns >= ANSWER_WAIT_NS
            || ask->amount_ns + bucket->unsaid_ns + cost_ns <= lot_ns;
}

static bool has(struct quota_bucket *bucket, const struct quota_spend *spend, int64_t cost_ns)
{
    if (quota_bucket_has(bucket, &spend->limit, cost_ns, spend->now_ns)
            && is_within_lot(bucket, spend, cost_ns)) {
        return true;
    }
    metric_family_add(&limited_total, policies[spend->kind].label, 1);
    return false;
}

bool quota_take(struct quota *quota, struct quota_bucket *bucket, const struct quota_spend *spend)
{
    if (spend->limit.cost_ns == 0) {
        return true;
    }
    int64_t cost_ns = quota_cost(&spend->limit, spend->tokens);
    if (!has(bucket, spend, cost_ns)) {
        return false;
    }
    quota_bucket_spend(bucket, cost_ns, spend->now_ns);
    tell_when_due(quota, bucket, spend);
    return true;
}

void quota_bucket_close(
        struct quota *quota, struct quota_bucket *bucket, const struct quota_spend *spend)
{
    if (bucket->ask) { /* what it tells is on its way, only nobody hears the answer */
        bucket->ask->bucket = NULL;
        bucket->ask = NULL;
    }
    bool is_limited = spend->limit.cost_ns > 0
            && !quota_bucket_has(bucket, &spend->limit, spend->limit.window_ns, spend->now_ns);
    if (is_limited && may_tell(quota, bucket, spend->now_ns)) {
        tell(quota, bucket, spend);
        bucket->ask->bucket = NULL;
    }
    *bucket = (struct quota_bucket){ .full_ns = 0 };
}

/* ---- the table */

static void entry_free(struct quota *quota, struct entry *entry)
{
    if (entry->bucket.ask) {
        entry->bucket.ask->bucket = NULL;
    }
    HASH_DEL(quota->entries, entry);
    free(entry);
}

static bool is_idle(const struct entry *entry, int64_t now_ns)
{
    return entry->bucket.full_ns <= now_ns && entry->reserved_ns == 0 && !entry->bucket.ask;
}

/* The oldest ones are looked at in turn; with a full table the oldest one that nobody has a
 * reservation of goes, and Redis remembers it. */
static void make_room(struct quota *quota, int64_t now_ns)
{
    for (int i = 0; i < SWEEP_AT_ONCE && quota->entries; i++) {
        struct entry *oldest = quota->entries;
        bool is_full = HASH_COUNT(quota->entries) >= MAX_ENTRIES && oldest->reserved_ns == 0;
        if (is_full || is_idle(oldest, now_ns)) {
            entry_free(quota, oldest);
        } else { /* to the end */
            HASH_DEL(quota->entries, oldest);
            HASH_ADD(hh, quota->entries, key, QUOTA_KEY_BYTES, oldest);
        }
    }
}

static struct entry *entry_find(struct quota *quota, const struct quota_spend *spend)
{
    uint8_t key[QUOTA_KEY_BYTES];
    struct entry *entry;
    make_key(quota, spend, key);
    HASH_FIND(hh, quota->entries, key, QUOTA_KEY_BYTES, entry);
    return entry;
}

static struct entry *entry_get(struct quota *quota, const struct quota_spend *spend)
{
    struct entry *entry = entry_find(quota, spend);
    if (!entry) {
        make_room(quota, spend->now_ns);
        entry = MEM_NEW(struct entry);
        make_key(quota, spend, entry->key);
        HASH_ADD(hh, quota->entries, key, QUOTA_KEY_BYTES, entry);
    }
    return entry;
}

bool quota_take_shared(struct quota *quota, const struct quota_spend *spend)
{
    return spend->limit.cost_ns == 0 || quota_take(quota, &entry_get(quota, spend)->bucket, spend);
}

bool quota_reserve(struct quota *quota, const struct quota_spend *spend)
{
    if (spend->limit.cost_ns == 0) {
        return true;
    }
    struct entry *entry = entry_get(quota, spend);
    int64_t cost_ns = quota_cost(&spend->limit, spend->tokens);
    if (!has(&entry->bucket, spend, entry->reserved_ns + cost_ns)) {
        return false;
    }
    entry->reserved_ns += cost_ns;
    return true;
}

/* The limit may have changed or been lifted since. */
void quota_settle(struct quota *quota, const struct quota_spend *spend, bool is_spent)
{
    struct entry *entry = entry_find(quota, spend);
    if (!entry) {
        return;
    }
    int64_t cost_ns = spend->limit.cost_ns ? quota_cost(&spend->limit, spend->tokens) : 0;
    entry->reserved_ns = cost_ns && entry->reserved_ns > cost_ns ? entry->reserved_ns - cost_ns : 0;
    if (is_spent && cost_ns) {
        quota_bucket_spend(&entry->bucket, cost_ns, spend->now_ns);
        tell_when_due(quota, &entry->bucket, spend);
    }
}

size_t quota_entries(const struct quota *quota)
{
    return HASH_COUNT(quota->entries) + HASH_COUNT(quota->domains);
}

/* ---- domains */

static struct domain *domain_get(struct quota *quota, struct str name)
{
    struct domain *domain;
    HASH_FIND(hh, quota->domains, name.ptr, name.len, domain);
    if (!domain) {
        domain = mem_calloc(1, sizeof(*domain) + name.len);
        memcpy(domain->name, name.ptr, name.len);
        HASH_ADD_KEYPTR(hh, quota->domains, domain->name, name.len, domain);
    }
    return domain;
}

bool quota_take_of_domain(struct quota *quota, const struct quota_spend *spend)
{
    return spend->limit.cost_ns == 0
            || quota_take(quota, &domain_get(quota, spend->identity)->bucket, spend);
}

/* ---- life */

struct quota *quota_create(
        const struct quota_store *store, void *context, const uint8_t secret[QUOTA_SECRET_BYTES])
{
    struct quota *quota = MEM_NEW(struct quota);
    quota->store = store;
    quota->context = context;
    memcpy(quota->secret, secret, QUOTA_SECRET_BYTES);
    return quota;
}

void quota_destroy(struct quota *quota)
{
    if (!quota) {
        return;
    }
    ASSERT(!quota->asks);
    while (quota->entries) {
        entry_free(quota, quota->entries);
    }
    while (quota->domains) {
        struct domain *domain = quota->domains;
        HASH_DEL(quota->domains, domain);
        free(domain);
    }
    secret_wipe(quota->secret, sizeof(quota->secret));
    free(quota);
}
