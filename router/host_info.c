/* disco#info of hosts and its hashes, with what was announced before. */
#include "router/host_info.h"

#include "chassis/base/mem.h"
#include "proto/xmpp/ns.h"
#include "proto/xmpp/xml_writer.h"
#include "router/feature.h"
#include "router/settings.h"

#define REMEMBERED 3 /* announcements of a host, the newest first (XEP-0390 §6.1) */

/* ---- what a host says */

/* The language stands there: what hashes is the same whatever a stream inherits (XEP-0390 §4.1). */
static void write_identity(struct buf *xml)
{
    buf_append_literal(
            xml, "<identity category='server' type='im' name='Starling' xml:lang='en'/>");
}

static void write_features(const struct turn *turn, struct buf *xml)
{
    for (const struct feature *const *item = features; *item; item++) {
        if (!feature_is_enabled(*item, turn)) {
            continue;
        }
        const char *const *names = (*item)->advertises;
        for (size_t i = 0; i < FEATURE_MAX_ADVERTISE && names[i]; i++) {
            xml_open(xml, "feature", NULL);
            xml_attr(xml, "var", str_from_cstr(names[i]));
            xml_end_empty(xml);
        }
    }
}

void host_info_write(const struct settings *settings, const struct host *host, struct buf *xml)
{
    const struct turn turn = { .settings = settings, .host = host };
    write_identity(xml);
    write_features(&turn, xml);
    for (const struct feature *const *item = features; *item; item++) {
        if ((*item)->write_host_info && feature_is_enabled(*item, &turn)) {
            (*item)->write_host_info(&turn, xml);
        }
    }
}

/* ---- what was announced */

struct said {
    struct buf xml; /* nothing: the slot is free */
    struct caps_hashes hashes;
};

struct known_host {
    char *domain;
    bool is_announced; /* said[0] is what it says now */
    struct said said[REMEMBERED];
};

struct host_info {
    struct known_host *hosts;
    size_t count;
};

struct host_info *host_info_create(void)
{
    return MEM_NEW(struct host_info);
}

static void forget_host(struct known_host *host)
{
    for (size_t i = 0; i < REMEMBERED; i++) {
        buf_fini(&host->said[i].xml);
    }
    free(host->domain);
}

void host_info_destroy(struct host_info *info)
{
    if (!info) {
        return;
    }
    for (size_t i = 0; i < info->count; i++) {
        forget_host(&info->hosts[i]);
    }
    free(info->hosts);
    free(info);
}

static struct known_host *find_host(const struct host_info *info, struct str domain)
{
    for (size_t i = 0; i < info->count; i++) {
        if (str_equal(str_from_cstr(info->hosts[i].domain), domain)) {
            return &info->hosts[i];
        }
    }
    return NULL;
}

/* Takes `xml`; the oldest one makes room. */
static void remember(struct known_host *host, struct buf *xml, const struct caps_hashes *hashes)
{
    buf_fini(&host->said[REMEMBERED - 1].xml);
    memmove(&host->said[1], &host->said[0], (REMEMBERED - 1) * sizeof(host->said[0]));
    host->said[0] = (struct said){ *xml, *hashes };
}

/* An answer no hash stands for, as of two features of one name, is given all the same. */
static enum err hash_answer(struct str xml, struct caps_hashes *hashes_out)
{
    struct arena arena;
    arena_init(&arena, 0);
    struct buf whole;
    buf_init(&whole, 0);
    xml_open(&whole, "query", NS_DISCO_INFO);
    xml_end_open(&whole);
    buf_append_str(&whole, xml);
    xml_close(&whole, "query");
    struct element *query = NULL;
    enum err err = element_parse(&arena, buf_view(&whole), STR(NS_CLIENT), &query);
    if (err == ERR_OK) {
        err = caps_hash(&arena, query, hashes_out);
    }
    buf_fini(&whole);
    arena_fini(&arena);
    return err;
}

static void refresh_host(
        struct known_host *known, const struct settings *settings, const struct host *host)
{
    struct buf xml;
    struct caps_hashes hashes;
    buf_init(&xml, 0);
    host_info_write(settings, host, &xml);
    bool is_same = str_equal(buf_view(&xml), buf_view(&known->said[0].xml));
    known->is_announced = is_same || hash_answer(buf_view(&xml), &hashes) == ERR_OK;
    if (known->is_announced && !is_same) {
        remember(known, &xml, &hashes);
    } else {
        buf_fini(&xml);
    }
}

void host_info_refresh(struct host_info *info, const struct settings *settings)
{
    struct host_info old = *info;
    info->hosts = mem_calloc(settings->host_count + 1, sizeof(*info->hosts));
    info->count = 0;
    for (size_t i = 0; i < settings->host_count; i++) {
        const struct host *host = &settings->hosts[i];
        if (host->formerly) {
            continue;
        }
        struct known_host *known = &info->hosts[info->count++];
        struct known_host *before = find_host(&old, host->domain);
        if (before) {
            *known = *before;
            *before = (struct known_host){ .domain = str_to_cstr(STR("")) };
        } else {
            known->domain = str_to_cstr(host->domain);
        }
        refresh_host(known, settings, host);
    }
    for (size_t i = 0; i < old.count; i++) {
        forget_host(&old.hosts[i]);
    }
    free(old.hosts);
}

struct str host_info_find(const struct host_info *info, struct str domain, struct str node)
{
    const struct known_host *host = info ? find_host(info, domain) : NULL;
    for (size_t i = 0; host && i < REMEMBERED; i++) {
        const struct said *said = &host->said[i];
        if (said->xml.len > 0 && caps_names_node(&said->hashes, node)) {
            return buf_view(&said->xml);
        }
    }
    return STR_NULL;
}

size_t host_info_count(const struct host_info *info)
{
    return info->count;
}

bool host_info_get(const struct host_info *info, size_t at, struct host_announcement *out)
{
    const struct known_host *host = &info->hosts[at];
    if (host->is_announced) {
        *out = (struct host_announcement){ str_from_cstr(host->domain), host->said[0].hashes };
    }
    return host->is_announced;
}
