/* Nonces, grants and tokens: valid for exactly whom and what they were made for. */
#include "router/signer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define NOW 1700000000

static struct signer *make(const char *secret)
{
    struct signer *signer = NULL;
    assert_int_equal(signer_create(str_from_cstr(secret), &signer), ERR_OK);
    return signer;
}

static const char key_a[] = "0123456789abcdef0123456789abcdef";
static const char key_b[] = "0123456789abcdef0123456789abcdeX";

static const struct signer_login login = {
    .bare = { "romeo@example.net", 17 },
    .edge = { "edge-1", 6 },
    .client_nonce = { "fyko+d2lbbFgONRv9qkxdawL", 24 },
    .digest = DIGEST_SHA256,
};

static void a_short_secret_is_refused(void **state)
{
    (void)state;
    struct signer *signer = NULL;
    assert_int_equal(signer_create(STR("0123456789abcdef0123456789abcde"), &signer), ERR_INVALID);
    assert_null(signer);
}

static void a_nonce_is_valid_at_any_router_with_the_key(void **state)
{
    (void)state;
    struct signer *one = make(key_a);
    struct signer *other = make(key_a);
    struct buf nonce;
    buf_init(&nonce, 0);
    signer_nonce(one, &login, NOW, &nonce);
    assert_int_equal(buf_view(&nonce).len, SIGNER_NONCE_TEXT_BYTES);
    assert_int_equal(str_find_char(buf_view(&nonce), ','), SIGNER_NONCE_TEXT_BYTES);
    assert_true(signer_nonce_is_valid(other, &login, buf_view(&nonce), NOW + 60));
    assert_false(signer_nonce_is_valid(other, &login, buf_view(&nonce), NOW + 61));
    buf_fini(&nonce);
    signer_destroy(one);
    signer_destroy(other);
}

static void a_nonce_is_for_one_login_only(void **state)
{
    (void)state;
    struct signer *signer = make(key_a);
    struct signer *foreign = make(key_b);
    struct buf nonce;
    buf_init(&nonce, 0);
    signer_nonce(signer, &login, NOW, &nonce);
    struct signer_login changed = login;
    changed.bare = STR("juliet@example.net");
    assert_false(signer_nonce_is_valid(signer, &changed, buf_view(&nonce), NOW));
    changed = login;
    changed.edge = STR("edge-2");
    assert_false(signer_nonce_is_valid(signer, &changed, buf_view(&nonce), NOW));
    changed = login;
    changed.digest = DIGEST_SHA1;
    assert_false(signer_nonce_is_valid(signer, &changed, buf_view(&nonce), NOW));
    changed = login;
    changed.client_nonce = STR("other");
    assert_false(signer_nonce_is_valid(signer, &changed, buf_view(&nonce), NOW));
    assert_false(signer_nonce_is_valid(foreign, &login, buf_view(&nonce), NOW));
    assert_false(signer_nonce_is_valid(signer, &login, STR(""), NOW));
    buf_fini(&nonce);
    signer_destroy(signer);
    signer_destroy(foreign);
}

static void every_changed_byte_of_a_nonce_spoils_it(void **state)
{
    (void)state;
    struct signer *signer = make(key_a);
    struct buf nonce;
    buf_init(&nonce, 0);
    signer_nonce(signer, &login, NOW, &nonce);
    for (size_t i = 0; i < SIGNER_NONCE_TEXT_BYTES; i++) {
        char text[SIGNER_NONCE_TEXT_BYTES];
        memcpy(text, buf_view(&nonce).ptr, sizeof(text));
        text[i] = text[i] == 'A' ? 'B' : 'A';
        assert_false(signer_nonce_is_valid(signer, &login, str_from(text, sizeof(text)), NOW));
    }
    buf_fini(&nonce);
    signer_destroy(signer);
}

/* F04: an edge cannot bind what it has no proof for, nor use another edge's proof. */
static void a_grant_is_for_one_account_at_one_edge(void **state)
{
    (void)state;
    struct signer *signer = make(key_a);
    struct buf grant;
    buf_init(&grant, 0);
    const struct signer_grant of = { login.bare, login.edge, NOW * INT64_C(1000000) + 7, false };
    signer_make_grant(signer, &of, &grant);
    struct str text = buf_view(&grant);
    assert_true(signer_grant_is_valid(signer, login.bare, login.edge, text, NOW + 60));
    assert_false(signer_grant_is_valid(signer, login.bare, login.edge, text, NOW + 61));
    assert_false(signer_grant_is_valid(signer, login.bare, STR("edge-2"), text, NOW));
    assert_false(signer_grant_is_valid(signer, STR("juliet@example.net"), login.edge, text, NOW));
    assert_false(signer_grant_is_valid(
            signer, login.bare, login.edge, str_from(text.ptr, text.len - 1), NOW));
    assert_int_equal(signer_grant_issued_us(text), NOW * INT64_C(1000000) + 7);
    char forged[128];
    memcpy(forged, text.ptr, text.len);
    forged[15] ^= 1; /* another time of issue */
    assert_false(
            signer_grant_is_valid(signer, login.bare, login.edge, str_from(forged, text.len), NOW));
    buf_fini(&grant);
    signer_destroy(signer);
}

/* Who came with a token (XEP-0484) has not shown that he knows the password. */
static void a_grant_says_whether_there_was_a_password(void **state)
{
    (void)state;
    struct signer *signer = make(key_a);
    for (int is_by_password = 0; is_by_password < 2; is_by_password++) {
        struct buf grant;
        buf_init(&grant, 0);
        const struct signer_grant of = { login.bare, login.edge, NOW, is_by_password };
        signer_make_grant(signer, &of, &grant);
        struct str text = buf_view(&grant);
        assert_true(signer_grant_is_valid(signer, login.bare, login.edge, text, 0));
        assert_int_equal(signer_grant_is_by_password(text), is_by_password);
        char forged[128];
        memcpy(forged, text.ptr, text.len);
        forged[16] ^= 1;
        text = str_from(forged, text.len);
        assert_int_equal(signer_grant_is_by_password(text), !is_by_password);
        assert_false(signer_grant_is_valid(signer, login.bare, login.edge, text, 0));
        assert_false(signer_grant_is_by_password(str_from(forged, text.len - 1)));
        buf_fini(&grant);
    }
    signer_destroy(signer);
}

static void a_token_is_for_one_attachment_of_one_session_at_one_edge(void **state)
{
    (void)state;
    struct signer *signer = make(key_a);
    for (uint32_t attach = 1; attach < 3; attach++) {
        const struct signer_session mine = { { 1, 2 }, STR("a@b/c"), STR("edge-1"), attach };
        struct buf token;
        buf_init(&token, 0);
        signer_token(signer, &mine, &token);
        struct str text = buf_view(&token);
        assert_true(signer_token_is_valid(signer, &mine, text));
        struct signer_session other = mine;
        other.session = (struct id128){ 2, 1 };
        assert_false(signer_token_is_valid(signer, &other, text));
        other = mine;
        other.full = STR("a@b/ce");
        other.edge = STR("dge-1");
        assert_false(signer_token_is_valid(signer, &other, text));
        other = mine;
        other.attach++;
        assert_false(signer_token_is_valid(signer, &other, text));
        other.attach = attach - 1;
        assert_false(signer_token_is_valid(signer, &other, text));
        assert_false(signer_token_is_valid(signer, &mine, STR("")));
        buf_fini(&token);
    }
    signer_destroy(signer);
}

/* B13: the salt of an unknown user is always the same, and differs from name to name. */
static void the_fake_salt_is_stable(void **state)
{
    (void)state;
    struct signer *signer = make(key_a);
    uint8_t one[16];
    uint8_t again[16];
    uint8_t other[16];
    signer_fake_salt(signer, STR("x@y"), DIGEST_SHA1, one);
    signer_fake_salt(signer, STR("x@y"), DIGEST_SHA1, again);
    assert_memory_equal(one, again, 16);
    signer_fake_salt(signer, STR("x@y"), DIGEST_SHA256, other);
    assert_memory_not_equal(one, other, 16);
    signer_fake_salt(signer, STR("z@y"), DIGEST_SHA1, other);
    assert_memory_not_equal(one, other, 16);
    signer_destroy(signer);
}

static void a_resume_id_is_for_one_account_and_cannot_be_changed(void **state)
{
    (void)state;
    struct signer *signer = make(key_a);
    struct signer *foreign = make(key_b);
    const struct signer_resume in = { { UINT64_MAX - 1, 7 }, UINT32_MAX, 12 };
    struct signer_resume out;
    struct buf id;
    buf_init(&id, 0);
    signer_resume_id(signer, STR("romeo@example.net"), &in, &id);
    struct str view = buf_view(&id);
    assert_true(view.len < 4000); /* XEP-0198 §5 */
    assert_int_equal(signer_open_resume_id(signer, STR("romeo@example.net"), view, &out), ERR_OK);
    assert_true(id128_equal(out.session, in.session));
    assert_int_equal(out.sequence, UINT32_MAX);
    assert_int_equal(out.counter, 12);
    assert_int_equal(
            signer_open_resume_id(signer, STR("juliet@example.net"), view, &out), ERR_DENIED);
    assert_int_equal(
            signer_open_resume_id(foreign, STR("romeo@example.net"), view, &out), ERR_DENIED);
    assert_int_equal(signer_open_resume_id(signer, STR("romeo@example.net"), STR("guessed"), &out),
            ERR_DENIED);
    for (size_t i = 0; i < view.len; i++) {
        char was = id.data[i];
        id.data[i] = was == '0' ? '1' : '0';
        assert_int_equal(
                signer_open_resume_id(signer, STR("romeo@example.net"), view, &out), ERR_DENIED);
        id.data[i] = was;
    }
    buf_fini(&id);
    signer_destroy(signer);
    signer_destroy(foreign);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_secret_is_refused),
        cmocka_unit_test(a_nonce_is_valid_at_any_router_with_the_key),
        cmocka_unit_test(a_nonce_is_for_one_login_only),
        cmocka_unit_test(every_changed_byte_of_a_nonce_spoils_it),
        cmocka_unit_test(a_grant_is_for_one_account_at_one_edge),
        cmocka_unit_test(a_grant_says_whether_there_was_a_password),
        cmocka_unit_test(a_token_is_for_one_attachment_of_one_session_at_one_edge),
        cmocka_unit_test(a_resume_id_is_for_one_account_and_cannot_be_changed),
        cmocka_unit_test(the_fake_salt_is_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
