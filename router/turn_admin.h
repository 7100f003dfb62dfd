/* What a turn may ask of other accounts: commands of administrators. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/str.h"

/* What an administrator asks of accounts (XEP-0133); who may is the feature's business. */
enum turn_admin_op {
    TURN_ADMIN_CREATE,       /* one account, password */
    TURN_ADMIN_SET_PASSWORD, /* one account, password */
    TURN_ADMIN_DELETE,       /* accounts */
    TURN_ADMIN_DISABLE,      /* accounts */
    TURN_ADMIN_ENABLE,       /* accounts */
    TURN_ADMIN_END_SESSIONS, /* accounts */
    TURN_ADMIN_LAST_LOGIN,   /* one account: the day, "": none is known */
    TURN_ADMIN_COUNT,        /* domain, is_disabled: a number */
    TURN_ADMIN_LIST,         /* domain, max: addresses, one a line */
    TURN_ADMIN_COUNT_ONLINE, /* a number, of all hosts */
    TURN_ADMIN_ANNOUNCE,     /* domain, subject, text */
};

#define TURN_ADMIN_MAX_ACCOUNTS 100

struct turn_admin {
    enum turn_admin_op op;
    const struct str *accounts; /* bare */
    size_t account_count;
    struct str password; /* prepared */
    struct str domain;
    struct str subject; /* "": none */
    struct str text;
    bool is_disabled;
    int64_t max;
};
