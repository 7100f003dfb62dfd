/* What the parts of archive-svc share, and the way in: records of routers. Loop thread only. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chassis/base/err.h"
#include "chassis/base/str.h"
#include "proto/wire/wire.h"

struct archive_settings;
struct archive_store;
struct asker;
struct link_peer;
struct loop;

struct archive {
    struct loop *loop;
    const struct archive_settings *settings;
    struct archive_store *store;
    enum err (*send)(struct link_peer *peer, struct str record); /* link_send, or a test's */
    size_t appends_pending;         /* waiting or in flight, of all routers */
    bool is_draining;               /* new appends are refused: another archive-svc takes them */
    void (*on_idle)(void *context); /* draining, and no append is pending */
    void *on_idle_context;
};

/* One record of a router. Unknown verbs are counted and ignored (a newer neighbour). */
void archive_on_record(
        struct archive *archive, struct asker *asker, uint64_t boot_epoch, struct str record);
void archive_drain(struct archive *archive, void (*on_idle)(void *context), void *context);
