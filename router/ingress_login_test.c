/* Every login and registration has one answer: from its handler, or from ingress. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "router/auth.h"
#include "router/egress.h"
#include "router/ingress_internal.h"
#include "router/registrar.h"
#include "router/signer.h"

static struct {
    Wire__Status work; /* of the account */
    bool has_grant;
    bool is_by_token;
    unsigned handed_over;
    unsigned answers;
    unsigned violations;
    int verb;
    uint64_t request;
    Wire__Status status;
} t;

static struct router router;
static struct ingress ingress = { .router = &router };
static struct peer edge;

/* ---- in place of the neighbours */

void ingress_violation(struct ingress *unused, struct peer *peer, const char *reason)
{
    (void)unused;
    (void)peer;
    assert_string_equal(reason, "grant");
    t.violations++;
}

Wire__Status ingress_work_status(struct ingress *unused, struct peer *peer, struct str bare)
{
    (void)unused;
    (void)peer;
    assert_true(str_equal(bare, STR("alice@example.org")));
    return t.work;
}

bool ingress_has_grant(
        const struct ingress *unused, const struct peer *peer, struct str bare, struct str grant)
{
    (void)unused;
    (void)peer;
    assert_true(str_equal(bare, STR("alice@example.org")));
    assert_int_equal(signer_grant_is_by_password(grant), !t.is_by_token);
    return t.has_grant;
}

void egress_envelope(struct egress *egress, struct link_peer *link, const Wire__Envelope *envelope)
{
    (void)egress;
    (void)link;
    t.answers++;
    t.verb = (int)envelope->verb_case;
    if (envelope->verb_case == WIRE__ENVELOPE__VERB_AUTH_RESULT) {
        t.request = envelope->auth_result->request;
        t.status = envelope->auth_result->status;
    } else if (envelope->verb_case == WIRE__ENVELOPE__VERB_AUTH_LOOKUP_REPLY) {
        t.request = envelope->auth_lookup_reply->request;
        t.status = envelope->auth_lookup_reply->status;
    } else {
        assert_int_equal(envelope->verb_case, WIRE__ENVELOPE__VERB_REGISTER_REPLY);
        t.request = envelope->register_reply->request;
        t.status = envelope->register_reply->status;
    }
}

#define TAKES(function, owner, type)                                            \
    void function(struct owner *unused, struct peer *peer, const type *message) \
    {                                                                           \
        (void)unused;                                                           \
        assert_ptr_equal(peer, &edge);                                          \
        assert_int_equal(message->request, 5);                                  \
        t.handed_over++;                                                        \
    }
TAKES(auth_on_lookup, auth, Wire__AuthLookup)
TAKES(auth_on_verify, auth, Wire__AuthVerify)
TAKES(auth_on_plain, auth, Wire__AuthPlain)
TAKES(auth_on_token, auth, Wire__AuthToken)
TAKES(auth_on_upgrade, auth, Wire__AuthUpgrade)
TAKES(registrar_on_register, registrar, Wire__Register)

/* ---- steps */

static void say(size_t which)
{
    const ProtobufCBinaryData bare = wire_bytes(STR("alice@example.org"));
    Wire__AuthLookup lookup = WIRE__AUTH_LOOKUP__INIT;
    Wire__AuthVerify verify = WIRE__AUTH_VERIFY__INIT;
    Wire__AuthPlain plain = WIRE__AUTH_PLAIN__INIT;
    Wire__AuthToken token = WIRE__AUTH_TOKEN__INIT;
    Wire__AuthUpgrade upgrade = WIRE__AUTH_UPGRADE__INIT;
    Wire__Register registration = WIRE__REGISTER__INIT;
    lookup.bare = verify.bare = plain.bare = token.bare = upgrade.bare = registration.bare = bare;
    lookup.request = verify.request = plain.request = token.request = upgrade.request = 5;
    registration.request = 5;
    struct buf grant;
    buf_init(&grant, 0);
    const struct signer_grant of = { .is_by_password = !t.is_by_token };
    signer_make_grant(router.signer, &of, &grant);
    upgrade.grant = wire_bytes(buf_view(&grant));
    Wire__Envelope envelope = WIRE__ENVELOPE__INIT;
    unsigned before = t.handed_over + t.answers;
    switch (which) {
    case 0:
        envelope.auth_lookup = &lookup;
        ingress_on_auth_lookup(&ingress, &edge, &envelope);
        break;
    case 1:
        envelope.auth_verify = &verify;
        ingress_on_auth_verify(&ingress, &edge, &envelope);
        break;
    case 2:
        envelope.auth_plain = &plain;
        ingress_on_auth_plain(&ingress, &edge, &envelope);
        break;
    case 3:
        envelope.auth_token = &token;
        ingress_on_auth_token(&ingress, &edge, &envelope);
        break;
    case 4:
        envelope.auth_upgrade = &upgrade;
        ingress_on_auth_upgrade(&ingress, &edge, &envelope);
        break;
    default:
        envelope.register_ = &registration;
        ingress_on_register(&ingress, &edge, &envelope);
        break;
    }
    buf_fini(&grant);
    assert_int_equal(t.handed_over + t.answers, before + 1);
}

static void what_is_at_home_here_is_handed_over(void **state)
{
    (void)state;
    memset(&t, 0, sizeof(t));
    t.work = WIRE__STATUS__STATUS_OK;
    t.has_grant = true;
    for (size_t which = 0; which < 6; which++) {
        say(which);
    }
    assert_int_equal(t.handed_over, 6);
}

static void what_is_not_is_answered(void **state)
{
    (void)state;
    static const int verbs[] = {
        WIRE__ENVELOPE__VERB_AUTH_LOOKUP_REPLY,
        WIRE__ENVELOPE__VERB_AUTH_RESULT,
        WIRE__ENVELOPE__VERB_AUTH_RESULT,
        WIRE__ENVELOPE__VERB_AUTH_RESULT,
        WIRE__ENVELOPE__VERB_AUTH_RESULT,
        WIRE__ENVELOPE__VERB_REGISTER_REPLY,
    };
    static const Wire__Status statuses[] = {
        WIRE__STATUS__STATUS_NOT_OWNER,
        WIRE__STATUS__STATUS_INVALID,
    };
    memset(&t, 0, sizeof(t));
    t.has_grant = true;
    for (size_t i = 0; i < 12; i++) {
        t.work = statuses[i / 6];
        say(i % 6);
        assert_int_equal(t.verb, verbs[i % 6]);
        assert_int_equal(t.request, 5);
        assert_int_equal(t.status, statuses[i / 6]);
    }
    assert_int_equal(t.handed_over, 0);
}

static void a_verifier_needs_a_grant(void **state)
{
    (void)state;
    memset(&t, 0, sizeof(t));
    t.work = WIRE__STATUS__STATUS_OK;
    say(4);
    assert_int_equal(t.violations, 1); /* F04 */
    assert_int_equal(t.handed_over, 0);
    assert_int_equal(t.status, WIRE__STATUS__STATUS_NOT_AUTHORIZED);
}

/* XEP-0480: the edge asks for one after SCRAM and PLAIN only, but who says that it is honest? */
static void a_verifier_needs_a_login_with_the_password(void **state)
{
    (void)state;
    memset(&t, 0, sizeof(t));
    t.work = WIRE__STATUS__STATUS_OK;
    t.has_grant = true;
    t.is_by_token = true;
    say(4);
    assert_int_equal(t.violations, 1);
    assert_int_equal(t.handed_over, 0);
    assert_int_equal(t.status, WIRE__STATUS__STATUS_NOT_AUTHORIZED);
}

static int start(void **state)
{
    (void)state;
    return signer_create(STR("0123456789abcdef0123456789abcdef"), &router.signer) == ERR_OK ? 0
                                                                                            : -1;
}

static int stop(void **state)
{
    (void)state;
    signer_destroy(router.signer);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_at_home_here_is_handed_over),
        cmocka_unit_test(what_is_not_is_answered),
        cmocka_unit_test(a_verifier_needs_a_grant),
        cmocka_unit_test(a_verifier_needs_a_login_with_the_password),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
