/* What time does to the accounts this router is home of: deleted ones are erased, what a host has
 * to tell them is put into their logs, inactive ones are warned, disabled and deleted by the host's
 * policy (section "accounts"). Everything to be done stands in PostgreSQL, each router does what
 * belongs to its shards, and nothing is done twice that is not harmless twice. */
#pragma once

struct lifecycle;
struct router;

struct lifecycle *lifecycle_create(struct router *router);
/* The schema is known to be ours: from now on it looks for what is to be done. */
void lifecycle_start(struct lifecycle *lifecycle);
/* Nothing is begun any more; answers are still taken. */
void lifecycle_stop(struct lifecycle *lifecycle); /* accepts NULL */
/* When nothing can answer any more. */
void lifecycle_destroy(struct lifecycle *lifecycle); /* accepts NULL */

/* An account was made or deleted: look soon. Accepts NULL. */
void lifecycle_poke(struct lifecycle *lifecycle);
/* The policy for inactive accounts, now; it comes by itself, too. */
void lifecycle_sweep(struct lifecycle *lifecycle);
