/* What a host says of itself: the answer to disco#info, from the table of features and the
 * configuration alone, so that every router with the same configuration gives the same one; and its
 * hashes (XEP-0115, XEP-0390), which edges announce. Loop thread only. */
#pragma once

#include <stddef.h>

#include "proto/xmpp/caps.h"

struct host;
struct host_info;
struct settings;

/* The children of <query/>. */
void host_info_write(const struct settings *settings, const struct host *host, struct buf *xml);

struct host_info *host_info_create(void);
void host_info_destroy(struct host_info *info); /* accepts NULL */
/* The settings are new: what a host says may have changed. */
void host_info_refresh(struct host_info *info, const struct settings *settings);

/* The children of <query/> that a caps node of the host stands for: now, or two changes ago
 * (XEP-0390 §6.1). STR_NULL: it is none of its nodes. Valid until the next refresh. */
struct str host_info_find(const struct host_info *info, struct str domain, struct str node);

/* Hosts whose answer can be hashed. */
struct host_announcement {
    struct str domain;
    struct caps_hashes hashes;
};
size_t host_info_count(const struct host_info *info);
/* false: nothing is announced for this one. */
bool host_info_get(const struct host_info *info, size_t at, struct host_announcement *out);
