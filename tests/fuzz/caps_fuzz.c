/* What is hashed of any answer to disco#info (XEP-0115, XEP-0390): within the limits, and the order
 * of features in it changes nothing. */
#include "proto/xmpp/caps.h"

#include "proto/xmpp/ns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Children the other way round. */
static void reverse(struct element *parent)
{
    struct element *reversed = NULL;
    while (parent->first_child) {
        struct element *child = parent->first_child;
        parent->first_child = child->next;
        child->next = reversed;
        reversed = child;
    }
    parent->first_child = reversed;
}

static void look_at(struct arena *arena, struct element *query)
{
    struct caps_hashes hashes;
    struct caps_hashes again;
    struct buf input;
    buf_init(&input, 0);
    if (caps_write_hash_input(arena, query, STR("en"), &input) == ERR_OK) {
        ASSERT(input.len >= 3 && input.len <= CAPS_MAX_BYTES);
    }
    buf_fini(&input);
    if (caps_hash(arena, query, &hashes) != ERR_OK) {
        return;
    }
    reverse(query);
    ASSERT(caps_hash(arena, query, &again) == ERR_OK);
    ASSERT(memcmp(hashes.sha256, again.sha256, sizeof(hashes.sha256)) == 0);
    ASSERT(memcmp(hashes.sha1, again.sha1, sizeof(hashes.sha1)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct element *query = NULL;
    arena_init(&arena, 0);
    if (element_parse(&arena, str_from(data, size), STR(NS_DISCO_INFO), &query) == ERR_OK
            && query) {
        look_at(&arena, query);
    }
    arena_fini(&arena);
    return 0;
}
