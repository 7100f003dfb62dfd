/* Decaying failure counters by address. */
#include "edge/auth_throttle.h"

#include <netinet/in.h>

#include "chassis/base/digest.h"
#include "chassis/base/mem.h"

#define SLOTS             4096
#define HALF_LIFE_MS      60000
#define FAILURES_PER_STEP 10
#define MAX_STEPS         5

struct slot {
    int64_t updated_ms;
    uint32_t failures;
};

struct auth_throttle {
    uint64_t seed; /* so that nobody can choose whom to share a slot with */
    struct slot slots[SLOTS];
};

struct auth_throttle *auth_throttle_create(void)
{
    struct auth_throttle *throttle = MEM_NEW(struct auth_throttle);
    throttle->seed = random_u64();
    return throttle;
}

void auth_throttle_destroy(struct auth_throttle *throttle)
{
    free(throttle);
}

/* An IPv4 address, or the /64 of an IPv6 address: what one customer has. */
static uint64_t prefix_of(const struct peer_address *address)
{
    uint64_t prefix = 0;
    if (address->storage.ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, &address->storage, sizeof(in));
        prefix = in.sin_addr.s_addr;
    } else if (address->storage.ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, &address->storage, sizeof(in6));
        const uint8_t *bytes = in6.sin6_addr.s6_addr;
        if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
            uint32_t v4 = 0;
            memcpy(&v4, bytes + 12, sizeof(v4));
            prefix = v4;
        } else {
            memcpy(&prefix, bytes, sizeof(prefix));
        }
    }
    return prefix;
}

static struct slot *slot_of(struct auth_throttle *throttle, const struct peer_address *address)
{
    uint64_t key[2] = { throttle->seed, prefix_of(address) };
    return &throttle->slots[str_hash(str_from(key, sizeof(key))) % SLOTS];
}

static void decay(struct slot *slot, int64_t now_ms)
{
    int64_t half_lives = (now_ms - slot->updated_ms) / HALF_LIFE_MS;
    if (half_lives > 0) {
        slot->failures = half_lives >= 32 ? 0 : slot->failures >> half_lives;
        slot->updated_ms += half_lives * HALF_LIFE_MS;
    }
}

int64_t auth_throttle_failed(struct auth_throttle *throttle,
        const struct peer_address *address,
        int64_t base_ms,
        int64_t now_ms)
{
    struct slot *slot = slot_of(throttle, address);
    decay(slot, now_ms);
    uint32_t steps = slot->failures / FAILURES_PER_STEP;
    if (slot->failures < UINT32_MAX) {
        slot->failures++;
    }
    return base_ms << (steps < MAX_STEPS ? steps : MAX_STEPS);
}
