/* What one run does, as told on the command line. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "tests/load/proc_watch.h"

enum mode {
    MODE_LOGIN,
    MODE_IDLE,
    MODE_CHAT,
    MODE_RATE,
    MODE_PRESENCE,
    MODE_MUC,
};

enum mechanism {
    MECHANISM_SCRAM_SHA_1,
    MECHANISM_SCRAM_SHA_256,
    MECHANISM_PLAIN,
};

enum {
    TARGETS_MAX = 16,
    WATCHES_MAX = 8,
};

struct target {
    struct sockaddr_storage address;
    socklen_t address_len;
};

struct settings {
    enum mode mode;
    struct target targets[TARGETS_MAX];
    size_t target_count;
    const char *host;
    const char *user_prefix;
    const char *password;
    unsigned first_user; /* users are PREFIX + (first_user ... ) */
    unsigned users;      /* login: how many accounts take turns */
    enum mechanism mechanism;
    bool is_direct_tls;
    bool resumes_tls;
    bool has_sm;
    bool is_resumable;
    bool has_carbons;
    unsigned ask_every; /* <r/> after so many stanzas; 0: never */
    unsigned concurrency;
    unsigned count;  /* login: logins, idle: connections */
    unsigned pairs;  /* chat, rate */
    unsigned window; /* chat, muc, presence */
    double rate;     /* messages a second over all pairs */
    unsigned body_bytes;
    unsigned fan_out;
    unsigned rooms;
    bool is_subscribed;
    const char *room_service;
    uint64_t messages; /* chat: so many in the window instead of `seconds`; 0: by time */
    double warmup_s, seconds, drain_s, settle_s;
    double login_timeout_s;
    uint64_t self_test_drop; /* every so many arrivals are ignored; 0: none */
    const char *ready_file;  /* made when everybody is logged in */
    bool is_json;
    struct watch watches[WATCHES_MAX];
    size_t watch_count;
};

/* False: it has said why on standard error. */
bool settings_read(int argc, char **argv, struct settings *settings_out);
const char *settings_mode_name(enum mode mode);
