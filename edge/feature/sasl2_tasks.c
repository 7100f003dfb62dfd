/* SASL Upgrade Tasks, XEP-0480 0.2.0: an account that has no verifier of a digest yet (it was
 * imported) gets one from a client that has just logged in. The lowest bit of request->upgrades is
 * the task at hand. */
#include "chassis/base/encoding.h"
#include "chassis/log.h"
#include "edge/feature/features.h"
#include "edge/feature/sasl2.h"
#include "edge/negotiation.h"
#include "edge/sasl2_request.h"
#include "edge/stanza_input.h"
#include "edge/stream.h"
#include "edge/uplink.h"
#include "proto/xmpp/element.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"

void sasl2_tasks_advertise(const struct stream *stream, struct buf *out)
{
    for (const struct sasl_mechanism *m = sasl_mechanisms; m->name; m++) {
        if (m->is_scram && !m->is_plus && authentication_offers(stream, m)) {
            xml_text_element(
                    out, "upgrade", NS_SASL_UPGRADE, str_from_cstr(sasl2_task_name(m->digest)));
        }
    }
}

static enum digest digest_at_hand(const struct sasl2_request *request)
{
    return (enum digest)__builtin_ctz(request->upgrades);
}

bool sasl2_tasks_next(struct stream *stream)
{
    struct sasl2_request *request = stream->negotiation->sasl2;
    if (request->upgrades == 0) {
        return false;
    }
    request->is_task_begun = false;
    struct buf out;
    buf_init(&out, 0);
    xml_open(&out, "continue", NS_SASL2);
    xml_end_open(&out);
    if (request->additional_data.len > 0) { /* told once: <success/> is about the task then */
        buf_append_literal(&out, "<additional-data>");
        base64_encode(&out, buf_view(&request->additional_data));
        buf_append_literal(&out, "</additional-data>");
        buf_clear(&request->additional_data);
    }
    buf_append_literal(&out, "<tasks>");
    xml_text_element(&out, "task", NULL, str_from_cstr(sasl2_task_name(digest_at_hand(request))));
    buf_append_literal(&out, "</tasks></continue>");
    stream_write(stream, buf_view(&out));
    buf_fini(&out);
    stream_set_state(stream, STREAM_SASL2_TASKS);
    return true;
}

void sasl2_handle_next(struct stream *stream, const struct xml_element *element)
{
    struct sasl2_request *request = stream->negotiation->sasl2;
    enum digest digest;
    if (!sasl2_task_digest(xml_element_attribute(element, STR("task")), &digest)
            || digest != digest_at_hand(request) || request->is_task_begun) {
        authentication_fail(stream, &sasl2_profile, SASL_MALFORMED_REQUEST);
        return;
    }
    request->is_task_begun = true;
    random_bytes(request->salt, sizeof(request->salt));
    struct buf out;
    buf_init(&out, 0);
    xml_open(&out, "task-data", NS_SASL2);
    xml_end_open(&out);
    xml_open(&out, "salt", NS_SCRAM_UPGRADE);
    buf_printf(&out, " iterations='%lu'", (unsigned long)request->iterations);
    xml_end_open(&out);
    base64_encode(&out, str_from(request->salt, sizeof(request->salt)));
    buf_append_literal(&out, "</salt></task-data>");
    stream_write(stream, buf_view(&out));
    buf_fini(&out);
}

static void on_answer(void *context, const Wire__Envelope *envelope)
{
    struct stream *stream = context;
    struct negotiation *negotiation = stream->negotiation;
    negotiation->request = NULL;
    const Wire__AuthResult *reply =
            envelope && envelope->verb_case == WIRE__ENVELOPE__VERB_AUTH_RESULT
            ? envelope->auth_result
            : NULL;
    if (!reply || reply->status != WIRE__STATUS__STATUS_OK) {
        sasl2_fail_late(stream, STANZA_ERROR_NONE);
        stream_resume(stream, PAUSE_ANSWER);
        return;
    }
    log_info("sasl",
            "an account has a new verifier",
            log_jid("account", str_from_cstr(negotiation->bare)),
            log_cstr("task", sasl2_task_name(digest_at_hand(negotiation->sasl2))));
    negotiation->sasl2->upgrades &= negotiation->sasl2->upgrades - 1;
    stream_resume(stream, PAUSE_ANSWER);
    if (!sasl2_tasks_next(stream)) {
        sasl2_complete(stream);
    }
}

static void ask(struct stream *stream, struct str salted_password)
{
    struct negotiation *negotiation = stream->negotiation;
    const struct sasl2_request *request = negotiation->sasl2;
    struct str bare = str_from_cstr(negotiation->bare);
    Wire__AuthUpgrade upgrade = WIRE__AUTH_UPGRADE__INIT;
    upgrade.bare = wire_bytes(bare);
    upgrade.grant = wire_bytes(buf_view(&negotiation->grant));
    upgrade.digest = digest_at_hand(request);
    upgrade.iterations = request->iterations;
    upgrade.salt = wire_bytes(str_from(request->salt, sizeof(request->salt)));
    upgrade.salted_password = wire_bytes(salted_password);
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    envelope.verb_case = WIRE__ENVELOPE__VERB_AUTH_UPGRADE;
    envelope.auth_upgrade = &upgrade;
    stream_pause(stream, PAUSE_ANSWER);
    negotiation->request = uplink_ask(stream->edge->uplink, bare, &envelope, on_answer, stream);
}

/* Base64 of the <hash/>, "" when there is none. */
static struct str find_hash(struct arena *arena, const struct xml_element *element)
{
    struct element *first = NULL;
    if (element_parse(arena, element->children, STR(NS_SASL2), &first) != ERR_OK) {
        return STR_NULL;
    }
    const struct element *hash = element_find(first, NS_SCRAM_UPGRADE, "hash");
    return hash ? str_trim(hash->text) : STR_NULL;
}

void sasl2_handle_task_data(struct stream *stream, const struct xml_element *element)
{
    const struct sasl2_request *request = stream->negotiation->sasl2;
    struct arena arena;
    struct buf salted;
    arena_init(&arena, 0);
    buf_init(&salted, 0);
    struct str hash = find_hash(&arena, element);
    if (request->is_task_begun && base64_decode(&salted, hash) == ERR_OK
            && salted.len == digest_size(digest_at_hand(request))) {
        ask(stream, buf_view(&salted));
    } else {
        authentication_fail(stream, &sasl2_profile, SASL_MALFORMED_REQUEST);
    }
    if (salted.data) {
        secret_wipe(salted.data, salted.capacity);
    }
    buf_fini(&salted);
    arena_fini(&arena);
}
