/* Building a query: statements and their binary parameters, kept in one buffer until it is sent. */
#include <stdlib.h>
#include <string.h>

#include "chassis/base/mem.h"
#include "chassis/pg_hosts.h"
#include "chassis/pg_internal.h"

enum {
    ARRAY_HEADER_BYTES = 20, /* dimensions, null flag, element type, length, lower bound */
    EMPTY_ARRAY_BYTES = 12,  /* without a dimension, the last two are absent */
};

struct pg_query *pg_query_create(struct pg_pool *pool)
{
    struct pg_query *query = MEM_NEW(struct pg_query);
    query->pool = pool;
    buf_init(&query->data, 0);
    return query;
}

void pg_query_forget_answer(struct pg_query *query)
{
    for (size_t i = 0; i < query->result_count; i++) {
        PQclear(query->results[i].raw);
    }
    free(query->results);
    query->results = NULL;
    query->result_count = 0;
    query->err = ERR_OK;
    query->sqlstate[0] = '\0';
}

void pg_query_discard(struct pg_query *query)
{
    if (query == NULL) {
        return;
    }
    pg_query_forget_answer(query);
    free(query->statements);
    free(query->slots);
    buf_fini(&query->data);
    free(query);
}

static size_t grown_capacity(size_t capacity)
{
    return capacity == 0 ? 8 : capacity * 2;
}

void pg_query_statement(struct pg_query *query, const char *sql)
{
    ASSERT(!query->array.is_open);
    if (query->statement_count == query->statement_capacity) {
        query->statement_capacity = grown_capacity(query->statement_capacity);
        query->statements = mem_realloc(
                query->statements, query->statement_capacity * sizeof(struct pg_statement));
    }
    query->statements[query->statement_count++] = (struct pg_statement){
        .name = pg_pool_intern(query->pool, sql),
        .first_slot = query->slot_count,
    };
}

static const char sql_prove[] = "VALUES (pg_logical_emit_message(true, 'starling', 'read'))";

void pg_query_prove_primary(struct pg_query *query)
{
    if (pg_hosts_count(pg_pool_hosts(query->pool)) > 1) {
        pg_query_statement(query, sql_prove);
    }
}

void pg_query_failpoint(struct pg_query *query, const char *name)
{
    query->failpoint = name;
}

static struct pg_slot *add_slot(struct pg_query *query)
{
    ASSERT(query->statement_count > 0);
    if (query->slot_count == query->slot_capacity) {
        query->slot_capacity = grown_capacity(query->slot_capacity);
        query->slots = mem_realloc(query->slots, query->slot_capacity * sizeof(struct pg_slot));
    }
    query->statements[query->statement_count - 1].slot_count++;
    struct pg_slot *slot = &query->slots[query->slot_count++];
    *slot = (struct pg_slot){ .offset = query->data.len, .len = -1 };
    return slot;
}

/* A value is a parameter of its own, or one more element of the open array. */
static void begin_value(struct pg_query *query, size_t len)
{
    /* libpq counts in int; 1 GiB is the server's own limit for a field. */
    if (len >= (size_t)1 << 30) {
        query->is_invalid = true;
    }
    if (query->array.is_open) {
        buf_append_u32be(&query->data, (uint32_t)len);
        query->array.count++;
    } else {
        add_slot(query)->len = (int)len;
    }
}

void pg_add_int8(struct pg_query *query, int64_t value)
{
    begin_value(query, sizeof(value));
    buf_append_u64be(&query->data, (uint64_t)value);
}

void pg_add_int4(struct pg_query *query, int32_t value)
{
    begin_value(query, sizeof(value));
    buf_append_u32be(&query->data, (uint32_t)value);
}

void pg_add_bool(struct pg_query *query, bool value)
{
    begin_value(query, 1);
    buf_append_char(&query->data, value ? 1 : 0);
}

void pg_add_bytes(struct pg_query *query, struct str value)
{
    begin_value(query, value.len);
    buf_append_str(&query->data, value);
}

void pg_add_text(struct pg_query *query, struct str value)
{
    /* PostgreSQL stores no NUL in a text; refused here, the query never leaves (G07). */
    if (value.len > 0 && memchr(value.ptr, '\0', value.len) != NULL) {
        query->is_invalid = true;
    }
    pg_add_bytes(query, value);
}

void pg_add_uuid(struct pg_query *query, uint64_t hi, uint64_t lo)
{
    begin_value(query, sizeof(hi) + sizeof(lo));
    buf_append_u64be(&query->data, hi);
    buf_append_u64be(&query->data, lo);
}

void pg_add_null(struct pg_query *query)
{
    if (query->array.is_open) {
        buf_append_u32be(&query->data, UINT32_MAX);
        query->array.count++;
        query->array.has_null = true;
    } else {
        add_slot(query);
    }
}

void pg_add_array_begin(struct pg_query *query, enum pg_array_type type)
{
    ASSERT(!query->array.is_open);
    add_slot(query);
    query->array.is_open = true;
    query->array.has_null = false;
    query->array.count = 0;
    query->array.start = query->data.len;
    buf_append_u32be(&query->data, 1); /* dimensions */
    buf_append_u32be(&query->data, 0); /* null flag: patched at the end */
    buf_append_u32be(&query->data, (uint32_t)type);
    buf_append_u32be(&query->data, 0); /* length: patched at the end */
    buf_append_u32be(&query->data, 1); /* lower bound */
}

static void patch_u32be(struct buf *buf, size_t offset, uint32_t value)
{
    unsigned char *at = (unsigned char *)buf->data + buf->start + offset;
    at[0] = (unsigned char)(value >> 24);
    at[1] = (unsigned char)(value >> 16);
    at[2] = (unsigned char)(value >> 8);
    at[3] = (unsigned char)value;
}

void pg_add_array_end(struct pg_query *query)
{
    ASSERT(query->array.is_open);
    query->array.is_open = false;
    size_t start = query->array.start;
    size_t len = query->data.len - start;
    if (query->array.count == 0) {
        patch_u32be(&query->data, start, 0);
        len = EMPTY_ARRAY_BYTES; /* the rest stays in the buffer, unused */
    } else {
        ASSERT(len >= ARRAY_HEADER_BYTES);
        patch_u32be(&query->data, start + 4, query->array.has_null ? 1 : 0);
        patch_u32be(&query->data, start + 12, query->array.count);
    }
    if (len >= (size_t)1 << 30) {
        query->is_invalid = true;
    }
    query->slots[query->slot_count - 1].len = (int)len;
}
