/* The derived property of RFC 8264 §8 and §9, and the rules that look at a whole string: contexts
 * (RFC 5892 appendix A) and direction (RFC 5893 §2). Computed from ICU's properties, so they follow
 * the Unicode version of the ICU we run with. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum precis_base_class {
    PRECIS_IDENTIFIER, /* RFC 8264 §4.2 */
    PRECIS_FREEFORM,   /* RFC 8264 §4.3 */
};

/* All code points are valid in `base` and every context rule holds. */
bool precis_is_allowed(const int32_t *codes, int32_t count, enum precis_base_class base);
/* True for text without right-to-left characters. */
bool precis_is_bidi_valid(const int32_t *codes, int32_t count);
