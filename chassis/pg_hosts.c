/* Turns the lists of a connection string; libpq itself parses it. */
#include "chassis/pg_hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "chassis/base/mem.h"
#include "chassis/base/str.h"

enum list {
    LIST_HOST,
    LIST_HOSTADDR,
    LIST_PORT,
    LIST_COUNT
};

static const char *const list_keywords[LIST_COUNT] = { "host", "hostaddr", "port" };

struct pg_hosts {
    char *lists[LIST_COUNT];  /* NULL: not in the string */
    char *turned[LIST_COUNT]; /* of the last call */
    size_t count;
};

static size_t count_entries(const char *list)
{
    size_t count = 1;
    for (const char *at = strchr(list, ','); at != NULL; at = strchr(at + 1, ',')) {
        count++;
    }
    return count;
}

static void take(struct pg_hosts *hosts, const PQconninfoOption *option)
{
    for (size_t i = 0; i < LIST_COUNT; i++) {
        if (option->val != NULL && strcmp(option->keyword, list_keywords[i]) == 0) {
            hosts->lists[i] = str_to_cstr(str_from_cstr(option->val));
        }
    }
}

enum err pg_hosts_create(const char *conninfo, struct pg_hosts **hosts_out)
{
    char *why = NULL;
    PQconninfoOption *parsed = PQconninfoParse(conninfo, &why);
    if (parsed == NULL) {
        PQfreemem(why);
        return ERR_INVALID;
    }
    struct pg_hosts *hosts = MEM_NEW(struct pg_hosts);
    for (const PQconninfoOption *option = parsed; option->keyword != NULL; option++) {
        take(hosts, option);
    }
    PQconninfoFree(parsed);
    /* As libpq: addresses count before names; one port is for all. */
    const char *leading = hosts->lists[LIST_HOSTADDR] != NULL ? hosts->lists[LIST_HOSTADDR]
                                                              : hosts->lists[LIST_HOST];
    hosts->count = leading != NULL ? count_entries(leading) : 1;
    *hosts_out = hosts;
    return ERR_OK;
}

void pg_hosts_destroy(struct pg_hosts *hosts)
{
    if (hosts == NULL) {
        return;
    }
    for (size_t i = 0; i < LIST_COUNT; i++) {
        free(hosts->lists[i]);
        free(hosts->turned[i]);
    }
    free(hosts);
}

size_t pg_hosts_count(const struct pg_hosts *hosts)
{
    return hosts->count;
}

/* "a,b,c" from 1 on is "b,c,a". */
static char *turn(const char *list, size_t first)
{
    struct str rest = str_from_cstr(list);
    const char *at = list;
    for (; first > 0; first--) {
        at = strchr(at, ',') + 1;
    }
    struct str front = str_from(list, (size_t)(at - list));
    struct str back = str_from(at, rest.len - front.len);
    char *turned = mem_calloc(rest.len + 2, 1);
    (void)snprintf(turned, rest.len + 2, STR_FMT ",", STR_ARG(back));
    (void)snprintf(turned + back.len + 1, front.len + 1, STR_FMT, STR_ARG(front));
    turned[rest.len] = '\0'; /* one comma too many, wherever it stands last */
    return turned;
}

struct pg_hosts_view pg_hosts_from(struct pg_hosts *hosts, size_t first)
{
    for (size_t i = 0; i < LIST_COUNT; i++) {
        free(hosts->turned[i]);
        hosts->turned[i] = NULL;
        /* A list of another length is libpq's to refuse, or it is the one port. */
        if (hosts->lists[i] != NULL && count_entries(hosts->lists[i]) == hosts->count) {
            hosts->turned[i] = turn(hosts->lists[i], first % hosts->count);
        }
    }
    return (struct pg_hosts_view){
        .host = hosts->turned[LIST_HOST],
        .hostaddr = hosts->turned[LIST_HOSTADDR],
        .port = hosts->turned[LIST_PORT],
    };
}
