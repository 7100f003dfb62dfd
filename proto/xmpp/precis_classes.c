/* RFC 8264 §8: the order of the tests below is the order of the algorithm there. */
#include "proto/xmpp/precis_classes.h"

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/uscript.h>

#include "chassis/base/err.h"

enum property {
    PVALID,
    FREE_PVAL, /* valid in FreeformClass only (ID_DIS) */
    CONTEXTJ,
    CONTEXTO,
    DISALLOWED, /* also UNASSIGNED: the answer is the same */
};

#define VIRAMA 9 /* canonical combining class */

/* RFC 5892 §2.6, which RFC 8264 §9.6 takes over. False: not listed. */
static bool find_exception(UChar32 code, enum property *property_out)
{
    switch (code) {
    case 0x00DF:
    case 0x03C2:
    case 0x06FD:
    case 0x06FE:
    case 0x0F0B:
    case 0x3007: *property_out = PVALID; return true;
    case 0x00B7:
    case 0x0375:
    case 0x05F3:
    case 0x05F4:
    case 0x30FB: *property_out = CONTEXTO; return true;
    case 0x0640:
    case 0x07FA:
    case 0x302E:
    case 0x302F:
    case 0x303B: *property_out = DISALLOWED; return true;
    default: break;
    }
    if ((code >= 0x0660 && code <= 0x0669) || (code >= 0x06F0 && code <= 0x06F9)) {
        *property_out = CONTEXTO;
        return true;
    }
    if (code >= 0x3031 && code <= 0x3035) {
        *property_out = DISALLOWED;
        return true;
    }
    return false;
}

static bool is_old_hangul_jamo(UChar32 code)
{
    int32_t type = u_getIntPropertyValue(code, UCHAR_HANGUL_SYLLABLE_TYPE);
    return type == U_HST_LEADING_JAMO || type == U_HST_VOWEL_JAMO || type == U_HST_TRAILING_JAMO;
}

/* toNFKC(code) != code (RFC 8264 §9.17). */
static bool has_compatibility_form(UChar32 code)
{
    UErrorCode status = U_ZERO_ERROR;
    const UNormalizer2 *nfkc = unorm2_getNFKCInstance(&status);
    UChar text[2];
    int32_t len = 0;
    U16_APPEND_UNSAFE(text, len, code);
    UNormalizationCheckResult result = unorm2_quickCheck(nfkc, text, len, &status);
    ASSERT(U_SUCCESS(status));
    return result == UNORM_NO;
}

/* LetterDigits, and what FreeformClass adds (RFC 8264 §9.1, §9.13-§9.16). */
static enum property property_of_category(UChar32 code)
{
    uint32_t mask = U_MASK(u_charType(code));
    if ((mask
                & (U_GC_LL_MASK | U_GC_LU_MASK | U_GC_LO_MASK | U_GC_ND_MASK | U_GC_LM_MASK
                        | U_GC_MN_MASK | U_GC_MC_MASK))
            != 0) {
        return PVALID;
    }
    uint32_t free = U_GC_LT_MASK | U_GC_NL_MASK | U_GC_NO_MASK | U_GC_ME_MASK | U_GC_ZS_MASK
            | U_GC_S_MASK | U_GC_P_MASK;
    return (mask & free) != 0 ? FREE_PVAL : DISALLOWED;
}

static enum property property_of(UChar32 code)
{
    enum property exception = DISALLOWED;
    if (find_exception(code, &exception)) {
        return exception;
    }
    if (code >= 0x21 && code <= 0x7E) {
        return PVALID;
    }
    if (u_charType(code) == U_UNASSIGNED) { /* also the noncharacters */
        return DISALLOWED;
    }
    if (code == 0x200C || code == 0x200D) {
        return CONTEXTJ;
    }
    if (is_old_hangul_jamo(code) || u_hasBinaryProperty(code, UCHAR_DEFAULT_IGNORABLE_CODE_POINT)
            || u_charType(code) == U_CONTROL_CHAR) {
        return DISALLOWED;
    }
    if (has_compatibility_form(code)) {
        return FREE_PVAL;
    }
    return property_of_category(code);
}

static bool is_virama(UChar32 code)
{
    return u_getCombiningClass(code) == VIRAMA;
}

static bool joins(const int32_t *codes, int32_t count, int32_t from, int32_t step)
{
    for (int32_t i = from; i >= 0 && i < count; i += step) {
        int32_t type = u_getIntPropertyValue(codes[i], UCHAR_JOINING_TYPE);
        if (type == U_JT_TRANSPARENT) {
            continue;
        }
        return type == U_JT_DUAL_JOINING
                || type == (step < 0 ? U_JT_LEFT_JOINING : U_JT_RIGHT_JOINING);
    }
    return false;
}

/* RFC 5892 appendix A.1 and A.2. */
static bool may_join(const int32_t *codes, int32_t count, int32_t at)
{
    if (at > 0 && is_virama(codes[at - 1])) {
        return true;
    }
    return codes[at] == 0x200C && joins(codes, count, at - 1, -1) && joins(codes, count, at + 1, 1);
}

static UScriptCode script_of(UChar32 code)
{
    UErrorCode status = U_ZERO_ERROR;
    return uscript_getScript(code, &status);
}

static bool has_code_between(const int32_t *codes, int32_t count, int32_t first, int32_t last)
{
    for (int32_t i = 0; i < count; i++) {
        if (codes[i] >= first && codes[i] <= last) {
            return true;
        }
    }
    return false;
}

static bool has_japanese_or_han(const int32_t *codes, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        UScriptCode script = script_of(codes[i]);
        if (script == USCRIPT_HIRAGANA || script == USCRIPT_KATAKANA || script == USCRIPT_HAN) {
            return true;
        }
    }
    return false;
}

/* RFC 5892 appendix A.3 to A.9. */
static bool fits_context(const int32_t *codes, int32_t count, int32_t at)
{
    switch (codes[at]) {
    case 0x00B7: /* Catalan: between two l */
        return at > 0 && at + 1 < count && codes[at - 1] == 'l' && codes[at + 1] == 'l';
    case 0x0375: return at + 1 < count && script_of(codes[at + 1]) == USCRIPT_GREEK;
    case 0x05F3:
    case 0x05F4: return at > 0 && script_of(codes[at - 1]) == USCRIPT_HEBREW;
    case 0x30FB: return has_japanese_or_han(codes, count);
    default: break;
    }
    /* Arabic-Indic and extended Arabic-Indic digits do not mix. */
    return codes[at] <= 0x0669 ? !has_code_between(codes, count, 0x06F0, 0x06F9)
                               : !has_code_between(codes, count, 0x0660, 0x0669);
}

bool precis_is_allowed(const int32_t *codes, int32_t count, enum precis_base_class base)
{
    for (int32_t i = 0; i < count; i++) {
        bool is_allowed = false;
        switch (property_of(codes[i])) {
        case PVALID: is_allowed = true; break;
        case FREE_PVAL: is_allowed = base == PRECIS_FREEFORM; break;
        case CONTEXTJ: is_allowed = may_join(codes, count, i); break;
        case CONTEXTO: is_allowed = fits_context(codes, count, i); break;
        case DISALLOWED: break;
        }
        if (!is_allowed) {
            return false;
        }
    }
    return true;
}

#define DIRECTION(code) (1U << (unsigned)u_charDirection(code))
#define D(name)         (1U << (unsigned)U_##name)
#define NEUTRAL                                                                      \
    (D(EUROPEAN_NUMBER) | D(EUROPEAN_NUMBER_SEPARATOR) | D(COMMON_NUMBER_SEPARATOR)  \
            | D(EUROPEAN_NUMBER_TERMINATOR) | D(OTHER_NEUTRAL) | D(BOUNDARY_NEUTRAL) \
            | D(DIR_NON_SPACING_MARK))
#define RIGHT_TO_LEFT (D(RIGHT_TO_LEFT) | D(RIGHT_TO_LEFT_ARABIC))

bool precis_is_bidi_valid(const int32_t *codes, int32_t count)
{
    unsigned seen = 0;
    unsigned last = 0; /* of the last character that is no mark */
    for (int32_t i = 0; i < count; i++) {
        unsigned direction = DIRECTION(codes[i]);
        seen |= direction;
        last = direction == D(DIR_NON_SPACING_MARK) ? last : direction;
    }
    if ((seen & (RIGHT_TO_LEFT | D(ARABIC_NUMBER))) == 0) {
        return true;
    }
    /* It has right-to-left characters, so it has to begin with one (rules 1 and 5). */
    if (count == 0 || (DIRECTION(codes[0]) & RIGHT_TO_LEFT) == 0) {
        return false;
    }
    if ((seen & ~(RIGHT_TO_LEFT | D(ARABIC_NUMBER) | NEUTRAL)) != 0) { /* rule 2 */
        return false;
    }
    bool ends_well = (last & (RIGHT_TO_LEFT | D(EUROPEAN_NUMBER) | D(ARABIC_NUMBER))) != 0;
    bool mixes_digits = (seen & D(EUROPEAN_NUMBER)) != 0 && (seen & D(ARABIC_NUMBER)) != 0;
    return ends_well && !mixes_digits; /* rules 3 and 4 */
}
