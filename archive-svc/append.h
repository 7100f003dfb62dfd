/* Appends: one transaction each. Those of one router are committed and answered in the order in
 * which they came; routers do not wait for each other. */
#pragma once

#include "archive-svc/asker.h"
#include "chassis/base/arena.h"

void append_register_metrics(void); /* shown before the first append */
/* Takes the arena, in which `append` lives. */
void append_take(struct asker *asker, struct arena arena, const Wire__Append *append);
/* Drops what waits; what is in flight ends by itself, unanswered. */
void append_forget(struct asker *asker);
