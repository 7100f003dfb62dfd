/* Memory of a negotiation. */
#include "edge/negotiation.h"

#include "chassis/base/digest.h"
#include "chassis/base/err.h"
#include "chassis/base/mem.h"
#include "edge/sasl2_request.h"

struct negotiation *negotiation_create(void)
{
    struct negotiation *negotiation = MEM_NEW(struct negotiation);
    buf_init(&negotiation->grant, 0);
    return negotiation;
}

void negotiation_forget_sasl2(struct negotiation *negotiation)
{
    sasl2_request_destroy(negotiation->sasl2);
    negotiation->sasl2 = NULL;
}

void negotiation_destroy(struct negotiation *negotiation)
{
    if (!negotiation) {
        return;
    }
    ASSERT(negotiation->request == NULL);
    sasl_exchange_destroy(negotiation->exchange);
    sasl2_request_destroy(negotiation->sasl2);
    buf_fini_secret(&negotiation->grant);
    secret_wipe(negotiation->bindings, sizeof(negotiation->bindings));
    free(negotiation->bare);
    free(negotiation->stream_id);
    free(negotiation->iq_id);
    free(negotiation->previd);
    free(negotiation);
}
