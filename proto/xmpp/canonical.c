/* Balance, depth and count over the scanner's tokens. */
#include "proto/xmpp/canonical.h"

#include "proto/xmpp/canonical_scan.h"

/* More than any stream allows; the names of open elements live on the stack. */
#define MAX_DEPTH 256

bool canonical_is_valid(struct str xml, unsigned max_depth, unsigned max_elements)
{
    struct str open[MAX_DEPTH];
    unsigned limit = max_depth < MAX_DEPTH ? max_depth : MAX_DEPTH;
    unsigned depth = 0;
    unsigned elements = 0;
    struct canonical_scan scan;
    canonical_scan_init(&scan, xml);
    for (;;) {
        switch (canonical_scan_next(&scan)) {
        case CANONICAL_END: return depth == 0;
        case CANONICAL_BAD: return false;
        case CANONICAL_TEXT:
            if (depth == 0) {
                return false;
            }
            break;
        case CANONICAL_OPEN:
            if (++elements > max_elements || depth >= limit) {
                return false;
            }
            if (!scan.is_empty) {
                open[depth++] = scan.name;
            }
            break;
        case CANONICAL_CLOSE:
            if (depth == 0 || !str_equal(open[--depth], scan.name)) {
                return false;
            }
            break;
        }
    }
}
