/* Data forms out of any canonical XML: within limits, every view inside the text or the arena. */
#include "proto/xmpp/form.h"

#include "proto/xmpp/ns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    struct element *x = NULL;
    struct form form;
    arena_init(&arena, 0);
    if (element_parse(&arena, str_from(data, size), STR(NS_CLIENT), &x) == ERR_OK && x
            && form_read(&arena, x, &form) == ERR_OK) {
        size_t values = 0;
        ASSERT(form.field_count <= FORM_MAX_FIELDS);
        for (size_t i = 0; i < form.field_count; i++) {
            ASSERT(form.fields[i].var.len > 0);
            values += form.fields[i].value_count;
            for (size_t j = 0; j < form.fields[i].value_count; j++) {
                ASSERT(str_hash(form.fields[i].values[j])
                        || form.fields[i].values[j].len < SIZE_MAX);
            }
        }
        ASSERT(values <= FORM_MAX_VALUES);
    }
    arena_fini(&arena);
    return 0;
}
