/* Appendix A as operations on four bits: its nine states are what they can be together. */
#include "router/entity/subscription_state.h"

#include "router/entity/roster.h"

#define SEEN (ROSTER_TO | ROSTER_FROM | ROSTER_PENDING_OUT | ROSTER_APPROVED | ROSTER_LISTED)

/* Whatever binds the account to the contact is in its list; what is not listed and means nothing
 * any more is forgotten. */
static struct subscription_step settle(struct subscription_step step)
{
    if (step.flags & (ROSTER_TO | ROSTER_FROM | ROSTER_PENDING_OUT | ROSTER_APPROVED)) {
        step.flags |= ROSTER_LISTED;
    }
    return step;
}

static unsigned grant(unsigned flags)
{
    return (flags & ~(unsigned)(ROSTER_PENDING_IN | ROSTER_APPROVED)) | ROSTER_FROM;
}

struct subscription_step subscription_outbound(unsigned flags, enum stanza_type type)
{
    struct subscription_step step = { .flags = flags };
    switch ((int)type) {
    case STANZA_TYPE_SUBSCRIBE:
        step.is_passed_on = true;
        step.flags |= flags & ROSTER_TO ? 0 : ROSTER_PENDING_OUT;
        break;
    case STANZA_TYPE_UNSUBSCRIBE:
        step.is_passed_on = true;
        step.flags &= ~(unsigned)(ROSTER_TO | ROSTER_PENDING_OUT);
        break;
    case STANZA_TYPE_SUBSCRIBED:
        step.is_passed_on = (flags & ROSTER_PENDING_IN) != 0;
        if (step.is_passed_on) {
            step.flags = grant(flags);
        } else if (!(flags & ROSTER_FROM)) {
            step.flags |= ROSTER_APPROVED; /* §3.4.2 */
        }
        break;
    case STANZA_TYPE_UNSUBSCRIBED:
        step.is_passed_on = (flags & (ROSTER_PENDING_IN | ROSTER_FROM)) != 0;
        step.flags &= ~(unsigned)(ROSTER_PENDING_IN | ROSTER_FROM | ROSTER_APPROVED);
        break;
    default: break;
    }
    return settle(step);
}

static struct subscription_step ask(unsigned flags)
{
    if (flags & ROSTER_FROM) {
        return (struct subscription_step){ .flags = flags, .is_auto_answer = true };
    }
    if (flags & ROSTER_APPROVED) {
        return (struct subscription_step){ .flags = grant(flags), .is_auto_answer = true };
    }
    bool is_new = !(flags & ROSTER_PENDING_IN); /* one request for each pair at a time (C12) */
    return (struct subscription_step){
        .flags = flags | ROSTER_PENDING_IN,
        .is_passed_on = is_new,
    };
}

/* Ends what is there of `bits`; a stanza about nothing has no effect (D23). */
static struct subscription_step end(unsigned flags, unsigned bits)
{
    return (struct subscription_step){
        .flags = flags & ~bits,
        .is_passed_on = (flags & bits) != 0,
    };
}

struct subscription_step subscription_inbound(unsigned flags, enum stanza_type type)
{
    struct subscription_step step = { .flags = flags };
    switch ((int)type) {
    case STANZA_TYPE_SUBSCRIBE: step = ask(flags); break;
    case STANZA_TYPE_UNSUBSCRIBE: step = end(flags, ROSTER_FROM | ROSTER_PENDING_IN); break;
    case STANZA_TYPE_SUBSCRIBED:
        step = end(flags, ROSTER_PENDING_OUT);
        step.flags |= step.is_passed_on ? ROSTER_TO : 0;
        break;
    case STANZA_TYPE_UNSUBSCRIBED: step = end(flags, ROSTER_TO | ROSTER_PENDING_OUT); break;
    default: break;
    }
    return settle(step);
}

bool subscription_is_visible(unsigned before, unsigned after)
{
    return (before & SEEN) != (after & SEEN);
}
