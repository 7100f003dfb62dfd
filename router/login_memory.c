/* A hash by nonce and a list in order of age. */
#include "router/login_memory.h"

#include <utlist.h>

#include "chassis/base/digest.h"
#include "chassis/base/map.h"
#include "chassis/base/mem.h"

struct entry {
    UT_hash_handle hh;
    struct entry *prev, *next;
    char *nonce;
    char *bare;
    int64_t since_ms;
    struct remembered_login login;
};

struct login_memory {
    struct entry *by_nonce;
    struct entry *oldest;
    size_t count;
};

struct login_memory *login_memory_create(void)
{
    return MEM_NEW(struct login_memory);
}

static void entry_free(struct login_memory *memory, struct entry *entry)
{
    HASH_DEL(memory->by_nonce, entry);
    DL_DELETE(memory->oldest, entry);
    memory->count--;
    secret_wipe(&entry->login, sizeof(entry->login));
    free(entry->nonce);
    free(entry->bare);
    free(entry);
}

void login_memory_destroy(struct login_memory *memory)
{
    if (memory == NULL) {
        return;
    }
    while (memory->oldest != NULL) {
        entry_free(memory, memory->oldest);
    }
    free(memory);
}

static bool is_over(const struct entry *entry, int64_t now_ms)
{
    return now_ms - entry->since_ms >= LOGIN_MEMORY_MS;
}

static struct entry *find(const struct login_memory *memory, struct str nonce)
{
    struct entry *entry = NULL;
    HASH_FIND(hh, memory->by_nonce, nonce.ptr, nonce.len, entry);
    return entry;
}

void login_memory_put(struct login_memory *memory,
        struct str nonce,
        struct str bare,
        const struct remembered_login *login,
        int64_t now_ms)
{
    while (memory->oldest != NULL
            && (memory->count >= LOGIN_MEMORY_MAX || is_over(memory->oldest, now_ms))) {
        entry_free(memory, memory->oldest);
    }
    if (find(memory, nonce) != NULL) {
        return;
    }
    struct entry *entry = MEM_NEW(struct entry);
    entry->nonce = str_to_cstr(nonce);
    entry->bare = str_to_cstr(bare);
    entry->since_ms = now_ms;
    entry->login = *login;
    HASH_ADD_KEYPTR(hh, memory->by_nonce, entry->nonce, nonce.len, entry);
    DL_APPEND(memory->oldest, entry);
    memory->count++;
}

bool login_memory_take(struct login_memory *memory,
        struct str nonce,
        int64_t now_ms,
        struct remembered_login *login_out)
{
    struct entry *entry = find(memory, nonce);
    if (entry == NULL) {
        return false;
    }
    bool is_good = !is_over(entry, now_ms);
    if (is_good) {
        *login_out = entry->login;
    }
    entry_free(memory, entry);
    return is_good;
}

void login_memory_forget(struct login_memory *memory, struct str bare)
{
    struct entry *entry = NULL;
    struct entry *next = NULL;
    DL_FOREACH_SAFE(memory->oldest, entry, next)
    {
        if (str_equal(str_from_cstr(entry->bare), bare)) {
            entry_free(memory, entry);
        }
    }
}
