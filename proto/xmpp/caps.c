/* Both generation methods are the same walk: parts are gathered, sorted by octets (RFC 4790 §9.3)
 * and joined. */
#include "proto/xmpp/caps.h"

#include <stdlib.h>

#include "chassis/base/digest.h"
#include "chassis/base/encoding.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

#define FORM_TYPE "FORM_TYPE"

/* ---- texts, sorted */

struct texts {
    struct str *items;
    size_t count;
};

static int compare(struct str left, struct str right)
{
    size_t len = left.len < right.len ? left.len : right.len;
    int order = len ? memcmp(left.ptr, right.ptr, len) : 0;
    return order ? order : (left.len > right.len) - (left.len < right.len);
}

static int compare_items(const void *left, const void *right)
{
    return compare(*(const struct str *)left, *(const struct str *)right);
}

static void texts_sort(struct texts *texts)
{
    qsort(texts->items, texts->count, sizeof(*texts->items), compare_items);
}

static bool texts_have_twins(const struct texts *sorted)
{
    for (size_t i = 1; i < sorted->count; i++) {
        if (compare(sorted->items[i - 1], sorted->items[i]) == 0) {
            return true;
        }
    }
    return false;
}

static size_t count_children(const struct element *parent)
{
    size_t count = 0;
    XML_FOREACH_CHILD(child, parent) {
        count++;
    }
    return count;
}

/* Room for a text of each child. */
static struct texts texts_for(struct arena *arena, const struct element *parent)
{
    return (struct texts){ arena_alloc(arena, (count_children(parent) + 1) * sizeof(struct str)),
        0 };
}

/* ---- the parts of an answer */

static struct str lang_of(const struct element *element, struct str inherited)
{
    for (size_t i = 0; i < element->attribute_count; i++) {
        const struct element_attribute *attribute = &element->attributes[i];
        if (str_equal(attribute->name, STR("lang")) && str_equal(attribute->ns, STR(NS_XML))) {
            return attribute->value;
        }
    }
    return inherited;
}

static bool is_form(const struct element *element)
{
    return element_is(element, NS_DATA_FORMS, "x");
}

/* The field that says what the form is (XEP-0068); NULL: there is none, or it is not hidden. */
static const struct element *find_form_type(const struct element *form)
{
    XML_FOREACH_CHILD(field, form) {
        if (element_is(field, NS_DATA_FORMS, "field")
                && str_equal(element_attribute(field, STR("var")), STR(FORM_TYPE))) {
            bool is_hidden = str_equal(element_attribute(field, STR("type")), STR("hidden"));
            return is_hidden && element_child(field, NS_DATA_FORMS, "value") ? field : NULL;
        }
    }
    return NULL;
}

static struct texts values_of(struct arena *arena, const struct element *field)
{
    struct texts values = texts_for(arena, field);
    XML_FOREACH_CHILD(value, field) {
        if (element_is(value, NS_DATA_FORMS, "value")) {
            values.items[values.count++] = value->text;
        }
    }
    texts_sort(&values);
    return values;
}

/* Everything below, whatever it is. */
static size_t count_parts(const struct element *query)
{
    size_t count = 0;
    XML_FOREACH_CHILD(part, query) {
        count++;
        XML_FOREACH_CHILD(field, part) {
            count += 1 + count_children(field);
        }
    }
    return count;
}

/* ---- XEP-0115 §5.1 */

static bool add_part(struct buf *out, struct str text)
{
    buf_append_str(out, text);
    buf_append_char(out, '<');
    return str_find_char(text, '<') == text.len;
}

struct identity {
    struct str parts[4]; /* category, type, lang, name */
};

static int compare_identities(const void *left, const void *right)
{
    const struct identity *a = left;
    const struct identity *b = right;
    int order = 0;
    for (size_t i = 0; i < 4 && order == 0; i++) {
        order = compare(a->parts[i], b->parts[i]);
    }
    return order;
}

/* §5.4: two that are alike make the whole ill-formed. */
static bool write_identities(struct arena *arena, const struct element *query, struct buf *out)
{
    struct identity *items = arena_alloc(arena, (count_children(query) + 1) * sizeof(*items));
    size_t count = 0;
    struct str lang = lang_of(query, STR_NULL);
    XML_FOREACH_CHILD(item, query) {
        if (element_is(item, NS_DISCO_INFO, "identity")) {
            items[count++] = (struct identity){ { element_attribute(item, STR("category")),
                    element_attribute(item, STR("type")),
                    lang_of(item, lang),
                    element_attribute(item, STR("name")) } };
        }
    }
    qsort(items, count, sizeof(*items), compare_identities);
    bool is_sound = true;
    for (size_t i = 0; i < count; i++) {
        is_sound = is_sound && (i == 0 || compare_identities(&items[i - 1], &items[i]) != 0);
        for (size_t j = 0; j < 4; j++) {
            buf_append_str(out, items[i].parts[j]);
            buf_append_char(out, j < 3 ? '/' : '<');
            is_sound = is_sound && str_find_char(items[i].parts[j], '<') == items[i].parts[j].len;
        }
    }
    return is_sound;
}

static bool write_features(struct arena *arena, const struct element *query, struct buf *out)
{
    struct texts vars = texts_for(arena, query);
    XML_FOREACH_CHILD(item, query) {
        if (element_is(item, NS_DISCO_INFO, "feature")) {
            vars.items[vars.count++] = element_attribute(item, STR("var"));
        }
    }
    texts_sort(&vars);
    bool is_sound = !texts_have_twins(&vars);
    for (size_t i = 0; i < vars.count; i++) {
        is_sound = add_part(out, vars.items[i]) && is_sound;
    }
    return is_sound;
}

struct keyed {
    struct str key;
    size_t place;
    const struct element *element;
};

/* Of one key, the first stays first. */
static int compare_keyed(const void *left, const void *right)
{
    const struct keyed *a = left;
    const struct keyed *b = right;
    int order = compare(a->key, b->key);
    return order ? order : (a->place > b->place) - (a->place < b->place);
}

static bool write_fields(struct arena *arena, const struct element *form, struct buf *out)
{
    struct keyed *fields = arena_alloc(arena, (count_children(form) + 1) * sizeof(*fields));
    size_t count = 0;
    XML_FOREACH_CHILD(field, form) {
        struct str var = element_attribute(field, STR("var"));
        if (element_is(field, NS_DATA_FORMS, "field") && !str_equal(var, STR(FORM_TYPE))) {
            fields[count] = (struct keyed){ var, count, field };
            count++;
        }
    }
    qsort(fields, count, sizeof(*fields), compare_keyed);
    bool is_sound = true;
    for (size_t i = 0; i < count; i++) {
        is_sound = add_part(out, fields[i].key) && is_sound;
        struct texts values = values_of(arena, fields[i].element);
        for (size_t j = 0; j < values.count; j++) {
            is_sound = add_part(out, values.items[j]) && is_sound;
        }
    }
    return is_sound;
}

/* §5.4: a form without a hidden FORM_TYPE is passed over; one with two of them, or two forms with
 * one, make the whole ill-formed. */
static bool write_forms(struct arena *arena, const struct element *query, struct buf *out)
{
    struct keyed *forms = arena_alloc(arena, (count_children(query) + 1) * sizeof(*forms));
    size_t count = 0;
    bool is_sound = true;
    XML_FOREACH_CHILD(form, query) {
        const struct element *type = is_form(form) ? find_form_type(form) : NULL;
        if (type) {
            struct texts values = values_of(arena, type);
            is_sound = is_sound && compare(values.items[0], values.items[values.count - 1]) == 0;
            forms[count] = (struct keyed){ values.items[0], count, form };
            count++;
        }
    }
    qsort(forms, count, sizeof(*forms), compare_keyed);
    for (size_t i = 0; i < count; i++) {
        is_sound = is_sound && (i == 0 || compare(forms[i - 1].key, forms[i].key) != 0);
        is_sound = add_part(out, forms[i].key) && is_sound;
        is_sound = write_fields(arena, forms[i].element, out) && is_sound;
    }
    return is_sound;
}

enum err caps_write_ver_input(struct arena *arena, const struct element *query, struct buf *out)
{
    if (count_parts(query) > CAPS_MAX_PARTS) {
        return ERR_LIMIT;
    }
    size_t before = out->len;
    bool is_sound = write_identities(arena, query, out);
    is_sound = write_features(arena, query, out) && is_sound;
    is_sound = write_forms(arena, query, out) && is_sound;
    if (out->overflowed || out->len - before > CAPS_MAX_BYTES) {
        return ERR_LIMIT;
    }
    return is_sound ? ERR_OK : ERR_INVALID;
}

/* ---- XEP-0390 §4.1: the separators cannot occur in XML */

#define END_OF_TEXT    '\x1f'
#define END_OF_RECORD  '\x1e'
#define END_OF_FORM    '\x1d'
#define END_OF_SECTION '\x1c'

static void add_text(struct buf *out, struct str text)
{
    buf_append_str(out, text);
    buf_append_char(out, END_OF_TEXT);
}

static struct str keep(struct arena *arena, struct buf *scratch)
{
    struct str kept = str_dup(arena, buf_view(scratch));
    buf_fini(scratch);
    return kept;
}

static void add_sorted(struct buf *out, struct texts *texts, char end)
{
    texts_sort(texts);
    for (size_t i = 0; i < texts->count; i++) {
        buf_append_str(out, texts->items[i]);
    }
    buf_append_char(out, end);
}

static struct str make_identity(struct arena *arena, const struct element *item, struct str lang)
{
    struct buf text;
    buf_init(&text, 0);
    add_text(&text, element_attribute(item, STR("category")));
    add_text(&text, element_attribute(item, STR("type")));
    add_text(&text, lang_of(item, lang));
    add_text(&text, element_attribute(item, STR("name")));
    buf_append_char(&text, END_OF_RECORD);
    return keep(arena, &text);
}

static struct str make_feature(struct arena *arena, const struct element *item)
{
    struct buf text;
    buf_init(&text, 0);
    add_text(&text, element_attribute(item, STR("var")));
    return keep(arena, &text);
}

static struct str make_field(struct arena *arena, const struct element *field)
{
    struct buf text;
    buf_init(&text, 0);
    add_text(&text, element_attribute(field, STR("var")));
    struct texts values = values_of(arena, field);
    for (size_t i = 0; i < values.count; i++) {
        add_text(&text, values.items[i]);
    }
    buf_append_char(&text, END_OF_RECORD);
    return keep(arena, &text);
}

static struct str make_form(struct arena *arena, const struct element *form)
{
    struct texts fields = texts_for(arena, form);
    XML_FOREACH_CHILD(field, form) {
        if (element_is(field, NS_DATA_FORMS, "field")) {
            fields.items[fields.count++] = make_field(arena, field);
        }
    }
    struct buf text;
    buf_init(&text, 0);
    add_sorted(&text, &fields, END_OF_FORM);
    return keep(arena, &text);
}

static bool form_may_be_hashed(const struct element *form)
{
    return find_form_type(form) && !element_child(form, NS_DATA_FORMS, "reported")
            && !element_child(form, NS_DATA_FORMS, "item");
}

enum err caps_write_hash_input(
        struct arena *arena, const struct element *query, struct str lang, struct buf *out)
{
    if (count_parts(query) > CAPS_MAX_PARTS) {
        return ERR_LIMIT;
    }
    size_t before = out->len;
    struct texts features = texts_for(arena, query);
    struct texts identities = texts_for(arena, query);
    struct texts forms = texts_for(arena, query);
    lang = lang_of(query, lang);
    XML_FOREACH_CHILD(item, query) {
        if (element_is(item, NS_DISCO_INFO, "identity")) {
            identities.items[identities.count++] = make_identity(arena, item, lang);
        } else if (element_is(item, NS_DISCO_INFO, "feature")) {
            features.items[features.count++] = make_feature(arena, item);
        } else if (is_form(item) && form_may_be_hashed(item)) {
            forms.items[forms.count++] = make_form(arena, item);
        } else {
            return ERR_INVALID;
        }
    }
    add_sorted(out, &features, END_OF_SECTION);
    add_sorted(out, &identities, END_OF_SECTION);
    add_sorted(out, &forms, END_OF_SECTION);
    return out->overflowed || out->len - before > CAPS_MAX_BYTES ? ERR_LIMIT : ERR_OK;
}

/* ---- hashes */

enum err caps_hash(struct arena *arena, const struct element *query, struct caps_hashes *hashes_out)
{
    struct buf ver;
    struct buf input;
    buf_init(&ver, CAPS_MAX_BYTES);
    buf_init(&input, CAPS_MAX_BYTES);
    enum err err = caps_write_ver_input(arena, query, &ver);
    if (err == ERR_OK) {
        err = caps_write_hash_input(arena, query, STR_NULL, &input);
    }
    if (err == ERR_OK) {
        digest_hash(DIGEST_SHA1, buf_view(&ver), hashes_out->sha1);
        digest_hash(DIGEST_SHA256, buf_view(&input), hashes_out->sha256);
        digest_hash(DIGEST_SHA3_256, buf_view(&input), hashes_out->sha3_256);
    }
    buf_fini(&ver);
    buf_fini(&input);
    return err;
}

/* By their names in XEP-0300 §4, which are those of RFC 3174's registry, too. */
static bool find_digest(struct str name, enum digest *digest_out)
{
    static const struct {
        const char *name;
        enum digest digest;
    } known[] = {
        { "sha-1", DIGEST_SHA1 },
        { "sha-256", DIGEST_SHA256 },
        { "sha-512", DIGEST_SHA512 },
        { "sha3-256", DIGEST_SHA3_256 },
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (str_equal(name, str_from_cstr(known[i].name))) {
            *digest_out = known[i].digest;
            return true;
        }
    }
    return false;
}

static enum err compare_hash(enum digest digest, struct str input, struct str base64)
{
    uint8_t hash[DIGEST_MAX_BYTES];
    digest_hash(digest, input, hash);
    struct buf text;
    buf_init(&text, 0);
    base64_encode(&text, str_from(hash, digest_size(digest)));
    bool is_equal = str_equal(buf_view(&text), base64);
    buf_fini(&text);
    return is_equal ? ERR_OK : ERR_INVALID;
}

enum err caps_verify_ver(
        struct arena *arena, const struct element *query, struct str hash, struct str ver)
{
    enum digest digest;
    if (!find_digest(hash, &digest)) {
        return ERR_NOT_FOUND;
    }
    struct buf input;
    buf_init(&input, CAPS_MAX_BYTES);
    enum err err = caps_write_ver_input(arena, query, &input);
    if (err == ERR_OK) {
        err = compare_hash(digest, buf_view(&input), ver);
    }
    buf_fini(&input);
    return err;
}

enum err caps_verify_hash(struct arena *arena,
        const struct element *query,
        struct str lang,
        struct str algo,
        struct str value)
{
    enum digest digest;
    if (!find_digest(algo, &digest)) {
        return ERR_NOT_FOUND;
    }
    struct buf input;
    buf_init(&input, CAPS_MAX_BYTES);
    enum err err = caps_write_hash_input(arena, query, lang, &input);
    if (err == ERR_OK) {
        err = compare_hash(digest, buf_view(&input), value);
    }
    buf_fini(&input);
    return err;
}

/* ---- what a host announces */

static void write_base64(struct buf *out, const uint8_t *hash, size_t len)
{
    base64_encode(out, str_from(hash, len));
}

static void write_hash(struct buf *out, const char *algo, const uint8_t hash[32])
{
    xml_open(out, "hash", NS_HASHES);
    xml_attr(out, "algo", str_from_cstr(algo));
    xml_end_open(out);
    write_base64(out, hash, 32);
    xml_close(out, "hash");
}

void caps_write_announced(struct buf *out, const struct caps_hashes *hashes)
{
    struct buf ver;
    buf_init(&ver, 0);
    write_base64(&ver, hashes->sha1, sizeof(hashes->sha1));
    xml_open(out, "c", NS_CAPS);
    xml_attr(out, "hash", STR("sha-1"));
    xml_attr(out, "node", STR(CAPS_NODE));
    xml_attr(out, "ver", buf_view(&ver));
    xml_end_empty(out);
    buf_fini(&ver);
    xml_open(out, "c", NS_CAPS2);
    xml_end_open(out);
    write_hash(out, "sha-256", hashes->sha256);
    write_hash(out, "sha3-256", hashes->sha3_256);
    xml_close(out, "c");
}

static bool is_node(struct str node, struct str prefix, const uint8_t *hash, size_t len)
{
    struct buf name;
    buf_init(&name, 0);
    buf_append_str(&name, prefix);
    write_base64(&name, hash, len);
    bool is_equal = str_equal(node, buf_view(&name));
    buf_fini(&name);
    return is_equal;
}

bool caps_names_node(const struct caps_hashes *hashes, struct str node)
{
    return is_node(node, STR(CAPS_NODE "#"), hashes->sha1, sizeof(hashes->sha1))
            || is_node(node, STR(NS_CAPS2 "#sha-256."), hashes->sha256, sizeof(hashes->sha256))
            || is_node(
                    node, STR(NS_CAPS2 "#sha3-256."), hashes->sha3_256, sizeof(hashes->sha3_256));
}
