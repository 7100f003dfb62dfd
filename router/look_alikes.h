/* Marks of look-alikes (C33) for accounts that came before there were any: looked for now and then,
 * written in small batches. Loop thread only. */
#pragma once

struct look_alikes;
struct router;

struct look_alikes *look_alikes_create(struct router *router);
/* The schema is known to be ours. */
void look_alikes_start(struct look_alikes *looks);
void look_alikes_destroy(struct look_alikes *looks); /* accepts NULL; the store has answered */
