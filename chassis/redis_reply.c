/* Wraps hiredis' constructors of replies in counters. A Redis that answers nonsense (or is not one)
 * must not cost us more than a bounded amount of memory. */
#include "chassis/redis_internal.h"

enum {
    MAX_REPLY_BYTES = 16 << 20,
    MAX_ARRAY_ELEMENTS = 1 << 20,
    NODE_BYTES = sizeof(redisReply) + sizeof(redisReply *),
};

struct redis_value redis_reply_value(const redisReply *reply)
{
    struct redis_value value = { .type = REDIS_NIL, .opaque = reply };
    switch (reply->type) {
    case REDIS_REPLY_STATUS: value.type = REDIS_STATUS; break;
    case REDIS_REPLY_ERROR: value.type = REDIS_ERROR; break;
    case REDIS_REPLY_STRING: value.type = REDIS_STRING; break;
    case REDIS_REPLY_INTEGER:
        value.type = REDIS_INTEGER;
        value.integer = reply->integer;
        return value;
    case REDIS_REPLY_ARRAY:
        value.type = REDIS_ARRAY;
        value.count = reply->elements;
        return value;
    default: return value;
    }
    value.text = str_from(reply->str, reply->len);
    return value;
}

struct redis_value redis_value_at(const struct redis_value *array, size_t index)
{
    if (array->type != REDIS_ARRAY || index >= array->count) {
        return (struct redis_value){ .type = REDIS_NIL }; /* another type than expected (G09) */
    }
    const redisReply *reply = array->opaque;
    return redis_reply_value(reply->element[index]);
}

bool redis_reply_is_fatal(const struct redis_value *value)
{
    static const char *const words[] = { "READONLY", "LOADING", "MASTERDOWN", "NOAUTH" };
    if (value->type != REDIS_ERROR) {
        return false;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (str_starts_with(value->text, str_from_cstr(words[i]))) {
            return true;
        }
    }
    return false;
}

/* ---- ceilings */

static struct redis_limits *count(const redisReadTask *task, size_t bytes)
{
    struct redis_limits *limits = task->privdata;
    if (task->parent == NULL) {
        limits->reply_bytes = 0;
    }
    limits->reply_bytes += NODE_BYTES + bytes;
    return limits->reply_bytes <= MAX_REPLY_BYTES ? limits : NULL;
}

static void *create_string(const redisReadTask *task, char *text, size_t len)
{
    const struct redis_limits *limits = count(task, len);
    return limits != NULL ? limits->inner->createString(task, text, len) : NULL;
}

static void *create_array(const redisReadTask *task, int elements)
{
    if (elements > MAX_ARRAY_ELEMENTS) {
        return NULL;
    }
    const struct redis_limits *limits =
            count(task, elements > 0 ? (size_t)elements * sizeof(redisReply *) : 0);
    return limits != NULL ? limits->inner->createArray(task, elements) : NULL;
}

static void *create_integer(const redisReadTask *task, long long value)
{
    const struct redis_limits *limits = count(task, 0);
    return limits != NULL ? limits->inner->createInteger(task, value) : NULL;
}

static void *create_nil(const redisReadTask *task)
{
    const struct redis_limits *limits = count(task, 0);
    return limits != NULL ? limits->inner->createNil(task) : NULL;
}

void redis_limits_install(struct redis_limits *limits, redisReader *reader)
{
    *limits = (struct redis_limits){
        .inner = reader->fn,
        .functions = {
            .createString = create_string,
            .createArray = create_array,
            .createInteger = create_integer,
            .createNil = create_nil,
            .freeObject = reader->fn->freeObject,
        },
    };
    reader->fn = &limits->functions;
    reader->privdata = limits;
}

bool redis_limits_is_exceeded(const redisReader *reader)
{
    return reader->len > MAX_REPLY_BYTES;
}

/* ---- commands */

/* "*3\r\n", "$5\r\n" */
static void write_count(struct buf *out, char mark, size_t count)
{
    char text[24];
    char *at = text + sizeof(text);
    *--at = '\n';
    *--at = '\r';
    do {
        *--at = (char)('0' + count % 10);
        count /= 10;
    } while (count > 0);
    *--at = mark;
    buf_append(out, at, (size_t)(text + sizeof(text) - at));
}

/* An array of bulk strings, https://redis.io/docs/reference/protocol-spec: hiredis formats them,
 * too, but by far slower. */
void redis_command_write(struct buf *out, const struct str *args, size_t count)
{
    buf_clear(out);
    write_count(out, '*', count);
    for (size_t i = 0; i < count; i++) {
        write_count(out, '$', args[i].len);
        buf_append_str(out, args[i]);
        buf_append_literal(out, "\r\n");
    }
}
