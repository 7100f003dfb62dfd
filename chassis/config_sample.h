/* A section with a field of each type, for the tests of config*.c. */
#pragma once

#include "chassis/config.h"

struct sample {
    bool is_on;
    int64_t count;
    int64_t delay_ms;
    int64_t room_bytes;
    char *name;
    char *file;
    int color;
    struct config_strings tags;
};

static const char *const colors[] = { "red", "green", NULL };

/* clang-format off */
static const struct config_field sample_fields[] = {
    { "is_on", CONFIG_BOOL, offsetof(struct sample, is_on), "true", 0, 0, NULL, "Switch." },
    { "count", CONFIG_INT, offsetof(struct sample, count), "3", 1, 10, NULL, "Number." },
    { "delay", CONFIG_DURATION, offsetof(struct sample, delay_ms), "90s", 1000, 3600000, NULL, "Time." },
    { "room", CONFIG_SIZE, offsetof(struct sample, room_bytes), "64KiB", 0, 0, NULL, "Bytes." },
    { "name", CONFIG_STRING, offsetof(struct sample, name), "say \"x\"", 0, 0, NULL, "Text." },
    { "file", CONFIG_PATH, offsetof(struct sample, file), "", 0, 0, NULL, "Path." },
    { "color", CONFIG_ENUM, offsetof(struct sample, color), "green", 0, 0, colors, "Word." },
    { "tags", CONFIG_LIST, offsetof(struct sample, tags), "a, b", 0, 0, NULL, "Words." },
    { .name = NULL },
};
/* clang-format on */
