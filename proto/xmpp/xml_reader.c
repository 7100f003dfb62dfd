/* Feeding: when expat sees which bytes, and the limits that count bytes. What the bytes mean is in
 * xml_reader_events.c. */
#include "proto/xmpp/xml_reader.h"

#include <dlfcn.h>
#include <stdlib.h>

#include "chassis/base/digest.h"
#include "chassis/base/mem.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_reader_internal.h"

/* expat keeps a buffer as large as the largest piece it was given, so pieces are small. */
#define SLICE_BYTES 4096
/* A token longer than this is fed in pieces of at least GATHER_BYTES, because expat reads an
 * unfinished token again from its start each time. Together they bound that cost. */
#define SHORT_TOKEN_BYTES 256
#define GATHER_BYTES      1024
/* An idle parser that holds more is exchanged for a new one. */
#define MAX_IDLE_BYTES (32 * 1024)
/* UTF-16 and UTF-32 show themselves in the first four bytes. */
#define LEAD_BYTES 4

/* ---- expat and its memory */

/* Whose allocations run now: expat's memory functions get no context. */
static _Thread_local struct xml_memory *memory_now;

static void *reader_malloc(size_t size)
{
    return xml_memory_alloc(memory_now, size);
}

static void reader_free(void *ptr)
{
    xml_memory_free(memory_now, ptr);
}

static void *reader_realloc(void *ptr, size_t size)
{
    return xml_memory_realloc(memory_now, ptr, size);
}

typedef XML_Bool (*deferral_switch)(XML_Parser parser, XML_Bool enabled);

/* Security updates brought the function to expat 2.5.0 without a new version number, so only the
 * library at run time knows. With deferral on, a complete stanza that arrived in two reads would
 * not be reported. */
static void switch_deferral_off(XML_Parser parser)
{
    static deferral_switch set_deferral;
    static bool is_looked_up;
    if (!is_looked_up) {
        void *symbol = dlsym(RTLD_DEFAULT, "XML_SetReparseDeferralEnabled");
        memcpy(&set_deferral, &symbol, sizeof symbol);
        is_looked_up = true;
    }
    if (set_deferral != NULL) {
        set_deferral(parser, XML_FALSE);
    }
}

/* One salt for the process: otherwise each parser asks the kernel for one. */
static unsigned long hash_salt(void)
{
    static unsigned long salt;
    while (salt == 0) {
        salt = (unsigned long)random_u64();
    }
    return salt;
}

static struct reader_work *work_create(struct xml_reader *reader)
{
    static const XML_Memory_Handling_Suite MEMORY = {
        reader_malloc,
        reader_realloc,
        reader_free,
    };
    static const XML_Char SEPARATOR[] = { NS_SEPARATOR, '\0' };
    struct reader_work *work = MEM_NEW(struct reader_work);
    xml_memory_init(&work->memory);
    memory_now = &work->memory;
    work->parser = XML_ParserCreate_MM("UTF-8", &MEMORY, SEPARATOR);
    ASSERT(work->parser != NULL);
    XML_SetHashSalt(work->parser, hash_salt());
    switch_deferral_off(work->parser);
    reader->work = work;
    reader_events_attach(reader);
    return work;
}

static void work_destroy(struct reader_work *work)
{
    if (work == NULL) {
        return;
    }
    memory_now = &work->memory;
    XML_ParserFree(work->parser);
    xml_memory_fini(&work->memory);
    buf_fini(&work->pending);
    buf_fini(&work->content_ns);
    buf_fini(&work->declarations);
    buf_fini(&work->children);
    buf_fini(&work->text);
    buf_fini(&work->payload_ns);
    buf_fini(&work->payload_name);
    buf_fini(&work->head);
    buf_fini(&work->namespaces);
    free(work->levels);
    free(work);
}

static void drop_work(struct xml_reader *reader)
{
    work_destroy(reader->work);
    reader->work = NULL;
}

static void drop_replay(struct xml_reader *reader)
{
    if (reader->is_replay_owned) {
        free((void *)(uintptr_t)reader->replay.ptr);
    }
    reader->replay = STR_NULL;
    reader->is_replay_owned = false;
}

void reader_fail(struct xml_reader *reader, enum stream_condition condition, const char *detail)
{
    if (reader->state != READER_FAILED) {
        reader->state = READER_FAILED;
        reader->condition = condition;
        reader->detail = detail;
    }
}

/* ---- one unfinished token */

/* Follows the bytes of a token. True: with this byte a tag may be complete. */
static bool token_scan(struct reader_token *token, char c)
{
    if (token->head_len < sizeof token->head) {
        token->head[token->head_len++] = c;
    }
    token->bytes++;
    if (token->quote != 0) {
        token->quote = c == token->quote ? '\0' : token->quote;
        return false;
    }
    if (c == '"' || c == '\'') {
        token->quote = c;
    }
    return c == '>';
}

/* After expat took `data`, of which the last bytes may belong to a token it has not finished. */
static void token_update(struct reader_work *work, struct str data, bool is_scanned)
{
    XML_Index index = XML_GetCurrentByteIndex(work->parser); /* -1: nothing recognised yet */
    size_t unfinished = (size_t)(work->fed - (index < 0 ? 0 : (uint64_t)index));
    size_t from = 0;
    if (unfinished <= data.len) {
        work->token = (struct reader_token){ 0 };
        from = data.len - unfinished;
    } else if (is_scanned) {
        from = data.len;
    }
    for (size_t i = from; i < data.len; i++) {
        (void)token_scan(&work->token, data.ptr[i]);
    }
    work->token.bytes = unfinished;
}

/* Comments and processing instructions die as soon as they show: expat would read
 * them again and again until they end. */
static bool token_is_restricted(const struct xml_reader *reader)
{
    const struct reader_token *token = &reader->work->token;
    if (token->head_len < 2 || token->head[0] != '<') {
        return false;
    }
    if (token->head[1] == '?') {
        return reader->state == READER_IN_STREAM;
    }
    return token->head[1] == '!' && token->head_len > 2 && token->head[2] == '-';
}

static void check_unfinished(struct xml_reader *reader)
{
    const struct reader_work *work = reader->work;
    size_t waiting = work->token.bytes;
    if (token_is_restricted(reader)) {
        reader_fail(reader, STREAM_ERROR_RESTRICTED_XML, "comment-or-instruction");
    } else if (waiting > reader->limits.max_token_bytes) {
        reader_fail(reader, STREAM_ERROR_POLICY_VIOLATION, "token-too-long");
    } else if (work->depth > 1
            && work->fed - work->element_start + work->pending.len
                    > reader->limits.max_stanza_bytes) {
        reader_fail(reader, STREAM_ERROR_POLICY_VIOLATION, "stanza-too-long");
    } else if (work->depth == 1 && waiting > reader->limits.max_stanza_bytes) {
        reader_fail(reader, STREAM_ERROR_POLICY_VIOLATION, "stanza-too-long");
    }
}

/* ---- parsing */

static void fail_with_parser_error(struct xml_reader *reader)
{
    enum XML_Error error = XML_GetErrorCode(reader->work->parser);
    enum stream_condition condition = STREAM_ERROR_NOT_WELL_FORMED;
    if (error == XML_ERROR_UNKNOWN_ENCODING || error == XML_ERROR_INCORRECT_ENCODING) {
        condition = STREAM_ERROR_UNSUPPORTED_ENCODING;
    } else if (error == XML_ERROR_MISPLACED_XML_PI) {
        condition = STREAM_ERROR_RESTRICTED_XML;
    }
    reader_fail(reader, condition, XML_ErrorString(error));
}

/* Gives bytes to expat. Returns how many of them count: less than all only when a handler asked to
 * stop behind an element. */
static size_t parse(struct xml_reader *reader, struct str data, bool is_scanned)
{
    struct reader_work *work = reader->work;
    uint64_t base = work->fed;
    work->fed += data.len;
    memory_now = &work->memory;
    enum XML_Status status = XML_Parse(work->parser, data.ptr, (int)data.len, XML_FALSE);
    if (reader->state == READER_FAILED) {
        return data.len;
    }
    if (work->is_stopping) {
        return (size_t)(work->stop_index - base);
    }
    if (status == XML_STATUS_ERROR) {
        fail_with_parser_error(reader);
        return data.len;
    }
    token_update(work, data, is_scanned);
    check_unfinished(reader);
    return data.len;
}

/* Collects small reads behind a long token; expat gets them when a tag may be complete, so that no
 * stanza waits, or when they are worth it. Returns the bytes taken from `data`. */
static size_t gather(struct xml_reader *reader, struct str data)
{
    struct reader_work *work = reader->work;
    size_t taken = 0;
    bool may_be_complete = false;
    while (taken < data.len && !may_be_complete && work->pending.len + taken < GATHER_BYTES) {
        may_be_complete = token_scan(&work->token, data.ptr[taken++]);
    }
    buf_append(&work->pending, data.ptr, taken);
    if (may_be_complete || work->pending.len >= GATHER_BYTES) {
        struct buf pending = work->pending; /* what expat has is not pending any more */
        buf_init(&work->pending, 0);
        size_t before = pending.len - taken;
        size_t counted = parse(reader, buf_view(&pending), true);
        buf_fini(&pending);
        return counted > before ? counted - before : 0;
    }
    check_unfinished(reader);
    return taken;
}

static size_t feed_slice(struct xml_reader *reader, struct str slice)
{
    const struct reader_work *work = reader->work;
    bool is_long = work->token.bytes >= SHORT_TOKEN_BYTES;
    if (work->pending.len > 0 || (is_long && slice.len < GATHER_BYTES)) {
        return gather(reader, slice);
    }
    return parse(reader, slice, false);
}

/* ---- the beginning of a stream, and of a parser inside one */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t count_spaces(struct str data)
{
    size_t count = 0;
    while (count < data.len && is_space(data.ptr[count])) {
        count++;
    }
    return count;
}

/* expat would follow a UTF-16 byte order mark whatever encoding it was told (A15). */
static void check_lead(struct xml_reader *reader, struct str data)
{
    for (size_t i = 0; i < data.len && reader->lead_bytes < LEAD_BYTES; i++) {
        uint8_t byte = (uint8_t)data.ptr[i];
        if (byte == 0x00 || byte >= 0xFE) {
            reader_fail(reader, STREAM_ERROR_UNSUPPORTED_ENCODING, "not-utf-8");
            return;
        }
        reader->lead_bytes++;
    }
}

/* White space that needs no parser: in front of a header, and as keepalive of an idle stream. */
static size_t skip_spaces(const struct xml_reader *reader, struct str data)
{
    bool is_at_start = reader->state == READER_BEFORE_HEADER && reader->lead_bytes == 0;
    bool is_released = reader->state == READER_IN_STREAM && reader->work == NULL;
    return is_at_start || is_released ? count_spaces(data) : 0;
}

static void ensure_work(struct xml_reader *reader)
{
    if (reader->work != NULL) {
        return;
    }
    struct reader_work *work = work_create(reader);
    if (reader->state == READER_IN_STREAM) {
        work->is_replaying = true;
        (void)parse(reader, reader->replay, false);
        work->is_replaying = false;
    }
}

static void begin_stream(struct xml_reader *reader)
{
    drop_work(reader);
    drop_replay(reader);
    reader->state = READER_BEFORE_HEADER;
    reader->lead_bytes = 0;
    reader->wants_restart = false;
    reader->wants_pause = false;
}

/* After a handler asked to stop: expat may have seen bytes behind the element, so it goes. */
static void settle_stop(struct xml_reader *reader)
{
    if (reader->state == READER_FAILED || (reader->work != NULL && reader->work->is_stopping)) {
        drop_work(reader);
    }
    if (reader->wants_restart) {
        begin_stream(reader);
    }
    reader->wants_pause = false;
}

/* One step: some bytes of `data`. */
static size_t feed_some(struct xml_reader *reader, struct str data)
{
    if (reader->state == READER_CLOSED) {
        return data.len; /* nothing that follows the closing tag means anything */
    }
    size_t spaces = skip_spaces(reader, data);
    if (spaces > 0) {
        return spaces;
    }
    struct str slice = str_from(data.ptr, data.len < SLICE_BYTES ? data.len : SLICE_BYTES);
    if (reader->state == READER_BEFORE_HEADER) {
        check_lead(reader, slice);
    }
    if (reader->state == READER_FAILED) {
        return 0;
    }
    ensure_work(reader);
    return reader->state == READER_FAILED ? 0 : feed_slice(reader, slice);
}

enum stream_condition xml_reader_feed(
        struct xml_reader *reader, struct str data, size_t *consumed_out, const char **detail_out)
{
    size_t consumed = 0;
    bool is_stopped = false;
    while (consumed < data.len && reader->state != READER_FAILED && !is_stopped) {
        consumed += feed_some(reader, str_from(data.ptr + consumed, data.len - consumed));
        is_stopped = reader->wants_pause || reader->wants_restart;
        settle_stop(reader);
    }
    if (xml_reader_memory_bytes(reader) > MAX_IDLE_BYTES) {
        xml_reader_release(reader);
    }
    *consumed_out = consumed;
    if (reader->state != READER_FAILED) {
        return STREAM_ERROR_NONE;
    }
    if (detail_out != NULL) {
        *detail_out = reader->detail;
    }
    return reader->condition;
}

/* ---- the rest of the interface */

struct xml_reader *xml_reader_create(
        const struct xml_limits *limits, const struct xml_reader_handlers *handlers, void *context)
{
    struct xml_reader *reader = MEM_NEW(struct xml_reader);
    reader->limits = *limits;
    reader->handlers = *handlers;
    reader->context = context;
    reader->state = READER_BEFORE_HEADER;
    return reader;
}

void xml_reader_destroy(struct xml_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    ASSERT(!reader->is_in_handler);
    drop_work(reader);
    drop_replay(reader);
    free(reader);
}

void xml_reader_set_limits(struct xml_reader *reader, const struct xml_limits *limits)
{
    reader->limits = *limits;
}

void xml_reader_restart(struct xml_reader *reader)
{
    if (reader->is_in_handler) {
        reader->wants_restart = true;
    } else {
        begin_stream(reader);
    }
}

void xml_reader_pause(struct xml_reader *reader)
{
    reader->wants_pause = reader->is_in_handler;
}

bool xml_reader_is_idle(const struct xml_reader *reader)
{
    if (reader->state == READER_BEFORE_HEADER) {
        return reader->lead_bytes == 0;
    }
    const struct reader_work *work = reader->work;
    return work == NULL || (work->depth <= 1 && work->token.bytes == 0 && work->pending.len == 0);
}

void xml_reader_release(struct xml_reader *reader)
{
    if (!reader->is_in_handler && xml_reader_is_idle(reader)) {
        drop_work(reader);
    }
}

size_t xml_reader_memory_bytes(const struct xml_reader *reader)
{
    size_t bytes = sizeof *reader + (reader->is_replay_owned ? reader->replay.len : 0);
    const struct reader_work *work = reader->work;
    if (work != NULL) {
        bytes += sizeof *work + work->memory.bytes + work->pending.capacity
                + work->content_ns.capacity + work->declarations.capacity + work->children.capacity
                + work->text.capacity + work->payload_ns.capacity + work->payload_name.capacity
                + work->head.capacity + work->namespaces.capacity
                + work->level_capacity * sizeof(struct reader_level);
    }
    return bytes;
}
