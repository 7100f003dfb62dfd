/* PRECIS enforcement (RFC 8264 §7) over ICU's UTF-16 strings, and IDNA by UTS #46. */
#include "proto/xmpp/precis.h"

#include <unicode/uchar.h>
#include <unicode/uidna.h>
#include <unicode/unorm2.h>
#include <unicode/uscript.h>
#include <unicode/ustring.h>

#include "proto/xmpp/precis_classes.h"

/* Nothing longer can become a part of a JID of 1023 bytes: fullwidth forms shrink from three bytes
 * to one. Passwords have met the limit of the SASL message. */
#define MAX_INPUT_BYTES 4096
/* NFC grows a character to at most 3 UTF-16 units, lower case to 3; both are rare. */
#define MAX_UNITS  (3 * MAX_INPUT_BYTES)
#define MAX_ROUNDS 3 /* after the first (RFC 8264 §7) */

struct text {
    UChar units[MAX_UNITS];
    int32_t len;
};

typedef bool (*text_mapping)(struct text *text); /* one pass of a profile; false: not valid */

static bool text_from_utf8(struct text *text, struct str utf8)
{
    if (utf8.len == 0 || utf8.len > MAX_INPUT_BYTES) {
        return false;
    }
    UErrorCode status = U_ZERO_ERROR;
    u_strFromUTF8(text->units, MAX_UNITS, &text->len, utf8.ptr, (int32_t)utf8.len, &status);
    return U_SUCCESS(status);
}

static struct str text_to_utf8(struct arena *arena, const struct text *text)
{
    int32_t capacity = text->len * 3;
    char *bytes = (char *)arena_alloc(arena, (size_t)capacity + 1);
    int32_t len = 0;
    UErrorCode status = U_ZERO_ERROR;
    u_strToUTF8(bytes, capacity + 1, &len, text->units, text->len, &status);
    ASSERT(U_SUCCESS(status));
    return str_from(bytes, (size_t)len);
}

static bool text_equal(const struct text *a, const struct text *b)
{
    return a->len == b->len && u_memcmp(a->units, b->units, a->len) == 0;
}

static void text_copy(struct text *to, const struct text *from)
{
    u_memcpy(to->units, from->units, from->len);
    to->len = from->len;
}

/* The code points of `text`; there is room for MAX_UNITS of them. */
static int32_t text_to_codes(const struct text *text, int32_t *codes)
{
    UErrorCode status = U_ZERO_ERROR;
    int32_t count = 0;
    UChar32 *out = codes;
    u_strToUTF32(out, MAX_UNITS, &count, text->units, text->len, &status);
    ASSERT(U_SUCCESS(status));
    return count;
}

/* Code points of the string at hand: too large for the stack, too short-lived for the heap. */
static _Thread_local int32_t scratch_codes[MAX_UNITS];

/* RFC 8264 §5.2.1: fullwidth and halfwidth characters to their ordinary forms. */
static bool map_width(struct text *text)
{
    UErrorCode status = U_ZERO_ERROR;
    const UNormalizer2 *nfkc = unorm2_getNFKCInstance(&status);
    ASSERT(U_SUCCESS(status));
    int32_t count = text_to_codes(text, scratch_codes);
    text->len = 0;
    for (int32_t i = 0; i < count; i++) {
        UChar32 code = scratch_codes[i];
        int32_t type = u_getIntPropertyValue(code, UCHAR_DECOMPOSITION_TYPE);
        UChar units[8];
        int32_t len = 0;
        if (type == U_DT_WIDE || type == U_DT_NARROW) {
            len = unorm2_getRawDecomposition(nfkc, code, units, 8, &status);
        } else {
            U16_APPEND_UNSAFE(units, len, code);
        }
        if (U_FAILURE(status) || len < 0 || text->len + len > MAX_UNITS) {
            return false;
        }
        u_memcpy(text->units + text->len, units, len);
        text->len += len;
    }
    return true;
}

static bool map_lower_case(struct text *text)
{
    struct text lower;
    UErrorCode status = U_ZERO_ERROR;
    lower.len = u_strToLower(lower.units, MAX_UNITS, text->units, text->len, "", &status);
    if (U_FAILURE(status)) {
        return false;
    }
    text_copy(text, &lower);
    return true;
}

static bool normalize_nfc(struct text *text)
{
    struct text normal;
    UErrorCode status = U_ZERO_ERROR;
    const UNormalizer2 *nfc = unorm2_getNFCInstance(&status);
    normal.len = unorm2_normalize(nfc, text->units, text->len, normal.units, MAX_UNITS, &status);
    if (U_FAILURE(status)) {
        return false;
    }
    text_copy(text, &normal);
    return true;
}

static bool check_behaviour(
        const struct text *text, enum precis_base_class base, bool is_bidi_checked)
{
    int32_t count = text_to_codes(text, scratch_codes);
    return count > 0 && (!is_bidi_checked || precis_is_bidi_valid(scratch_codes, count))
            && precis_is_allowed(scratch_codes, count, base);
}

/* RFC 8265 §3.3.2: width, case, NFC, direction, IdentifierClass. */
static bool apply_username_case_mapped(struct text *text)
{
    return map_width(text) && map_lower_case(text) && normalize_nfc(text)
            && check_behaviour(text, PRECIS_IDENTIFIER, true);
}

/* RFC 8265 §4.2.2: spaces to SPACE, NFC, FreeformClass. */
static bool apply_opaque_string(struct text *text)
{
    for (int32_t i = 0; i < text->len; i++) { /* all space separators are in the BMP */
        if (u_charType(text->units[i]) == U_SPACE_SEPARATOR) {
            text->units[i] = 0x20;
        }
    }
    return normalize_nfc(text) && check_behaviour(text, PRECIS_FREEFORM, false);
}

/* RFC 8264 §7: a profile is applied again until its output is stable. */
static enum err enforce(struct arena *arena, struct str utf8, text_mapping apply, struct str *out)
{
    struct text text;
    struct text before;
    if (!text_from_utf8(&text, utf8) || !apply(&text)) {
        return ERR_INVALID;
    }
    for (int round = 0; round < MAX_ROUNDS; round++) {
        text_copy(&before, &text);
        if (!apply(&text)) {
            return ERR_INVALID;
        }
        if (text_equal(&before, &text)) {
            *out = text_to_utf8(arena, &text);
            return ERR_OK;
        }
    }
    return ERR_INVALID;
}

enum err precis_username_case_mapped(struct arena *arena, struct str text, struct str *out)
{
    return enforce(arena, text, apply_username_case_mapped, out);
}

static bool is_printable_ascii(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < 0x20 || text.ptr[i] > 0x7E) {
            return false;
        }
    }
    return text.len > 0;
}

enum err precis_opaque_string(struct arena *arena, struct str text, struct str *out)
{
    if (is_printable_ascii(text)) { /* stays what it is */
        *out = str_dup(arena, text);
        return ERR_OK;
    }
    return enforce(arena, text, apply_opaque_string, out);
}

static const UIDNA *open_idna(void)
{
    static _Thread_local UIDNA *idna; /* lives as long as the thread, like ICU's own data */
    if (idna == NULL) {
        UErrorCode status = U_ZERO_ERROR;
        idna = uidna_openUTS46(UIDNA_USE_STD3_RULES | UIDNA_CHECK_BIDI | UIDNA_CHECK_CONTEXTJ
                        | UIDNA_CHECK_CONTEXTO | UIDNA_NONTRANSITIONAL_TO_ASCII
                        | UIDNA_NONTRANSITIONAL_TO_UNICODE,
                &status);
        ASSERT(U_SUCCESS(status));
    }
    return idna;
}

/* UTS #46 lets symbols pass that IDNA2008 forbids, so each label meets RFC 5892's classes too. */
static bool has_valid_labels(const struct text *domain)
{
    int32_t start = 0;
    for (int32_t i = 0; i <= domain->len; i++) {
        if (i < domain->len && domain->units[i] != '.') {
            continue;
        }
        struct text label;
        label.len = i - start;
        u_memcpy(label.units, domain->units + start, label.len);
        if (!check_behaviour(&label, PRECIS_IDENTIFIER, false)) {
            return false;
        }
        start = i + 1;
    }
    return true;
}

enum err precis_domain(struct arena *arena, struct str utf8, struct str *out)
{
    struct text input;
    struct text unicode;
    struct text ascii;
    if (!text_from_utf8(&input, utf8)) {
        return ERR_INVALID;
    }
    UErrorCode status = U_ZERO_ERROR;
    UIDNAInfo info = UIDNA_INFO_INITIALIZER;
    unicode.len = uidna_nameToUnicode(
            open_idna(), input.units, input.len, unicode.units, MAX_UNITS, &info, &status);
    if (U_FAILURE(status) || info.errors != 0) {
        return ERR_INVALID;
    }
    if (unicode.len > 0 && unicode.units[unicode.len - 1] == '.') {
        unicode.len--;
    }
    /* Only the way to ASCII measures the labels. Whole names may be longer than DNS allows. */
    info = (UIDNAInfo)UIDNA_INFO_INITIALIZER;
    ascii.len = uidna_nameToASCII(
            open_idna(), unicode.units, unicode.len, ascii.units, MAX_UNITS, &info, &status);
    if (U_FAILURE(status) || (info.errors & ~(uint32_t)UIDNA_ERROR_DOMAIN_NAME_TOO_LONG) != 0
            || !has_valid_labels(&unicode)) {
        return ERR_INVALID;
    }
    *out = text_to_utf8(arena, &unicode);
    return ERR_OK;
}

/* ---- scripts that do not belong together */

enum script_group {
    SCRIPT_LATIN = 1 << 0,
    SCRIPT_HAN = 1 << 1,
    SCRIPT_KANA = 1 << 2,
    SCRIPT_BOPOMOFO = 1 << 3,
    SCRIPT_HANGUL = 1 << 4,
    SCRIPT_LIKE_LATIN = 1 << 5, /* has letters that look like Latin ones */
    SCRIPT_OTHER = 1 << 6,
};

static unsigned group_of(UScriptCode script)
{
    switch ((int)script) {
    case USCRIPT_COMMON:
    case USCRIPT_INHERITED: return 0;
    case USCRIPT_LATIN: return SCRIPT_LATIN;
    case USCRIPT_HAN: return SCRIPT_HAN;
    case USCRIPT_HIRAGANA:
    case USCRIPT_KATAKANA: return SCRIPT_KANA;
    case USCRIPT_BOPOMOFO: return SCRIPT_BOPOMOFO;
    case USCRIPT_HANGUL: return SCRIPT_HANGUL;
    case USCRIPT_CYRILLIC:
    case USCRIPT_GREEK:
    case USCRIPT_COPTIC:
    case USCRIPT_ARMENIAN:
    case USCRIPT_CHEROKEE: return SCRIPT_LIKE_LATIN;
    default: return SCRIPT_OTHER;
    }
}

static bool may_stand_together(unsigned groups)
{
    static const unsigned sets[] = {
        SCRIPT_LATIN | SCRIPT_HAN | SCRIPT_KANA,
        SCRIPT_LATIN | SCRIPT_HAN | SCRIPT_BOPOMOFO,
        SCRIPT_LATIN | SCRIPT_HAN | SCRIPT_HANGUL,
        SCRIPT_LATIN | SCRIPT_OTHER,
        SCRIPT_LIKE_LATIN,
    };
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        if ((groups & ~sets[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool precis_mixes_scripts(struct str utf8)
{
    unsigned groups = 0;
    UScriptCode lonely = USCRIPT_INVALID_CODE; /* of the last two groups: only one at a time */
    struct text text;
    if (!text_from_utf8(&text, utf8)) {
        return true;
    }
    int32_t count = text_to_codes(&text, scratch_codes);
    for (int32_t i = 0; i < count; i++) {
        UErrorCode error = U_ZERO_ERROR;
        UScriptCode script = uscript_getScript(scratch_codes[i], &error);
        unsigned group = group_of(script);
        groups |= group;
        if (group & (SCRIPT_LIKE_LATIN | SCRIPT_OTHER)) {
            if (lonely != USCRIPT_INVALID_CODE && lonely != script) {
                return true;
            }
            lonely = script;
        }
    }
    return !may_stand_together(groups);
}
