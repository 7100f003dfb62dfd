/* Restriction levels and skeletons by ICU's spoof checker. */
#include "proto/xmpp/precis_look_alike.h"

#include <unicode/uspoof.h>

#include "chassis/base/buf.h"
#include "chassis/base/digest.h"
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

/* False: it does not fit. */
static bool get_skeleton(struct str local, char out[MAX_SKELETON_BYTES], int32_t *count_out)
{
    UErrorCode status = U_ZERO_ERROR;
    *count_out = uspoof_getSkeletonUTF8(
            get_checker(), 0, local.ptr, (int32_t)local.len, out, MAX_SKELETON_BYTES, &status);
    return U_SUCCESS(status) && *count_out <= MAX_SKELETON_BYTES;
}

static bool has_ascii_skeleton(struct str local)
{
    char skeleton[MAX_SKELETON_BYTES];
    int32_t count;
    return !get_skeleton(local, skeleton, &count) || is_ascii(skeleton, count);
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
    return U_FAILURE(status) || found != 0 || has_ascii_skeleton(local);
}

enum err precis_skeleton(struct arena *arena, struct str local, struct str *out)
{
    char skeleton[MAX_SKELETON_BYTES];
    int32_t count;
    if (local.len > JID_PART_MAX_BYTES || !get_skeleton(local, skeleton, &count)) {
        return ERR_LIMIT;
    }
    for (int32_t i = 0; i < count; i++) { /* a zero becomes a capital O, which no name has */
        if (skeleton[i] >= 'A' && skeleton[i] <= 'Z') {
            skeleton[i] = (char)(skeleton[i] - 'A' + 'a');
        }
    }
    *out = str_dup(arena, str_from(skeleton, (size_t)count));
    return ERR_OK;
}

void precis_look_alike_mark(struct str bare, uint8_t mark[LOOK_ALIKE_MARK_BYTES])
{
    struct str domain = bare;
    struct str local = str_cut(&domain, '@');
    struct arena arena;
    struct buf text;
    uint8_t hash[DIGEST_MAX_BYTES];
    arena_init(&arena, 0);
    buf_init(&text, 0);
    if (precis_skeleton(&arena, local, &local) != ERR_OK) {
        buf_append_literal(&text, "@"); /* no skeleton of another one begins like this */
    }
    buf_append_str(&text, local);
    buf_append_literal(&text, "@");
    buf_append_str(&text, domain);
    digest_hash(DIGEST_SHA256, buf_view(&text), hash);
    memcpy(mark, hash, LOOK_ALIKE_MARK_BYTES);
    buf_fini(&text);
    arena_fini(&arena);
}
