/* Configuration out of a string, for unit tests of settings. */
#pragma once

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chassis/config.h"

/* NULL and reasons in `why` as config_load. */
static inline struct config *config_load_text(
        const char *yaml, const struct config_section *const *sections, struct buf *why)
{
    char path[] = "/tmp/starling-config.XXXXXX";
    int fd = mkstemp(path);
    size_t len = strlen(yaml);
    ASSERT(fd >= 0 && write(fd, yaml, len) == (ssize_t)len);
    close(fd);
    struct config *config = config_load(path, sections, why);
    unlink(path);
    return config;
}
