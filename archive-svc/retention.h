/* Keeps the log small and ready: every 30 seconds it makes the partitions of this week and the
 * next, drops those that are wholly too old, and deletes what is delivered. A pass that fails is
 * logged and left to the next one. */
#pragma once

struct archive;
struct retention;

/* The first pass begins at once. The archive is borrowed. */
struct retention *retention_create(struct archive *archive);
/* The pools must be closed before. Accepts NULL. */
void retention_destroy(struct retention *retention);
