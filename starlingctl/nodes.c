/* Which nodes there are (the registry in Redis, "node:<name>") and their inner HTTP ports. */
#include <stdio.h>

#include <curl/curl.h>

#include "chassis/loop.h"
#include "chassis/redis.h"
#include "starlingctl/ctl.h"

/* ---- Redis, one command at a time */

struct wait {
    struct loop *loop;
    json_t *nodes; /* named when asked for, filled when answered */
    enum err err;
    size_t pending;
    size_t answered;
    struct redis *redis;
};

static struct str field_of(const struct redis_value *hash, struct str name)
{
    for (size_t i = 0; i + 1 < hash->count; i += 2) {
        if (str_equal(redis_value_at(hash, i).text, name)) {
            return redis_value_at(hash, i + 1).text;
        }
    }
    return STR("");
}

static void one_less(struct wait *wait)
{
    if (--wait->pending == 0) {
        loop_stop(wait->loop);
    }
}

static void set(json_t *object, const char *key, struct str value)
{
    json_object_set_new(object, key, json_stringn(value.ptr ? value.ptr : "", value.len));
}

/* Answers come in the order of asking: the first node without a role is the one. An expired entry
 * stays without one. */
static void on_node(void *context, enum err err, const struct redis_value *reply)
{
    struct wait *wait = context;
    json_t *node = json_array_get(wait->nodes, wait->answered++);
    if (err == ERR_OK && reply->type == REDIS_ARRAY && reply->count > 0) {
        set(node, "role", field_of(reply, STR("role")));
        set(node, "boot", field_of(reply, STR("epoch")));
        set(node, "bus", field_of(reply, STR("bus")));
        set(node, "http", field_of(reply, STR("http")));
    }
    one_less(wait);
}

static void ask_node(struct wait *wait, struct str name)
{
    char key[256];
    json_t *node = json_object();
    set(node, "node", name);
    json_array_append_new(wait->nodes, node);
    int len = snprintf(key, sizeof(key), "node:" STR_FMT, STR_ARG(name));
    if (len < 0 || len >= (int)sizeof(key)) {
        return;
    }
    const struct str args[] = { STR("HGETALL"), str_from_cstr(key) };
    wait->pending++;
    redis_command(wait->redis, args, 2, on_node, wait);
}

static void on_names(void *context, enum err err, const struct redis_value *reply)
{
    struct wait *wait = context;
    wait->err = err != ERR_OK ? err : reply->type == REDIS_ARRAY ? ERR_OK : ERR_PROTOCOL;
    for (size_t i = 0; wait->err == ERR_OK && i < reply->count; i++) {
        ask_node(wait, redis_value_at(reply, i).text);
    }
    one_less(wait);
}

static void on_redis_change(void *context, bool is_up)
{
    struct wait *wait = context;
    if (is_up && wait->pending == 0) {
        const struct str args[] = { STR("SMEMBERS"), STR("nodes") };
        wait->pending = 1;
        redis_command(wait->redis, args, 2, on_names, wait);
    }
}

static void on_timeout(struct timer *timer, void *context)
{
    struct wait *wait = context;
    (void)timer;
    wait->err = ERR_TIMEOUT;
    loop_stop(wait->loop);
}

static int by_name(const void *a, const void *b)
{
    const json_t *const *left = a;
    const json_t *const *right = b;
    return strcmp(json_string_value(json_object_get(*left, "node")),
            json_string_value(json_object_get(*right, "node")));
}

static json_t *sorted(json_t *nodes)
{
    size_t count = json_array_size(nodes);
    json_t **items = calloc(count + 1, sizeof(*items));
    json_t *result = json_array();
    for (size_t i = 0; items && i < count; i++) {
        items[i] = json_array_get(nodes, i);
    }
    if (items) {
        qsort(items, count, sizeof(*items), by_name);
    }
    for (size_t i = 0; items && i < count; i++) {
        if (json_object_get(items[i], "role")) {
            json_array_append(result, items[i]);
        }
    }
    free(items);
    json_decref(nodes);
    return result;
}

#define REDIS_TIMEOUT_MS 5000

json_t *ctl_nodes(struct ctl *ctl)
{
    struct wait wait = {
        .loop = loop_create(&clock_system), .nodes = json_array(), .err = ERR_UNAVAILABLE
    };
    struct timer timer;

    enum err err =
            redis_open(wait.loop, config_get(ctl->config, &config_section_redis), &wait.redis);
    if (err == ERR_OK) {
        timer_init(&timer, on_timeout, &wait);
        timer_start(loop_timers(wait.loop), &timer, REDIS_TIMEOUT_MS);
        redis_on_change(wait.redis, on_redis_change, &wait);
        on_redis_change(&wait, redis_is_up(wait.redis));
        loop_run(wait.loop);
        timer_stop(&timer);
        redis_close(wait.redis);
        err = wait.err;
    }
    loop_destroy(wait.loop);
    if (err != ERR_OK) {
        ctl_error(CTL_UNREACHABLE, "Redis: %s", err_name(err));
        json_decref(wait.nodes);
        return NULL;
    }
    return sorted(wait.nodes);
}

/* ---- inner HTTP */

#define MAX_BODY_BYTES ((size_t)64 << 20)

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct buf *body = context;
    buf_append(body, data, size * count);
    return body->overflowed ? 0 : size * count;
}

static struct curl_slist *authorization(const char *token_file)
{
    struct buf secret;
    struct buf why;
    struct buf header;
    struct curl_slist *list = NULL;

    buf_init(&secret, 0);
    buf_init(&why, 0);
    buf_init(&header, 0);
    if (token_file[0] != '\0' && config_read_secret(token_file, &secret, &why) == ERR_OK) {
        buf_printf(&header, "Authorization: Bearer " STR_FMT, STR_ARG(buf_view(&secret)));
        buf_append_char(&header, '\0');
        list = curl_slist_append(NULL, buf_view(&header).ptr);
    }
    buf_fini_secret(&secret);
    buf_fini(&why);
    buf_fini_secret(&header);
    return list;
}

json_t *ctl_http(
        struct ctl *ctl, const char *address, const char *path, const char *body, bool is_quiet)
{
    const struct starlingctl_config *config = config_get(ctl->config, &config_section_starlingctl);
    struct buf answer;
    char url[512];
    char why[CURL_ERROR_SIZE] = "";
    long status = 0;

    buf_init(&answer, MAX_BODY_BYTES);
    snprintf(url, sizeof(url), "http://%s%s", address, path);
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = authorization(config->token_file);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)config->http_timeout_ms);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, why);
    if (body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    }
    CURLcode result = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);

    json_t *json = NULL;
    if (result == CURLE_OK && status == 200) {
        json = json_loadb(buf_view(&answer).ptr ? buf_view(&answer).ptr : "",
                buf_view(&answer).len,
                JSON_DECODE_ANY,
                NULL);
        json = json ? json : json_object();
    } else if (!is_quiet) {
        ctl_error(CTL_UNREACHABLE, "%s: %s (HTTP %ld)", url, why[0] ? why : "refused", status);
    }
    buf_fini(&answer);
    return json;
}
