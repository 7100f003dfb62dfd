/* The field table of section archive. */
#include "archive-svc/settings.h"

/* clang-format off */
static const struct config_field fields[] = {
    { "retention_days", CONFIG_INT, offsetof(struct archive_settings, retention_days), "30", 1, 36500, NULL,
        "days after which a message that nobody came for is dropped; whole weeks at a time" },
    { "replay_window", CONFIG_DURATION, offsetof(struct archive_settings, replay_window_ms), "300s", 150000, 86400000, NULL,
        "how long delivered messages are kept: their origins recognise repeats" },
    { "append_connections", CONFIG_INT, offsetof(struct archive_settings, append_connections), "2", 1, 64, NULL,
        "connections to PostgreSQL for appends alone; reading uses postgres_archive.connections" },
    { "max_batch", CONFIG_INT, offsetof(struct archive_settings, max_batch), "4096", 2048, 100000, NULL,
        "most rows of each kind in one append; larger ones are refused (routers send up to 512 for each of three kinds)" },
    { "read_max_entries", CONFIG_INT, offsetof(struct archive_settings, read_max_entries), "500", 1, 10000, NULL,
        "most entries in one page of a log, whatever is asked for" },
    { "read_max_bytes", CONFIG_SIZE, offsetof(struct archive_settings, read_max_bytes), "256KiB", 1024, 1048576, NULL,
        "bytes after which a page ends; must stay well below bus.max_frame_bytes" },
    { .name = NULL },
};
/* clang-format on */

const struct config_section config_section_archive = {
    .name = "archive",
    .help = "The message log (archive-svc)",
    .fields = fields,
    .size = sizeof(struct archive_settings),
};
