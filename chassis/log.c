/* Log records: one line, one write(2). Whatever a peer put into a field is escaped, so nobody can
 * forge a line or speak to the reader's terminal. */
#include "chassis/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "chassis/base/buf.h"
#include "chassis/base/digest.h"
#include "chassis/base/encoding.h"

enum {
    LOG_MAX_RECORD = PIPE_BUF, /* a pipe takes this much in one piece or not at all */
    LOG_TAIL_ROOM = 32,        /* for the truncation mark and the end of the record */
    LOG_MAX_VALUE = 512,
    LOG_JID_DIGITS = 12,
    LOG_NAME_SIZE = 64,
};

static struct {
    pthread_mutex_t lock;
    int fd;
    bool owns_fd;
    bool is_torn; /* the disk was full in the middle of the last record */
    enum log_format format;
    enum log_jids jids;
    char program[LOG_NAME_SIZE];
    char node[LOG_NAME_SIZE];
    uint8_t jid_key[32];
    bool has_jid_key;
} sink = { .lock = PTHREAD_MUTEX_INITIALIZER, .fd = STDERR_FILENO };

static atomic_int sink_level = LOG_LEVEL_WARN;
static atomic_uint_fast64_t sink_dropped;

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_ERROR: return "error";
    case LOG_LEVEL_WARN: return "warn";
    case LOG_LEVEL_INFO: return "info";
    case LOG_LEVEL_DEBUG: return "debug";
    }
    return "unknown";
}

bool log_is_on(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&sink_level, memory_order_relaxed);
}

uint64_t log_dropped_total(void)
{
    return atomic_load_explicit(&sink_dropped, memory_order_relaxed);
}

/* ---- opening */

static void sink_close_locked(void)
{
    if (sink.owns_fd) {
        close(sink.fd);
    }
    sink.fd = STDERR_FILENO;
    sink.owns_fd = false;
}

void log_open(const struct log_options *options)
{
    pthread_mutex_lock(&sink.lock);
    sink_close_locked();
    int failure = 0;
    if (options->path != NULL && options->path[0] != '\0') {
        int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK;
        int fd = open(options->path, flags, 0640);
        failure = fd < 0 ? errno : 0;
        if (fd >= 0) {
            sink.fd = fd;
            sink.owns_fd = true;
        }
    }
    sink.format = options->format;
    sink.jids = options->jids;
    snprintf(sink.program, sizeof(sink.program), "%s", options->program ? options->program : "");
    snprintf(sink.node, sizeof(sink.node), "%s", options->node ? options->node : "");
    atomic_store(&sink_level, (int)options->level);
    pthread_mutex_unlock(&sink.lock);
    if (failure != 0) {
        log_error("log",
                "log file cannot be opened, using standard error",
                log_cstr("path", options->path),
                log_int("errno", failure));
    }
}

void log_close(void)
{
    pthread_mutex_lock(&sink.lock);
    sink_close_locked();
    pthread_mutex_unlock(&sink.lock);
}

/* ---- text */

static bool is_c1_control(const unsigned char *p, size_t left)
{
    return left > 1 && p[0] == 0xC2 && p[1] < 0xA0;
}

static bool is_line_separator(const unsigned char *p, size_t left)
{
    return left > 2 && p[0] == 0xE2 && p[1] == 0x80 && (p[2] == 0xA8 || p[2] == 0xA9);
}

/* Bytes of the character at `p` that may stay as they are; 0: it needs an escape. */
static size_t harmless_char(const unsigned char *p, size_t left, bool is_utf8)
{
    if (p[0] < 0x80) {
        return p[0] >= 0x20 && p[0] != 0x7F && p[0] != '"' && p[0] != '\\';
    }
    if (!is_utf8 || is_c1_control(p, left) || is_line_separator(p, left)) {
        return 0;
    }
    return p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
}

/* Returns how many bytes the escape stands for. */
static size_t append_escape(struct buf *out, const unsigned char *p, size_t left, bool is_utf8)
{
    if (is_utf8 && is_c1_control(p, left)) {
        buf_printf(out, "\\u%04x", p[1]);
        return 2;
    }
    if (is_utf8 && is_line_separator(p, left)) {
        buf_printf(out, "\\u20%02x", p[2] - 0x80);
        return 3;
    }
    switch (p[0]) {
    case '"': buf_append_literal(out, "\\\""); break;
    case '\\': buf_append_literal(out, "\\\\"); break;
    case '\n': buf_append_literal(out, "\\n"); break;
    case '\r': buf_append_literal(out, "\\r"); break;
    case '\t': buf_append_literal(out, "\\t"); break;
    default: buf_printf(out, "\\u%04x", p[0]); break;
    }
    return 1;
}

static void append_escaped(struct buf *out, struct str text)
{
    bool is_utf8 = str_is_utf8(text);
    const unsigned char *p = (const unsigned char *)text.ptr;
    for (size_t i = 0; i < text.len;) {
        size_t len = harmless_char(p + i, text.len - i, is_utf8);
        buf_append(out, p + i, len);
        i += len > 0 ? len : append_escape(out, p + i, text.len - i, is_utf8);
    }
}

static bool is_plain(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c <= 0x20 || c >= 0x7F || c == '"' || c == '\\' || c == '=') {
            return false;
        }
    }
    return text.len > 0;
}

static struct str shorten(struct str text)
{
    if (text.len > LOG_MAX_VALUE) {
        text.len = LOG_MAX_VALUE;
        while (text.len > 0 && ((unsigned char)text.ptr[text.len] & 0xC0) == 0x80) {
            text.len--; /* not in the middle of a character */
        }
    }
    return text;
}

/* ---- records (the lock is held) */

static void append_key(struct buf *out, const char *key)
{
    if (sink.format == LOG_FORMAT_JSON) {
        buf_printf(out, "%s\"%s\":", out->len > 1 ? "," : "", key);
    } else {
        buf_printf(out, "%s%s=", out->len > 0 ? " " : "", key);
    }
}

static void append_text(struct buf *out, const char *key, struct str text)
{
    append_key(out, key);
    text = shorten(text);
    if (sink.format == LOG_FORMAT_KEY_VALUE && is_plain(text)) {
        buf_append_str(out, text);
        return;
    }
    buf_append_char(out, '"');
    append_escaped(out, text);
    buf_append_char(out, '"');
}

static void append_jid(struct buf *out, const char *key, struct str jid)
{
    if (sink.jids == LOG_JIDS_PLAIN) {
        append_text(out, key, jid);
        return;
    }
    if (sink.jids == LOG_JIDS_NONE || str_is_empty(jid)) {
        append_text(out, key, STR("-"));
        return;
    }
    if (!sink.has_jid_key) {
        random_bytes(sink.jid_key, sizeof(sink.jid_key));
        sink.has_jid_key = true;
    }
    /* Keyed, so that a list of known JIDs cannot be tried against a log file. */
    uint8_t mac[DIGEST_MAX_BYTES];
    digest_hmac(DIGEST_SHA256, str_from(sink.jid_key, sizeof(sink.jid_key)), jid, mac);
    struct buf digits;
    buf_init(&digits, 0);
    hex_encode(&digits, str_from(mac, LOG_JID_DIGITS / 2));
    append_text(out, key, buf_view(&digits));
    buf_fini(&digits);
}

static void append_field(struct buf *out, const struct log_field *field)
{
    switch (field->type) {
    case LOG_STR: append_text(out, field->key, field->text); break;
    case LOG_JID: append_jid(out, field->key, field->text); break;
    case LOG_INT:
        append_key(out, field->key);
        buf_printf(out, "%" PRId64, field->number);
        break;
    }
}

static void append_time(struct buf *out)
{
    struct timespec now;
    struct tm utc;
    char text[40];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + len, sizeof(text) - len, ".%03dZ", (int)(now.tv_nsec / 1000000));
    append_text(out, "time", str_from_cstr(text));
}

static void format_record(struct buf *out,
        enum log_level level,
        const char *category,
        const char *message,
        const struct log_field *fields,
        size_t field_count)
{
    bool is_json = sink.format == LOG_FORMAT_JSON;
    if (is_json) {
        buf_append_char(out, '{');
    }
    append_time(out);
    append_text(out, "level", str_from_cstr(level_name(level)));
    append_text(out, "program", str_from_cstr(sink.program));
    append_text(out, "node", str_from_cstr(sink.node));
    append_text(out, "category", str_from_cstr(category));
    append_text(out, "msg", str_from_cstr(message));
    size_t len = out->len;
    for (size_t i = 0; i < field_count && !out->overflowed; i++) {
        len = out->len;
        append_field(out, &fields[i]);
    }
    out->max = LOG_MAX_RECORD;
    if (out->overflowed) {
        out->len = len; /* the field that did not fit goes as a whole */
        out->overflowed = false;
        append_key(out, "truncated");
        buf_append_literal(out, "true");
    }
    buf_append_str(out, is_json ? STR("}\n") : STR("\n"));
}

/* Standard error is shared with others, so it cannot be made non-blocking; asking first is as good:
 * a pipe that is writable takes PIPE_BUF bytes. */
static bool write_record(const struct buf *record)
{
    struct pollfd ready = { .fd = sink.fd, .events = POLLOUT };
    int count = 0;
    do {
        count = poll(&ready, 1, 0);
    } while (count < 0 && errno == EINTR);
    if (count <= 0 || (ready.revents & POLLOUT) == 0) {
        return false;
    }
    char line_end = '\n';
    struct iovec parts[] = {
        { .iov_base = &line_end, .iov_len = sink.is_torn ? 1 : 0 },
        { .iov_base = record->data + record->start, .iov_len = record->len },
    };
    size_t total = parts[0].iov_len + parts[1].iov_len;
    ssize_t written = 0;
    do {
        written = writev(sink.fd, parts, 2);
    } while (written < 0 && errno == EINTR);
    if (written > 0) {
        sink.is_torn = (size_t)written < total;
    }
    return written == (ssize_t)total;
}

void log_write(enum log_level level,
        const char *category,
        const char *message,
        const struct log_field *fields,
        size_t field_count)
{
    if (!log_is_on(level)) {
        return;
    }
    int saved_errno = errno;
    struct buf record;
    buf_init(&record, LOG_MAX_RECORD - LOG_TAIL_ROOM);
    pthread_mutex_lock(&sink.lock);
    format_record(&record, level, category, message, fields, field_count);
    bool is_written = write_record(&record);
    pthread_mutex_unlock(&sink.lock);
    if (!is_written) {
        atomic_fetch_add_explicit(&sink_dropped, 1, memory_order_relaxed);
    }
    buf_fini(&record);
    errno = saved_errno;
}
