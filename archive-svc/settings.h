/* Section archive. */
#pragma once

#include <stdint.h>

#include "chassis/config.h"

struct archive_settings {
    int64_t retention_days;
    int64_t replay_window_ms;
    int64_t append_connections;
    int64_t max_batch;
    int64_t read_max_entries;
    int64_t read_max_bytes;
};

extern const struct config_section config_section_archive;
