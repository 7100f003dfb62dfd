/* The stream features and their steps: what each advertises, and what it does with the elements
 * that stream_states.c hands it. */
#pragma once

#include "chassis/base/buf.h"
#include "chassis/base/str.h"

struct stream;
struct xml_element;

struct stream_feature {
    const char *name;
    /* Writes the feature into <stream:features/> if this stream may use it now. */
    void (*advertise)(struct stream *stream, struct buf *out);
};

extern const struct stream_feature feature_starttls; /* RFC 6120 §5 */
extern const struct stream_feature feature_sasl;     /* RFC 6120 §6, XEP-0440 */
extern const struct stream_feature feature_sasl2;    /* XEP-0388, 0386, 0484, 0480 */
extern const struct stream_feature feature_register; /* XEP-0077 §8 */
extern const struct stream_feature feature_limits;   /* XEP-0478 */
extern const struct stream_feature feature_bind;     /* RFC 6120 §7 */
extern const struct stream_feature feature_sm;       /* XEP-0198 */
extern const struct stream_feature feature_csi;      /* XEP-0352 */
extern const struct stream_feature feature_roster;   /* RFC 6121 §2.6, §3.4 */
extern const struct stream_feature feature_caps;     /* XEP-0115 §6.3, XEP-0390 §5.2 */
extern const struct stream_feature feature_session;  /* RFC 3921 §3, a no-op since RFC 6121 */

void starttls_begin(struct stream *stream, const struct xml_element *element);
void starttls_refuse(struct stream *stream, const struct xml_element *element); /* B02 */

void sasl_handle_auth(struct stream *stream, const struct xml_element *element);
void sasl_handle_response(struct stream *stream, const struct xml_element *element);
void sasl_handle_abort(struct stream *stream, const struct xml_element *element);
void sasl2_handle_authenticate(struct stream *stream, const struct xml_element *element);
void sasl2_handle_response(struct stream *stream, const struct xml_element *element);
void sasl2_handle_abort(struct stream *stream, const struct xml_element *element);
void sasl2_handle_next(struct stream *stream, const struct xml_element *element);
void sasl2_handle_task_data(struct stream *stream, const struct xml_element *element);

/* An IQ before authentication: registration, or not-authorized (A20). */
void register_handle_iq(struct stream *stream, const struct xml_element *element);
void bind_handle_iq(struct stream *stream, const struct xml_element *element);

void sm_handle_enable(struct stream *stream, const struct xml_element *element);
void sm_handle_resume(struct stream *stream, const struct xml_element *element);
void sm_handle_request(struct stream *stream, const struct xml_element *element); /* <r/> */
void sm_handle_ack(struct stream *stream, const struct xml_element *element);     /* <a/> */
void sm_refuse(struct stream *stream, const struct xml_element *element);         /* C18 */
/* No router could answer a <resume/>: it is asked again. */
void sm_resume_again(struct stream *stream);
/* <resume/> inside <authenticate/>: ends in sasl2_resumed or sasl2_resume_failed. */
void sm_resume_inline(struct stream *stream, struct str previd, struct str h);

/* XEP-0114. */
void component_handle_handshake(struct stream *stream, const struct xml_element *element);
void component_handle_element(struct stream *stream, const struct xml_element *element);

struct sm_enabled {
    bool may_resume;
    struct str id;
    uint32_t max_s;
};
void sm_write_enabled(struct buf *out, const struct sm_enabled *enabled);
/* `h` may be NULL. */
void sm_write_failed(struct buf *out, const char *condition, const uint32_t *h);

bool csi_is_offered(const struct stream *stream); /* c2s.client_state */
void csi_handle_active(struct stream *stream, const struct xml_element *element);
void csi_handle_inactive(struct stream *stream, const struct xml_element *element);
