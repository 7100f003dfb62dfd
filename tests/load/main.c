/* starling-load: a load generator for XMPP servers, any of them; see README.md. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "tests/load/modes.h"

enum exit_code {
    EXIT_FINE = 0,
    EXIT_NOT_FINE = 1, /* lost, twice, out of order, failed */
    EXIT_USAGE = 2,
    EXIT_UNSUPPORTED = 3, /* the server cannot do it */
};

static json_t *run_mode(const struct settings *settings)
{
    switch (settings->mode) {
    case MODE_LOGIN: return mode_login_run(settings);
    case MODE_IDLE: return mode_idle_run(settings);
    case MODE_CHAT:
    case MODE_RATE: return mode_chat_run(settings);
    case MODE_PRESENCE: return mode_presence_run(settings);
    case MODE_MUC: return mode_muc_run(settings);
    }
    return NULL;
}

static void print_text(const json_t *object, int indent)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        if (json_is_object(value)) {
            printf("%*s%s\n", indent, "", key);
            print_text(value, indent + 2);
            continue;
        }
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        printf("%*s%-*s %s\n", indent, "", 26 - indent, key, text);
        free(text);
    }
}

/* As many sockets as the limit lets us have, and timers without slack. */
static void prepare_process(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
}

int main(int argc, char **argv)
{
    struct settings settings;
    if (!settings_read(argc, argv, &settings)) {
        return EXIT_USAGE;
    }
    prepare_process();
    json_t *result = run_mode(&settings);
    if (!result) {
        return EXIT_UNSUPPORTED;
    }
    json_object_set_new(result, "mode", json_string(settings_mode_name(settings.mode)));
    if (settings.is_json) {
        json_dumpf(result, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
        putchar('\n');
    } else {
        print_text(result, 0);
    }
    bool is_fine = json_is_true(json_object_get(result, "ok"));
    json_decref(result);
    return is_fine ? EXIT_FINE : EXIT_NOT_FINE;
}
