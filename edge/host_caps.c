/* A hash map by domain. */
#include "edge/host_caps.h"

#include "chassis/base/map.h"
#include "chassis/base/mem.h"

struct announcement {
    UT_hash_handle hh;
    struct caps_hashes hashes;
    char *domain;
};

struct host_caps {
    struct announcement *hosts;
};

struct host_caps *host_caps_create(void)
{
    return MEM_NEW(struct host_caps);
}

void host_caps_destroy(struct host_caps *caps)
{
    if (!caps) {
        return;
    }
    struct announcement *host;
    struct announcement *next;
    HASH_ITER(hh, caps->hosts, host, next)
    {
        HASH_DEL(caps->hosts, host);
        free(host->domain);
        free(host);
    }
    free(caps);
}

static struct announcement *find(const struct host_caps *caps, struct str domain)
{
    struct announcement *host = NULL;
    HASH_FIND(hh, caps->hosts, domain.ptr, domain.len, host);
    return host;
}

static bool is_sound(const Wire__HostHashes *host)
{
    return host->domain.len > 0 && host->sha1.len == sizeof(((struct caps_hashes *)0)->sha1)
            && host->sha256.len == sizeof(((struct caps_hashes *)0)->sha256)
            && host->sha3_256.len == sizeof(((struct caps_hashes *)0)->sha3_256);
}

static struct announcement *add(struct host_caps *caps, struct str domain)
{
    struct announcement *host = MEM_NEW(struct announcement);
    host->domain = str_to_cstr(domain);
    HASH_ADD_KEYPTR(hh, caps->hosts, host->domain, domain.len, host);
    return host;
}

void host_caps_take(struct host_caps *caps, const Wire__HostCaps *message)
{
    for (size_t i = 0; i < message->n_hosts; i++) {
        const Wire__HostHashes *told = message->hosts[i];
        if (!is_sound(told)) {
            continue;
        }
        struct announcement *host = find(caps, wire_str(told->domain));
        if (!host && HASH_COUNT(caps->hosts) < HOST_CAPS_MAX) {
            host = add(caps, wire_str(told->domain));
        }
        if (host) {
            memcpy(host->hashes.sha1, told->sha1.data, told->sha1.len);
            memcpy(host->hashes.sha256, told->sha256.data, told->sha256.len);
            memcpy(host->hashes.sha3_256, told->sha3_256.data, told->sha3_256.len);
        }
    }
}

const struct caps_hashes *host_caps_find(const struct host_caps *caps, struct str domain)
{
    const struct announcement *host = caps ? find(caps, domain) : NULL;
    return host ? &host->hashes : NULL;
}
