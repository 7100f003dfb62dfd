/* The account itself, and whom its roster lets see its presence. */
#include "router/entity/contacts.h"

#include "router/entity/entity.h"

bool entity_is_contact(const struct entity *entity, struct str bare)
{
    return str_equal(entity->bare, bare) || (roster_flags(&entity->roster, bare) & ROSTER_FROM);
}
