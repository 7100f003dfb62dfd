/* PRECIS profiles over ICU (RFC 8264-8266). Pure and thread-safe after the first call. */
#pragma once

#include <stdbool.h>

#include "chassis/base/arena.h"
#include "chassis/base/err.h"
#include "chassis/base/str.h"

/* RFC 8265 §3.3; without the characters RFC 7622 §3.3.1 forbids in a localpart (the caller checks
 * those). */
MUST_USE enum err precis_username_case_mapped(
        struct arena *arena, struct str text, struct str *out);
/* RFC 8265 §4.2: resourceparts, and passwords before hashing (SCRAM, PLAIN). */
MUST_USE enum err precis_opaque_string(struct arena *arena, struct str text, struct str *out);
/* An internationalised domain name (at least one byte beyond ASCII, or an A-label) as IDNA2008
 * U-labels in lower case: UTS #46 mapping, non-transitional, then RFC 5892's classes. No trailing
 * dot. */
MUST_USE enum err precis_domain(struct arena *arena, struct str text, struct str *out);
/* Prepared text that looks like another one because it borrows letters (C33): scripts that nobody
 * writes together. UTS #39 "moderately restrictive": one script, with or without Latin, but no
 * Latin beside Cyrillic, Greek and the like; Japanese, Korean and Chinese as they are written. */
bool precis_mixes_scripts(struct str text);
