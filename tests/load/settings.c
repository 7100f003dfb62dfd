/* The command line; see settings.h. */
#include "tests/load/settings.h"

#include <getopt.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chassis/base/str.h"

static const char usage[] =
        "usage: starling-load MODE [OPTION...]\n"
        "\n"
        "  login      logins at --concurrency; each closes its stream again\n"
        "  idle       --connections stay logged in and do nothing: memory\n"
        "  chat       closed loop: --pairs, each with --window messages under way\n"
        "  rate       open loop: --rate messages a second over --pairs; latency from the intended time\n"
        "  presence   --pairs publishers, each to --fan-out contacts (directed, or --subscribed)\n"
        "  muc        --rooms rooms with --fan-out occupants; one of each speaks\n"
        "\n"
        "who and where\n"
        "  --target HOST:PORT[,HOST:PORT...]  clients take turns (127.0.0.1:5222)\n"
        "  --host NAME          the XMPP domain (localhost)\n"
        "  --user-prefix TEXT   accounts TEXT0, TEXT1, ... (u)\n"
        "  --first-user N       begin with this one (0)\n"
        "  --users N            login: so many accounts take turns (100)\n"
        "  --password TEXT      (secret)\n"
        "  --mechanism M        SCRAM-SHA-1, SCRAM-SHA-256 or PLAIN (SCRAM-SHA-1)\n"
        "  --direct-tls         instead of STARTTLS\n"
        "  --resume-tls         login: offer the ticket of this account's last login\n"
        "  --no-sm              without stream management (XEP-0198)\n"
        "  --no-resume          stream management without resumption\n"
        "  --ask-every N        ask for an acknowledgement after so many stanzas; 0: never (10)\n"
        "  --carbons            enable message carbons (XEP-0280) where the server has them\n"
        "how much\n"
        "  --concurrency N      logins under way at a time (16)\n"
        "  --logins N           login (1000)\n"
        "  --connections N      idle (1000)\n"
        "  --pairs N            chat, rate, presence (50)\n"
        "  --window N           chat: messages under way for each sender (16)\n"
        "  --rate R             rate: messages a second, all pairs together (1000)\n"
        "  --body BYTES         (200)\n"
        "  --fan-out N          presence, muc (20)\n"
        "  --subscribed         presence: subscribe first, then broadcast\n"
        "  --rooms N            muc (10)\n"
        "  --room-service NAME  muc (conference.HOST)\n"
        "  --warmup S --seconds S --drain S --settle S   (2, 10, 10, 1)\n"
        "  --messages N         chat: end after N messages instead of --seconds\n"
        "  --login-timeout S    (30)\n"
        "output\n"
        "  --watch NAME=PID[,PID...]  processor time and memory of these trees, up to 8 times\n"
        "  --json               one line of JSON instead of text\n"
        "  --ready-file PATH    made when everybody is logged in\n"
        "  --self-test-drop N   overlook every Nth arrival: it has to be counted as lost\n";

enum option_id {
    OPT_FIRST = 256,
    OPT_TARGET = OPT_FIRST,
    OPT_HOST,
    OPT_USER_PREFIX,
    OPT_PASSWORD,
    OPT_MECHANISM,
    OPT_ROOM_SERVICE,
    OPT_READY_FILE,
    OPT_WATCH,
    OPT_MESSAGES,
    OPT_DROP,
    OPT_RATE,
    OPT_WARMUP,
    OPT_SECONDS,
    OPT_DRAIN,
    OPT_SETTLE,
    OPT_LOGIN_TIMEOUT,
    OPT_DIRECT_TLS,
    OPT_RESUME_TLS,
    OPT_NO_SM,
    OPT_NO_RESUME,
    OPT_CARBONS,
    OPT_SUBSCRIBED,
    OPT_JSON,
    OPT_FIRST_USER,
    OPT_USERS,
    OPT_ASK_EVERY,
    OPT_CONCURRENCY,
    OPT_COUNT,
    OPT_PAIRS,
    OPT_WINDOW,
    OPT_BODY,
    OPT_FAN_OUT,
    OPT_ROOMS,
};

static const struct option options[] = {
    { "target", required_argument, NULL, OPT_TARGET },
    { "host", required_argument, NULL, OPT_HOST },
    { "user-prefix", required_argument, NULL, OPT_USER_PREFIX },
    { "password", required_argument, NULL, OPT_PASSWORD },
    { "mechanism", required_argument, NULL, OPT_MECHANISM },
    { "room-service", required_argument, NULL, OPT_ROOM_SERVICE },
    { "ready-file", required_argument, NULL, OPT_READY_FILE },
    { "watch", required_argument, NULL, OPT_WATCH },
    { "messages", required_argument, NULL, OPT_MESSAGES },
    { "self-test-drop", required_argument, NULL, OPT_DROP },
    { "rate", required_argument, NULL, OPT_RATE },
    { "warmup", required_argument, NULL, OPT_WARMUP },
    { "seconds", required_argument, NULL, OPT_SECONDS },
    { "drain", required_argument, NULL, OPT_DRAIN },
    { "settle", required_argument, NULL, OPT_SETTLE },
    { "login-timeout", required_argument, NULL, OPT_LOGIN_TIMEOUT },
    { "direct-tls", no_argument, NULL, OPT_DIRECT_TLS },
    { "resume-tls", no_argument, NULL, OPT_RESUME_TLS },
    { "no-sm", no_argument, NULL, OPT_NO_SM },
    { "no-resume", no_argument, NULL, OPT_NO_RESUME },
    { "carbons", no_argument, NULL, OPT_CARBONS },
    { "subscribed", no_argument, NULL, OPT_SUBSCRIBED },
    { "json", no_argument, NULL, OPT_JSON },
    { "first-user", required_argument, NULL, OPT_FIRST_USER },
    { "users", required_argument, NULL, OPT_USERS },
    { "ask-every", required_argument, NULL, OPT_ASK_EVERY },
    { "concurrency", required_argument, NULL, OPT_CONCURRENCY },
    { "logins", required_argument, NULL, OPT_COUNT },
    { "connections", required_argument, NULL, OPT_COUNT },
    { "pairs", required_argument, NULL, OPT_PAIRS },
    { "window", required_argument, NULL, OPT_WINDOW },
    { "body", required_argument, NULL, OPT_BODY },
    { "fan-out", required_argument, NULL, OPT_FAN_OUT },
    { "rooms", required_argument, NULL, OPT_ROOMS },
    { NULL, 0, NULL, 0 },
};

static const char *const mode_names[] = {
    [MODE_LOGIN] = "login",
    [MODE_IDLE] = "idle",
    [MODE_CHAT] = "chat",
    [MODE_RATE] = "rate",
    [MODE_PRESENCE] = "presence",
    [MODE_MUC] = "muc",
};

static const char *const mechanism_names[] = {
    [MECHANISM_SCRAM_SHA_1] = "SCRAM-SHA-1",
    [MECHANISM_SCRAM_SHA_256] = "SCRAM-SHA-256",
    [MECHANISM_PLAIN] = "PLAIN",
};

const char *settings_mode_name(enum mode mode)
{
    return mode_names[mode];
}

static bool find_name(const char *const *names, size_t count, const char *text, unsigned *index_out)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], text) == 0) {
            *index_out = (unsigned)i;
            return true;
        }
    }
    return false;
}

static bool resolve(struct str text, struct target *target_out)
{
    struct str port = text;
    char host[256];
    char service[16];
    size_t colon = text.len;
    while (colon > 0 && text.ptr[colon - 1] != ':') {
        colon--;
    }
    if (colon < 2 || colon - 1 >= sizeof(host) || text.len - colon >= sizeof(service)) {
        return false;
    }
    port = str_from(text.ptr + colon, text.len - colon);
    snprintf(host, sizeof(host), "%.*s", (int)(colon - 1), text.ptr);
    snprintf(service, sizeof(service), STR_FMT, STR_ARG(port));
    struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    struct addrinfo *found;
    if (getaddrinfo(host, service, &hints, &found) != 0) {
        return false;
    }
    memcpy(&target_out->address, found->ai_addr, found->ai_addrlen);
    target_out->address_len = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

static bool read_targets(struct settings *settings, const char *text)
{
    struct str rest = str_from_cstr(text);
    settings->target_count = 0;
    while (rest.len > 0) {
        if (settings->target_count == TARGETS_MAX
                || !resolve(str_cut(&rest, ','), &settings->targets[settings->target_count++])) {
            return false;
        }
    }
    return settings->target_count > 0;
}

static bool set_text(struct settings *settings, int option, const char *text)
{
    unsigned index;
    switch (option) {
    case OPT_TARGET: return read_targets(settings, text);
    case OPT_HOST: settings->host = text; return true;
    case OPT_USER_PREFIX: settings->user_prefix = text; return true;
    case OPT_PASSWORD: settings->password = text; return true;
    case OPT_ROOM_SERVICE: settings->room_service = text; return true;
    case OPT_READY_FILE: settings->ready_file = text; return true;
    case OPT_WATCH:
        return settings->watch_count < WATCHES_MAX
                && watch_parse(text, &settings->watches[settings->watch_count++]);
    case OPT_MECHANISM:
        if (!find_name(mechanism_names, 3, text, &index)) {
            return false;
        }
        settings->mechanism = (enum mechanism)index;
        return true;
    case OPT_MESSAGES: return str_to_u64(str_from_cstr(text), &settings->messages);
    case OPT_DROP: return str_to_u64(str_from_cstr(text), &settings->self_test_drop);
    default: return false;
    }
}

static bool set_flag(struct settings *settings, int option)
{
    switch (option) {
    case OPT_DIRECT_TLS: return settings->is_direct_tls = true;
    case OPT_RESUME_TLS: return settings->resumes_tls = true;
    case OPT_NO_SM: settings->has_sm = false; return true;
    case OPT_NO_RESUME: settings->is_resumable = false; return true;
    case OPT_CARBONS: return settings->has_carbons = true;
    case OPT_SUBSCRIBED: return settings->is_subscribed = true;
    case OPT_JSON: return settings->is_json = true;
    default: return false;
    }
}

static double *real_of(struct settings *settings, int option)
{
    switch (option) {
    case OPT_RATE: return &settings->rate;
    case OPT_WARMUP: return &settings->warmup_s;
    case OPT_SECONDS: return &settings->seconds;
    case OPT_DRAIN: return &settings->drain_s;
    case OPT_SETTLE: return &settings->settle_s;
    case OPT_LOGIN_TIMEOUT: return &settings->login_timeout_s;
    default: return NULL;
    }
}

static unsigned *number_of(struct settings *settings, int option)
{
    switch (option) {
    case OPT_FIRST_USER: return &settings->first_user;
    case OPT_USERS: return &settings->users;
    case OPT_ASK_EVERY: return &settings->ask_every;
    case OPT_CONCURRENCY: return &settings->concurrency;
    case OPT_COUNT: return &settings->count;
    case OPT_PAIRS: return &settings->pairs;
    case OPT_WINDOW: return &settings->window;
    case OPT_BODY: return &settings->body_bytes;
    case OPT_FAN_OUT: return &settings->fan_out;
    case OPT_ROOMS: return &settings->rooms;
    default: return NULL;
    }
}

static bool set_option(struct settings *settings, int option, const char *text)
{
    unsigned *number = number_of(settings, option);
    double *real = real_of(settings, option);
    if (number) {
        uint64_t value;
        bool is_small = str_to_u64(str_from_cstr(text), &value) && value <= 10 * 1000 * 1000;
        *number = is_small ? (unsigned)value : 0;
        return is_small;
    }
    if (real) {
        char *end;
        *real = strtod(text, &end);
        return *end == '\0' && end != text && *real >= 0;
    }
    return text ? set_text(settings, option, text) : set_flag(settings, option);
}

static bool is_complete(const struct settings *settings)
{
    if (settings->count == 0 || settings->concurrency == 0 || settings->pairs == 0
            || settings->window == 0 || settings->users == 0 || settings->rooms == 0
            || settings->fan_out == 0 || settings->rate <= 0) {
        fprintf(stderr, "starling-load: a number that has to be above 0 is 0\n");
        return false;
    }
    return true;
}

bool settings_read(int argc, char **argv, struct settings *settings_out)
{
    struct settings settings = {
        .host = "localhost",
        .user_prefix = "u",
        .password = "secret",
        .users = 100,
        .has_sm = true,
        .is_resumable = true,
        .ask_every = 10,
        .concurrency = 16,
        .count = 1000,
        .pairs = 50,
        .window = 16,
        .rate = 1000,
        .body_bytes = 200,
        .fan_out = 20,
        .rooms = 10,
        .warmup_s = 2,
        .seconds = 10,
        .drain_s = 10,
        .settle_s = 1,
        .login_timeout_s = 30,
    };
    unsigned mode;
    if (argc < 2 || !find_name(mode_names, 6, argv[1], &mode)) {
        fputs(usage, stderr);
        return false;
    }
    settings.mode = (enum mode)mode;
    int option;
    int index = 0;
    optind = 2;
    while ((option = getopt_long(argc, argv, "", options, &index)) != -1) {
        if (option < OPT_FIRST) {
            return false;
        }
        if (!set_option(&settings, option, optarg)) {
            fprintf(stderr,
                    "starling-load: --%s %s is not possible\n",
                    options[index].name,
                    optarg);
            return false;
        }
    }
    if (optind != argc) {
        fprintf(stderr, "starling-load: what is %s?\n", argv[optind]);
        return false;
    }
    if (settings.target_count == 0 && !read_targets(&settings, "127.0.0.1:5222")) {
        return false;
    }
    *settings_out = settings;
    return is_complete(&settings);
}
