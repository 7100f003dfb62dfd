/* Addresses: what is prepared once stays as it is, splits into the same parts, and is UTF-8. */
#include "proto/xmpp/jid.h"

#include "proto/xmpp/precis_look_alike.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect_same(const struct jid *a, const struct jid *b)
{
    ASSERT(str_equal(a->full, b->full));
    ASSERT(str_equal(a->bare, b->bare));
    ASSERT(str_equal(a->local, b->local));
    ASSERT(str_equal(a->domain, b->domain));
    ASSERT(str_equal(a->resource, b->resource));
}

static void check_jid(struct arena *arena, const struct jid *jid)
{
    struct jid again;
    ASSERT(str_is_utf8(jid->full));
    ASSERT(jid->domain.len > 0 && jid->domain.len <= JID_PART_MAX_BYTES);
    ASSERT(jid->local.len <= JID_PART_MAX_BYTES && jid->resource.len <= JID_PART_MAX_BYTES);
    ASSERT(jid_parse(arena, jid->full, &again) == ERR_OK);
    expect_same(jid, &again);
    ASSERT(jid_split(jid->full, &again) == ERR_OK);
    expect_same(jid, &again);
    ASSERT(jid_make(arena, jid->local, jid->domain, jid->resource, &again) == ERR_OK);
    expect_same(jid, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = str_from(data, size);
    struct arena arena;
    struct jid jid;
    struct str part;
    arena_init(&arena, 0);
    if (jid_parse(&arena, text, &jid) == ERR_OK) {
        check_jid(&arena, &jid);
    }
    if (jid_prepare_local(&arena, text, &part) == ERR_OK) {
        bool is_look_alike = precis_is_look_alike(part);
        ASSERT(is_look_alike == precis_is_look_alike(part));
        struct str again;
        ASSERT(jid_prepare_local(&arena, part, &again) == ERR_OK && str_equal(part, again));
    }
    if (jid_prepare_resource(&arena, text, &part) == ERR_OK) {
        struct str again;
        ASSERT(jid_prepare_resource(&arena, part, &again) == ERR_OK && str_equal(part, again));
    }
    arena_fini(&arena);
    return 0;
}
