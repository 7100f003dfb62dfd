/* Restriction levels and skeletons by ICU's spoof checker. */
#include "proto/xmpp/precis_look_alike.h"

#include <unicode/uspoof.h>

#include "proto/xmpp/jid.h"

/* A code point of two bytes may stand for a sequence of some; what does not fit is no name of
 * letters. */
#define MAX_SKELETON_BYTES (8 * JID_PART_MAX_BYTES)

static const USpoofChecker *get_checker(void)
{
    static USpoofChecker *checker;
    if (!checker) {
        UErrorCode status = U_ZERO_ERROR;
        checker = uspoof_open(&status);
        ASSERT(U_SUCCESS(status));
        uspoof_setRestrictionLevel(checker, USPOOF_MODERATELY_RESTRICTIVE);
        uspoof_setChecks(checker, USPOOF_RESTRICTION_LEVEL | USPOOF_INVISIBLE, &status);
        ASSERT(U_SUCCESS(status));
    }
    return checker;
}

static bool is_ascii(const char *bytes, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        if ((unsigned char)bytes[i] > 0x7f) {
            return false;
        }
    }
    return true;
}

static bool has_ascii_skeleton(const USpoofChecker *checker, struct str local)
{
    char skeleton[MAX_SKELETON_BYTES];
    UErrorCode status = U_ZERO_ERROR;
    int32_t count = uspoof_getSkeletonUTF8(
            checker, 0, local.ptr, (int32_t)local.len, skeleton, sizeof(skeleton), &status);
    return U_FAILURE(status) || is_ascii(skeleton, count);
}

bool precis_is_look_alike(struct str local)
{
    if (local.len > JID_PART_MAX_BYTES) {
        return true; /* no name at all */
    }
    if (is_ascii(local.ptr, (int32_t)local.len)) {
        return false;
    }
    const USpoofChecker *checker = get_checker();
    UErrorCode status = U_ZERO_ERROR;
    int32_t found = uspoof_checkUTF8(checker, local.ptr, (int32_t)local.len, NULL, &status);
    return U_FAILURE(status) || found != 0 || has_ascii_skeleton(checker, local);
}
