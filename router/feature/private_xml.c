/* Private XML Storage, XEP-0049 1.2: any element in a namespace of its own, kept for the account's
 * sessions alone. A key is a digest of namespace and name, so that what somebody uses is not to be
 * read off the table. */
#include "chassis/base/buf.h"
#include "chassis/base/digest.h"
#include "proto/xmpp/canonical_scan.h"
#include "proto/xmpp/xml_writer.h"
#include "router/entity/entity.h"
#include "router/feature.h"
#include "router/settings.h"

#define KEY_BYTES     20
#define MAX_OF_ONE_IQ 100 /* elements */

/* ERR_INVALID: it has no namespace of its own (§2.3). */
static enum err make_key(struct turn *turn, const struct element *element, struct str *key_out)
{
    if (element->ns.len == 0 || str_equal(element->ns, STR(NS_PRIVATE))) {
        return ERR_INVALID;
    }
    struct buf text;
    buf_init(&text, 0);
    buf_append_str(&text, element->ns);
    buf_append_char(&text, '\0');
    buf_append_str(&text, element->name);
    uint8_t *digest = arena_alloc(turn->arena, DIGEST_MAX_BYTES);
    digest_hash(DIGEST_SHA256, buf_view(&text), digest);
    buf_fini(&text);
    *key_out = str_from(digest, KEY_BYTES);
    return ERR_OK;
}

static void reply_failed(struct turn *turn, const struct stanza *request, enum err err)
{
    struct stanza_error error = { .condition = err == ERR_LIMIT
                ? STANZA_ERROR_RESOURCE_CONSTRAINT
                : STANZA_ERROR_INTERNAL_SERVER_ERROR };
    turn_reply_error(turn, request, &error);
}

/* ---- get */

/* What is not there is what was asked with (§2.2). */
static void after_load(struct turn *turn, const struct stanza *request, enum err err)
{
    const struct element *query = turn_parse_children(turn);
    if (err != ERR_OK || !query || !query->first_child) {
        reply_failed(turn, request, err);
        return;
    }
    struct buf xml;
    buf_init(&xml, 0);
    xml_open(&xml, "query", NS_PRIVATE);
    xml_end_open(&xml);
    if (turn->loaded.len) {
        buf_append_str(&xml, turn->loaded);
    } else {
        struct element empty = { .ns = query->first_child->ns, .name = query->first_child->name };
        element_write(&xml, &empty, STR(NS_PRIVATE));
    }
    xml_close(&xml, "query");
    turn_reply_result(turn, request, str_dup(turn->arena, buf_view(&xml)));
    buf_fini(&xml);
}

static enum verdict answer_get(struct turn *turn, const struct iq *iq)
{
    const struct element *asked = iq->payload->first_child;
    struct str key;
    if (!asked || asked->next) { /* §2.3: one namespace at a time */
        return turn_reject(turn, STANZA_ERROR_BAD_REQUEST, STR_NULL);
    }
    if (make_key(turn, asked, &key) != ERR_OK) {
        return turn_reject(turn, STANZA_ERROR_NOT_ACCEPTABLE, STR_NULL);
    }
    return turn_wait_load_data(turn, ACCOUNT_DATA_PRIVATE_XML, key, after_load);
}

/* ---- set */

static void after_store(struct turn *turn, const struct stanza *request, enum err err)
{
    if (err == ERR_OK) {
        turn_reply_result(turn, request, STR_NULL);
    } else {
        reply_failed(turn, request, err);
    }
}

/* The text of each element inside <query/>, as it came: a tree would join mixed content. */
static size_t cut_elements(struct str children, struct str *texts, size_t max)
{
    struct canonical_scan scan;
    canonical_scan_init(&scan, children);
    unsigned depth = 0;
    size_t count = 0;
    const char *start = NULL;
    enum canonical_token token;
    while ((token = canonical_scan_next(&scan)) != CANONICAL_END && token != CANONICAL_BAD) {
        if (token == CANONICAL_OPEN) {
            start = depth == 1 ? scan.token_start : start;
            depth += scan.is_empty ? 0 : 1;
        } else if (token == CANONICAL_CLOSE) {
            depth--;
        }
        if (depth == 1 && token != CANONICAL_TEXT && start && count < max) {
            texts[count++] = str_from(start, (size_t)(scan.at - start));
            start = NULL;
        }
    }
    return count;
}

static struct account_datum *find_item(struct account_datum *items, size_t count, struct str key)
{
    for (size_t i = 0; i < count; i++) {
        if (str_equal(items[i].key, key)) {
            return &items[i];
        }
    }
    return NULL;
}

static bool is_empty(const struct element *element)
{
    return !element->first_child && element->attribute_count == 0 && element->text.len == 0;
}

/* Several of one name are one value (§2.3). */
static void add_text(struct turn *turn, struct account_datum *item, struct str text)
{
    struct buf both;
    buf_init(&both, 0);
    buf_append_str(&both, item->value);
    buf_append_str(&both, text);
    item->value = str_dup(turn->arena, buf_view(&both));
    buf_fini(&both);
}

/* False: an element has no namespace of its own, or there are too many. An empty element takes no
 * room: asked for, it comes back as it was. */
static bool collect(
        struct turn *turn, const struct iq *iq, struct account_datum *items, size_t *count_out)
{
    struct str texts[MAX_OF_ONE_IQ];
    size_t text_count = cut_elements(iq->stanza->children, texts, MAX_OF_ONE_IQ);
    size_t at = 0;
    size_t count = 0;
    XML_FOREACH_CHILD(element, iq->payload) {
        struct str key;
        if (at == text_count || make_key(turn, element, &key) != ERR_OK) {
            return false;
        }
        struct account_datum *item = find_item(items, count, key);
        if (!item) {
            item = &items[count++];
            *item = (struct account_datum){ .key = key };
        }
        if (!is_empty(element)) {
            add_text(turn, item, texts[at]);
        }
        at++;
    }
    *count_out = count;
    return count > 0;
}

static enum verdict answer_set(struct turn *turn, const struct iq *iq)
{
    struct account_datum *items =
            arena_calloc(turn->arena, MAX_OF_ONE_IQ * sizeof(struct account_datum));
    size_t count;
    if (!collect(turn, iq, items, &count)) {
        return turn_reject(turn, STANZA_ERROR_NOT_ACCEPTABLE, STR_NULL);
    }
    struct turn_data_limits limits = { turn->settings->private_xml_max_items,
        turn->settings->private_xml_max_bytes };
    return turn_wait_store_data(turn, ACCOUNT_DATA_PRIVATE_XML, items, count, limits, after_store);
}

const struct feature feature_private_xml = {
    .name = "private_xml",
    .specs = { { "XEP-0049", "1.2" } },
    .advertises = { NS_PRIVATE },
    .advertises_account = { NS_PRIVATE },
    .iq = {
        { IQ_GET, TO_ACCOUNT, NS_PRIVATE, "query", answer_get },
        { IQ_SET, TO_ACCOUNT, NS_PRIVATE, "query", answer_set },
    },
};
