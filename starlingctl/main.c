/* starlingctl: the operator's tool. */
#include <stdio.h>
#include <stdlib.h>

#include <curl/curl.h>

#include "chassis/link.h"
#include "chassis/log.h"
#include "chassis/redis.h"
#include "starlingctl/ctl.h"

/* clang-format off */
static const struct config_field fields_admin[] = {
    { "conninfo", CONFIG_STRING, offsetof(struct postgres_admin_config, conninfo), "", 0, 0, NULL,
      "libpq connection string of a role that may create schemas and read every table." },
    { "migrations", CONFIG_PATH, offsetof(struct postgres_admin_config, migrations), "/usr/share/starling/sql", 0, 0, NULL,
      "Folder with one folder of numbered SQL files for each service." },
    { 0 },
};
const struct config_section config_section_postgres_admin = {
    .name = "postgres_admin", .help = "The operator's access to PostgreSQL, for starlingctl only.",
    .fields = fields_admin, .size = sizeof(struct postgres_admin_config),
};
static const struct config_field fields_ctl[] = {
    { "http_timeout", CONFIG_DURATION, offsetof(struct starlingctl_config, http_timeout_ms), "5s", 100, 60000, NULL,
      "How long a node's inner HTTP port may take to answer." },
    { "token_file", CONFIG_PATH, offsetof(struct starlingctl_config, token_file), "", 0, 0, NULL,
      "Secret for the inner HTTP ports: the same file as http.token_file." },
    { "scram_iterations", CONFIG_INT, offsetof(struct starlingctl_config, scram_iterations), "10000", 10000, 1000000, NULL,
      "PBKDF2 iterations of the verifiers that account add and passwd make." },
    { 0 },
};
const struct config_section config_section_starlingctl = {
    .name = "starlingctl", .help = "The operator's tool.", .fields = fields_ctl, .size = sizeof(struct starlingctl_config),
};
/* clang-format on */

static const struct config_section *const sections[] = {
    &config_section_postgres_admin,
    &config_section_starlingctl,
    &config_section_redis,
    &config_section_bus,
    NULL,
};

static const struct ctl_command *const tables[] = {
    commands_db, commands_account, commands_cluster, commands_secret, NULL
};

static void usage(FILE *out)
{
    fputs("usage: starlingctl [--config FILE] [--json] COMMAND\n\n", out);
    for (size_t t = 0; tables[t]; t++) {
        for (const struct ctl_command *command = tables[t]; command->words; command++) {
            char line[128];
            snprintf(line, sizeof(line), "%s %s", command->words, command->arguments);
            fprintf(out, "  %-46s %s\n", line, command->help);
        }
    }
    fputs("\nexit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 exists, 5 not reachable\n", out);
}

/* How many of argv's words the command's words take; 0: another command. */
static int match(const struct ctl_command *command, int argc, char **argv)
{
    struct str rest = str_from_cstr(command->words);
    int used = 0;
    while (rest.len > 0) {
        struct str word = str_cut(&rest, ' ');
        if (used >= argc || !str_equal(word, str_from_cstr(argv[used]))) {
            return 0;
        }
        used++;
    }
    return used;
}

static enum ctl_exit dispatch(struct ctl *ctl, int argc, char **argv)
{
    for (size_t t = 0; tables[t]; t++) {
        for (const struct ctl_command *command = tables[t]; command->words; command++) {
            int used = match(command, argc, argv);
            if (used > 0) {
                return command->run(ctl, argc - used, argv + used);
            }
        }
    }
    usage(stderr);
    return CTL_USAGE;
}

static enum ctl_exit run(const char *path, bool json, int argc, char **argv)
{
    struct buf why;
    struct ctl ctl = { .json = json };

    buf_init(&why, 0);
    struct config *config = config_load(path, sections, &why);
    if (!config) {
        fprintf(stderr, STR_FMT "\n", STR_ARG(str_trim(buf_view(&why))));
        buf_fini(&why);
        return CTL_USAGE;
    }
    buf_fini(&why);
    ctl.config = config;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    enum ctl_exit code = dispatch(&ctl, argc, argv);
    ctl_database_close(&ctl);
    config_destroy(config);
    curl_global_cleanup();
    return code;
}

int main(int argc, char **argv)
{
    const char *path = getenv("STARLING_CONFIG");
    bool json = false;
    int i = 1;
    const struct log_options quiet = {
        .level = LOG_LEVEL_ERROR, .program = "starlingctl", .node = ""
    };

    log_open(&quiet);
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) {
            path = argv[++i];
        } else if (strcmp(argv[i], "--help") == 0) {
            usage(stdout);
            return CTL_OK;
        } else if (strcmp(argv[i], "--version") == 0) {
            puts("starling starlingctl " STARLING_VERSION);
            return CTL_OK;
        } else {
            usage(stderr);
            return CTL_USAGE;
        }
    }
    if (!path) {
        path = "/etc/starling/starling.yaml";
    }
    /* --json is also understood behind the command. */
    if (argc > i && strcmp(argv[argc - 1], "--json") == 0) {
        json = true;
        argc--;
    }
    return (int)run(path, json, argc - i, argv + i);
}
