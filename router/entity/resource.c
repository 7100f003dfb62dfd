/* Sessions of an account and the window of their inputs. */
#include "router/entity/resource.h"

#include "chassis/base/buf.h"
#include "chassis/base/mem.h"
#include "router/entity/csi_buffer.h"
#include "router/entity/sm_session.h"

struct resource *resource_create(
        struct id128 session, const char *edge, struct str bare, struct str name)
{
    struct resource *resource = MEM_NEW(struct resource);
    resource->session = session;
    resource->edge = str_to_cstr(str_from_cstr(edge));
    char *full = mem_alloc(bare.len + name.len + 2);
    memcpy(full, bare.ptr, bare.len);
    full[bare.len] = '/';
    memcpy(full + bare.len + 1, name.ptr, name.len);
    full[bare.len + 1 + name.len] = '\0';
    resource->full_text = full;
    resource->full = str_from(full, bare.len + 1 + name.len);
    resource->name = str_from(full + bare.len + 1, name.len);
    resource->works_end = &resource->works;
    return resource;
}

void resource_destroy(struct resource *resource)
{
    if (!resource) {
        return;
    }
    while (resource->works) {
        struct input_work *work = resource->works;
        resource->works = work->next;
        free(work);
    }
    sm_session_destroy(resource->sm);
    csi_buffer_destroy(resource->csi);
    buf_fini(&resource->directed);
    free(resource->edge);
    free(resource->full_text);
    free(resource->presence_text);
    free(resource);
}

void resource_repeats_from(struct resource *resource, int64_t now_ms)
{
    resource->moved_ms = resource->moved_ms ? now_ms : 0;
}

bool resource_may_repeat(const struct resource *resource, int64_t posted_ms)
{
    return resource->moved_ms != 0 && posted_ms - resource->moved_ms < RESOURCE_REPEATS_MS;
}

void resource_set_edge(struct resource *resource, const char *edge)
{
    char *copy = str_to_cstr(str_from_cstr(edge));
    free(resource->edge);
    resource->edge = copy;
}

void resource_set_presence(struct resource *resource, struct str children, uint32_t child_count)
{
    char *copy = children.len ? str_to_cstr(children) : NULL;
    free(resource->presence_text);
    resource->presence_text = copy;
    resource->presence = str_from(copy, copy ? children.len : 0);
    resource->presence_child_count = child_count;
}

/* ---- directed presence */

bool resource_next_directed(const struct resource *resource, struct str *to)
{
    struct str all = buf_view(&resource->directed);
    const char *next = to->ptr ? to->ptr + to->len + 1 : all.ptr;
    if (all.len == 0 || next >= all.ptr + all.len) {
        return false;
    }
    *to = str_from_cstr(next);
    return true;
}

static bool find_directed(const struct resource *resource, struct str to, struct str *found_out)
{
    struct str at = STR_NULL;
    while (resource_next_directed(resource, &at)) {
        if (str_equal(at, to)) {
            *found_out = at;
            return true;
        }
    }
    return false;
}

bool resource_has_directed(const struct resource *resource, struct str to)
{
    struct str found;
    return find_directed(resource, to, &found);
}

void resource_add_directed(struct resource *resource, struct str to)
{
    if (to.len > 0 && !resource_has_directed(resource, to)) {
        buf_append_str(&resource->directed, to);
        buf_append_char(&resource->directed, '\0');
        resource->directed_count++;
    }
}

void resource_remove_directed(struct resource *resource, struct str to)
{
    struct str found;
    if (find_directed(resource, to, &found)) {
        char *at = resource->directed.data + (found.ptr - resource->directed.data);
        struct str all = buf_view(&resource->directed);
        size_t behind = (size_t)(all.ptr + all.len - (found.ptr + found.len + 1));
        memmove(at, at + found.len + 1, behind);
        resource->directed.len -= found.len + 1;
        resource->directed_count--;
    }
}

void resource_clear_directed(struct resource *resource)
{
    buf_fini(&resource->directed);
    resource->directed_count = 0;
}

void resource_set_handled(struct resource *resource, uint32_t handled)
{
    if (resource->is_counted && !counter_is_after(handled, resource->handled)) {
        return;
    }
    while (resource->works && !counter_is_after(resource->works->counter, handled)) {
        struct input_work *work = resource->works;
        resource->works = work->next;
        free(work);
    }
    if (!resource->works) {
        resource->works_end = &resource->works;
    }
    resource->handled = handled;
    resource->handled_sent = handled;
    resource->last_durable = handled;
    resource->input_asked = handled;
    resource->input_committed = handled;
    if (!resource->is_counted || counter_is_after(handled, resource->taken)) {
        resource->taken = handled;
    }
    resource->is_counted = true;
}

void resource_reset_handled(struct resource *resource, uint32_t handled)
{
    resource->is_counted = false;
    resource_set_handled(resource, handled);
}

bool resource_is_settled(const struct resource *resource)
{
    return !resource->works && !counter_is_after(resource->last_durable, resource->input_committed);
}

enum resource_take resource_take_input(struct resource *resource, uint32_t counter)
{
    if (!counter_is_after(counter, resource->handled)) {
        return RESOURCE_REPEATED;
    }
    if (!counter_is_after(counter, resource->taken)) {
        return RESOURCE_IN_WORK;
    }
    if (counter != resource->taken + 1) {
        return RESOURCE_GAP;
    }
    resource->taken = counter;
    resource->is_counted = true;
    struct input_work *work = MEM_NEW(struct input_work);
    work->counter = counter;
    *resource->works_end = work;
    resource->works_end = &work->next;
    return RESOURCE_TAKEN;
}

struct input_work *resource_find_work(struct resource *resource, uint32_t counter)
{
    for (struct input_work *work = resource->works; work; work = work->next) {
        if (work->counter == counter) {
            return work;
        }
    }
    return NULL;
}

void resource_advance(struct resource *resource)
{
    while (resource->works && resource->works->pending == 0) {
        struct input_work *work = resource->works;
        resource->handled = work->counter;
        if (work->is_durable) {
            resource->last_durable = work->counter;
        }
        resource->works = work->next;
        free(work);
    }
    if (!resource->works) {
        resource->works_end = &resource->works;
    }
}

bool resource_next_commit(const struct resource *resource, uint32_t *counter_out)
{
    uint32_t counter = resource->handled;
    uint32_t durable = resource->last_durable;
    for (const struct input_work *work = resource->works; work && work->unappended == 0;
            work = work->next) {
        counter = work->counter;
        durable = work->is_durable ? work->counter : durable;
    }
    if (!counter_is_after(durable, resource->input_asked)) {
        return false;
    }
    *counter_out = counter;
    return true;
}

bool resource_may_tell_handled(const struct resource *resource)
{
    return resource->handled != resource->handled_sent
            && !counter_is_after(resource->last_durable, resource->input_committed);
}

bool resource_is_eligible(const struct resource *resource)
{
    return resource->is_available && resource->priority >= 0 && !resource->is_closing;
}
