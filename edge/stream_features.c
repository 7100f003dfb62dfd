/* The list of stream features. */
#include "edge/stream_features.h"

#include "edge/feature/features.h"
#include "edge/stream.h"

/* Order matters to eyes and to old clients only: what is mandatory comes first, then how to become
 * somebody, then what is good to know. */
static const struct stream_feature *const features[] = {
    &feature_starttls, /* RFC 6120 §5.3.1: offered first, alone while it is required */
    &feature_sasl,
    &feature_sasl2,    /* behind it: that one looks which channel bindings there are */
    &feature_register, /* behind SASL: clients prefer to log in */
    &feature_bind,
    &feature_sm, /* behind bind: a resumption takes its place */
    &feature_csi,
    &feature_session, /* clients of RFC 3921 look for it behind bind */
    &feature_roster,
    &feature_caps,
    &feature_limits,
};

void stream_features_write(struct stream *stream)
{
    struct buf out;
    buf_init(&out, 0);
    buf_append_literal(&out, "<stream:features>");
    for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        features[i]->advertise(stream, &out);
    }
    buf_append_literal(&out, "</stream:features>");
    stream_write(stream, buf_view(&out));
    buf_fini(&out);
}
