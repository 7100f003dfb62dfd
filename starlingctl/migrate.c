/* starlingctl db migrate: numbered SQL files, forward only, each in one transaction (G11: a daemon
 * never migrates). */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "chassis/base/buf.h"
#include "chassis/base/mem.h"
#include "starlingctl/ctl.h"

/* In the order they depend on each other. */
static const char *const services[] = { "router", "archive", NULL };

#define MAX_MIGRATIONS 1000
#define LOCK_ID        "7300"

static const char create_table[] =
        "CREATE TABLE IF NOT EXISTS public.starling_migration ("
        " service text NOT NULL, number int NOT NULL, name text NOT NULL,"
        " applied timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (service, number));"
        "GRANT SELECT ON public.starling_migration TO PUBLIC";

struct migration {
    int number;
    char *file; /* "0001_name.sql" */
};

static int by_number(const void *a, const void *b)
{
    return ((const struct migration *)a)->number - ((const struct migration *)b)->number;
}

/* NNNN_name.sql, else 0. */
static int number_of(const char *file)
{
    struct str name = str_from_cstr(file);
    uint64_t number;
    if (name.len < 9 || name.ptr[4] != '_' || !str_ends_with(name, STR(".sql"))
            || !str_to_u64(str_from(name.ptr, 4), &number)) {
        return 0;
    }
    return (int)number;
}

static size_t list_files(const char *folder, struct migration *list)
{
    size_t count = 0;
    DIR *dir = opendir(folder);
    if (!dir) {
        return 0;
    }
    for (struct dirent *entry = readdir(dir); entry && count < MAX_MIGRATIONS;
            entry = readdir(dir)) {
        int number = number_of(entry->d_name);
        if (number > 0) {
            list[count++] = (struct migration){ number, str_to_cstr(str_from_cstr(entry->d_name)) };
        }
    }
    closedir(dir);
    qsort(list, count, sizeof(*list), by_number);
    return count;
}

static enum ctl_exit read_file(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "re");
    if (!file) {
        return ctl_error(CTL_FAILED, "%s: cannot be read", path);
    }
    size_t got;
    do {
        char *room = buf_reserve(out, 65536);
        got = fread(room, 1, 65536, file);
        buf_commit(out, got);
    } while (got > 0);
    fclose(file);
    return CTL_OK;
}

static enum ctl_exit applied_number(struct ctl *ctl, const char *service, int *number_out)
{
    struct ctl_result *result;
    struct ctl_parameter parameters[] = { ctl_text(str_from_cstr(service)) };
    enum ctl_exit code = ctl_query(ctl,
            "SELECT coalesce(max(number), 0) FROM public.starling_migration WHERE service = $1",
            parameters,
            1,
            &result);
    if (code == CTL_OK) {
        int64_t number = 0;
        code = str_to_i64(str_from_cstr(ctl_result_text(result, 0, 0)), &number) ? CTL_OK
                                                                                 : CTL_FAILED;
        *number_out = (int)number;
        ctl_result_free(result);
    }
    return code;
}

static enum ctl_exit apply(
        struct ctl *ctl, const char *folder, const char *service, const struct migration *migration)
{
    struct buf script;
    struct buf path;
    buf_init(&script, 0);
    buf_init(&path, 0);
    buf_printf(&path, "%s/%s/%s", folder, service, migration->file);
    buf_append_char(&path, '\0');
    buf_append_literal(&script, "BEGIN;\n");
    enum ctl_exit code = read_file(buf_view(&path).ptr, &script);
    if (code == CTL_OK) {
        /* The file name has passed number_of and holds no quote: migration files are ours. */
        buf_printf(&script,
                "\n;INSERT INTO public.starling_migration (service, number, name) VALUES ('%s', %d, '%s');\nCOMMIT;",
                service,
                migration->number,
                migration->file);
        buf_append_char(&script, '\0');
        code = ctl_script(ctl, buf_view(&script).ptr);
        if (code != CTL_OK) {
            ctl_error(code,
                    "migration %s/%s failed; nothing of it was kept",
                    service,
                    migration->file);
        }
    }
    buf_fini(&script);
    buf_fini(&path);
    return code;
}

static enum ctl_exit migrate_service(
        struct ctl *ctl, const char *folder, const char *service, json_t *rows)
{
    struct migration *list = mem_calloc(MAX_MIGRATIONS, sizeof(*list));
    char path[4096];
    int applied = 0;

    snprintf(path, sizeof(path), "%s/%s", folder, service);
    size_t count = list_files(path, list);
    enum ctl_exit code = count ? applied_number(ctl, service, &applied)
                               : ctl_error(CTL_FAILED, "%s: no migrations there", path);
    for (size_t i = 0; i < count && code == CTL_OK; i++) {
        if (list[i].number <= applied) {
            continue;
        }
        code = apply(ctl, folder, service, &list[i]);
        if (code == CTL_OK) {
            json_array_append_new(rows,
                    json_pack("{s:s, s:i, s:s}",
                            "service",
                            service,
                            "number",
                            list[i].number,
                            "file",
                            list[i].file));
        }
    }
    for (size_t i = 0; i < count; i++) {
        free(list[i].file);
    }
    free(list);
    return code;
}

static enum ctl_exit db_migrate(struct ctl *ctl, int argc, char **argv)
{
    (void)argv;
    static const char *const columns[] = { "service", "number", "file", NULL };
    const struct postgres_admin_config *config =
            config_get(ctl->config, &config_section_postgres_admin);

    if (argc != 0) {
        return ctl_error(CTL_USAGE, "db migrate takes no arguments");
    }
    /* Two operators at once: the second waits, then finds nothing to do. */
    enum ctl_exit code = ctl_script(ctl, "SELECT pg_advisory_lock(" LOCK_ID ")");
    if (code == CTL_OK) {
        code = ctl_script(ctl, create_table);
    }
    json_t *rows = json_array();
    for (size_t i = 0; services[i] && code == CTL_OK; i++) {
        code = migrate_service(ctl, config->migrations, services[i], rows);
    }
    if (code == CTL_OK && !ctl->json && json_array_size(rows) == 0) {
        puts("nothing to do");
        json_decref(rows);
    } else {
        ctl_print_rows(ctl, rows, columns);
    }
    return code;
}

/* clang-format off */
const struct ctl_command commands_db[] = {
    { "db migrate", "", "apply the migrations that are missing", db_migrate },
    { NULL, NULL, NULL, NULL },
};
/* clang-format on */
