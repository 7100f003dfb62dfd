/* Reading /proc; see proc_watch.h. */
#include "tests/load/proc_watch.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "chassis/base/mem.h"
#include "chassis/base/str.h"

struct process {
    pid_t pid, parent;
    uint64_t user_ticks, system_ticks;
    bool is_watched;
};

struct process_list {
    struct process *all;
    size_t count;
};

bool watch_parse(const char *text, struct watch *watch_out)
{
    struct str rest = str_from_cstr(text);
    struct str name = str_cut(&rest, '=');
    struct watch watch = { .root_count = 0 };
    if (name.len == 0 || name.len >= WATCH_NAME_MAX) {
        return false;
    }
    memcpy(watch.name, name.ptr, name.len);
    while (rest.len > 0) {
        uint64_t pid;
        if (watch.root_count == WATCH_ROOTS_MAX || !str_to_u64(str_cut(&rest, ','), &pid)) {
            return false;
        }
        watch.roots[watch.root_count++] = (pid_t)pid;
    }
    *watch_out = watch;
    return watch.root_count > 0;
}

static bool read_file(pid_t pid, const char *name, char *text, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    FILE *file = fopen(path, "re");
    if (!file) {
        return false;
    }
    size_t len = fread(text, 1, size - 1, file);
    fclose(file);
    text[len] = '\0';
    return len > 0;
}

/* proc(5): the name may hold anything, so fields count from the last ')'. */
static bool read_process(pid_t pid, struct process *process_out)
{
    char text[1024];
    unsigned long long user, system, child_user, child_system;
    int parent;
    if (!read_file(pid, "stat", text, sizeof(text))) {
        return false;
    }
    const char *fields = strrchr(text, ')');
    if (!fields
            || sscanf(fields + 1,
                       " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu",
                       &parent,
                       &user,
                       &system,
                       &child_user,
                       &child_system)
                    != 5) {
        return false;
    }
    *process_out = (struct process){
        .pid = pid,
        .parent = (pid_t)parent,
        .user_ticks = user + child_user,
        .system_ticks = system + child_system,
    };
    return true;
}

static struct process_list read_all(void)
{
    struct process_list list = { NULL, 0 };
    size_t capacity = 0;
    DIR *folder = opendir("/proc");
    for (struct dirent *entry; folder && (entry = readdir(folder)) != NULL;) {
        uint64_t pid;
        if (!str_to_u64(str_from_cstr(entry->d_name), &pid)) {
            continue;
        }
        if (list.count == capacity) {
            capacity = capacity ? capacity * 2 : 256;
            list.all = mem_realloc(list.all, capacity * sizeof(*list.all));
        }
        if (read_process((pid_t)pid, &list.all[list.count])) {
            list.count++;
        }
    }
    if (folder) {
        closedir(folder);
    }
    return list;
}

static bool is_root(const struct watch *watch, pid_t pid)
{
    for (size_t i = 0; i < watch->root_count; i++) {
        if (watch->roots[i] == pid) {
            return true;
        }
    }
    return false;
}

static bool has_watched_parent(const struct process_list *list, const struct process *process)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->all[i].is_watched && list->all[i].pid == process->parent) {
            return true;
        }
    }
    return false;
}

static void mark_trees(const struct watch *watch, struct process_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        list->all[i].is_watched = is_root(watch, list->all[i].pid);
    }
    for (bool is_changed = true; is_changed;) {
        is_changed = false;
        for (size_t i = 0; i < list->count; i++) {
            if (!list->all[i].is_watched && has_watched_parent(list, &list->all[i])) {
                list->all[i].is_watched = is_changed = true;
            }
        }
    }
}

static uint64_t read_kib(const char *text, const char *key)
{
    const char *line = strstr(text, key);
    return line ? strtoull(line + strlen(key), NULL, 10) : 0;
}

static void add_memory(pid_t pid, struct watch_sample *sample)
{
    char text[4096];
    if (read_file(pid, "smaps_rollup", text, sizeof(text))) {
        sample->rss_kib += read_kib(text, "\nRss:");
        sample->pss_kib += read_kib(text, "\nPss:");
    } else if (read_file(pid, "status", text, sizeof(text))) {
        sample->rss_kib += read_kib(text, "\nVmRSS:");
    }
}

struct watch_sample watch_take(const struct watch *watch, bool has_memory)
{
    struct watch_sample sample = { .processes = 0 };
    struct process_list list = read_all();
    double tick_s = 1.0 / (double)sysconf(_SC_CLK_TCK);
    mark_trees(watch, &list);
    for (size_t i = 0; i < list.count; i++) {
        const struct process *process = &list.all[i];
        if (process->is_watched) {
            sample.processes++;
            sample.user_s += (double)process->user_ticks * tick_s;
            sample.cpu_s += (double)(process->user_ticks + process->system_ticks) * tick_s;
            if (has_memory) {
                add_memory(process->pid, &sample);
            }
        }
    }
    free(list.all);
    return sample;
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

double watch_own_cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}
