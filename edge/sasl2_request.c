/* Reads <authenticate/>. Its children came as canonical XML within the limits of a stream that has
 * not authenticated, so the tree is small. */
#include "edge/sasl2_request.h"

#include "chassis/base/encoding.h"
#include "chassis/base/mem.h"
#include "edge/sasl/mechanism.h"
#include "edge/sm.h"
#include "proto/xmpp/element.h"
#include "proto/xmpp/jid.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_reader.h"

/* ---- names of tasks (XEP-0480 §2.1) */

static const char *const task_names[] = {
    [DIGEST_SHA1] = "UPGR-SCRAM-SHA-1",
    [DIGEST_SHA256] = "UPGR-SCRAM-SHA-256",
    [DIGEST_SHA512] = "UPGR-SCRAM-SHA-512",
};

const char *sasl2_task_name(enum digest digest)
{
    return task_names[digest];
}

bool sasl2_task_digest(struct str task, enum digest *digest_out)
{
    for (size_t i = 0; i < sizeof(task_names) / sizeof(task_names[0]); i++) {
        if (str_equal(task, str_from_cstr(task_names[i]))) {
            *digest_out = (enum digest)i;
            return true;
        }
    }
    return false;
}

/* ---- the pieces */

static bool is_true(struct str text)
{
    return str_equal(text, STR("true")) || str_equal(text, STR("1"));
}

#define UUID_TEXT_BYTES 36

/* XEP-0388 §2.3 wants a UUID. Anything else tells no client from another. */
static struct id128 parse_uuid(struct str text)
{
    static const struct id128 none = { 0, 0 };
    char digits[ID128_TEXT_SIZE];
    size_t count = 0;
    if (text.len != UUID_TEXT_BYTES) {
        return none;
    }
    for (size_t i = 0; i < text.len; i++) {
        bool is_dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (is_dash != (text.ptr[i] == '-')) {
            return none;
        }
        if (!is_dash) {
            bool is_upper = text.ptr[i] >= 'A' && text.ptr[i] <= 'F';
            digits[count++] = (char)(is_upper ? text.ptr[i] - 'A' + 'a' : text.ptr[i]);
        }
    }
    digits[count] = '\0';
    struct id128 id;
    return id128_parse(digits, &id) ? id : none;
}

static enum ht_mechanism parse_token_mechanism(struct str name)
{
    const struct sasl_mechanism *mechanism = sasl_mechanism_find(name);
    return mechanism ? mechanism->token : HT_ABSENT;
}

/* XEP-0386 §3.2.1: "as-is, subject to the necessary validation": one that cannot be part of a
 * resource is left out. */
static struct str prepare_tag(struct arena *arena, struct str text)
{
    struct str tag;
    bool is_good = text.len > 0 && text.len <= SASL2_MAX_TAG_BYTES
            && jid_prepare_resource(arena, text, &tag) == ERR_OK;
    return is_good ? str_dup(arena, tag) : STR_NULL;
}

static void take_bind(struct sasl2_request *request, const struct element *bind)
{
    request->has_bind = true;
    request->tag = prepare_tag(&request->arena, element_child_text(bind, NS_BIND2, "tag"));
    const struct element *enable = element_child(bind, NS_SM, "enable");
    if (enable) {
        request->wants_sm = true;
        request->may_resume = is_true(element_attribute(enable, STR("resume")));
        (void)sm_parse_h(element_attribute(enable, STR("max")), &request->max_s); /* a wish */
    }
    request->has_carbons = element_child(bind, NS_CARBONS, "enable") != NULL;
    request->is_inactive = element_child(bind, NS_CSI, "inactive") != NULL;
}

static void take_resume(struct sasl2_request *request, const struct element *resume)
{
    request->has_resume = true;
    request->previd = str_dup(&request->arena, element_attribute(resume, STR("previd")));
    request->h = str_dup(&request->arena, element_attribute(resume, STR("h")));
}

static enum err take_fast(struct sasl2_request *request, const struct element *fast)
{
    request->has_fast = true;
    request->has_count = element_has_attribute(fast, STR("count"));
    request->is_invalidated = is_true(element_attribute(fast, STR("invalidate")));
    bool is_good = !request->has_count
            || str_to_u64(element_attribute(fast, STR("count")), &request->count);
    return is_good && request->count <= INT64_MAX ? ERR_OK : ERR_INVALID;
}

static void take_upgrade(struct sasl2_request *request, const struct element *upgrade)
{
    enum digest digest;
    if (sasl2_task_digest(str_trim(upgrade->text), &digest)) {
        request->upgrades |= UINT32_C(1) << digest;
    }
}

static enum err take_child(struct sasl2_request *request, const struct element *child)
{
    if (element_is(child, NS_SASL2, "user-agent")) {
        request->client = parse_uuid(element_attribute(child, STR("id")));
    } else if (element_is(child, NS_BIND2, "bind")) {
        take_bind(request, child);
    } else if (element_is(child, NS_SM, "resume")) {
        take_resume(request, child);
    } else if (element_is(child, NS_FAST, "fast")) {
        return take_fast(request, child);
    } else if (element_is(child, NS_FAST, "request-token")) {
        request->wanted_token = parse_token_mechanism(element_attribute(child, STR("mechanism")));
    } else if (element_is(child, NS_SASL_UPGRADE, "upgrade")) {
        take_upgrade(request, child);
    }
    return ERR_OK;
}

/* The same twice could mean one thing to us and another to whoever looks at it later. */
static bool is_repeated(const struct element *child)
{
    if (element_is(child, NS_SASL_UPGRADE, "upgrade")) {
        return false;
    }
    for (const struct element *other = child->next; other; other = other->next) {
        if (str_equal(other->ns, child->ns) && str_equal(other->name, child->name)) {
            return true;
        }
    }
    return false;
}

static enum err take_children(struct sasl2_request *request,
        const struct element *first,
        struct str *data_out,
        bool *has_data_out)
{
    *data_out = STR_NULL;
    *has_data_out = false;
    for (const struct element *child = first; child; child = child->next) {
        if (is_repeated(child) || take_child(request, child) != ERR_OK) {
            return ERR_INVALID;
        }
        if (element_is(child, NS_SASL2, "initial-response")) {
            if (child->first_child) {
                return ERR_INVALID;
            }
            *data_out = str_trim(child->text);
            *has_data_out = true;
        }
    }
    return ERR_OK;
}

enum err sasl2_request_parse(const struct xml_element *element,
        struct sasl2_request **request_out,
        struct str *data_out,
        bool *has_data_out)
{
    struct element *first = NULL;
    struct sasl2_request *request = MEM_NEW(struct sasl2_request);
    arena_init(&request->arena, 1024);
    request->attempt = id128_random();
    buf_init(&request->additional_data, 0);
    buf_init(&request->token, 0);
    buf_init(&request->failed, 0);
    enum err err = element_parse(&request->arena, element->children, STR(NS_SASL2), &first);
    if (err == ERR_OK) {
        err = take_children(request, first, data_out, has_data_out);
    }
    if (err != ERR_OK) {
        sasl2_request_destroy(request);
        return ERR_INVALID;
    }
    *request_out = request;
    return ERR_OK;
}

void sasl2_request_destroy(struct sasl2_request *request)
{
    if (!request) {
        return;
    }
    if (request->token.data) {
        secret_wipe(request->token.data, request->token.capacity);
    }
    buf_fini(&request->token);
    buf_fini(&request->additional_data);
    buf_fini(&request->failed);
    arena_fini(&request->arena);
    free(request);
}

/* ---- over the bus */

Wire__TokenWish *sasl2_request_wish(const struct sasl2_request *request, struct sasl2_wish *wish)
{
    wish->upgrades = request ? request->upgrades : 0;
    if (!request || !request->wanted_token || id128_is_zero(request->client)) {
        return NULL; /* XEP-0484 §4.1: tokens belong to a client that has a name */
    }
    wish->client = WIRE_ID_INIT(request->client);
    wish->token = (Wire__TokenWish)WIRE__TOKEN_WISH__INIT;
    wish->token.client = &wish->client;
    wish->token.mechanism = request->wanted_token;
    return &wish->token;
}

void sasl2_request_take(struct sasl2_request *request, const Wire__AuthResult *result)
{
    if (!request) {
        return;
    }
    request->upgrades &= result->upgrades;
    request->iterations = result->iterations;
    buf_append_str(&request->token, wire_str(result->token));
    request->token_expires_s = result->token_expires;
}
