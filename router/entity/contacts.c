/* Until there are rosters, an account has no contact but itself. */
#include "router/entity/contacts.h"

#include "router/entity/entity.h"

bool entity_is_contact(const struct entity *entity, struct str bare)
{
    return str_equal(entity->bare, bare);
}
