/* The stream features and their steps: what each advertises, and what it does with the elements
 * that stream_states.c hands it. */
#pragma once

#include "chassis/base/buf.h"

struct stream;
struct xml_element;

struct stream_feature {
    const char *name;
    /* Writes the feature into <stream:features/> if this stream may use it now. */
    void (*advertise)(struct stream *stream, struct buf *out);
};

extern const struct stream_feature feature_starttls; /* RFC 6120 §5 */
extern const struct stream_feature feature_sasl;     /* RFC 6120 §6, XEP-0440 */
extern const struct stream_feature feature_register; /* XEP-0077 §8 */
extern const struct stream_feature feature_limits;   /* XEP-0478 */
extern const struct stream_feature feature_bind;     /* RFC 6120 §7 */
extern const struct stream_feature feature_sm;       /* XEP-0198 */
extern const struct stream_feature feature_csi;      /* XEP-0352 */
extern const struct stream_feature feature_roster;   /* RFC 6121 §2.6, §3.4 */
extern const struct stream_feature feature_session;  /* RFC 3921 §3, a no-op since RFC 6121 */

void starttls_begin(struct stream *stream, const struct xml_element *element);
void starttls_refuse(struct stream *stream, const struct xml_element *element); /* B02 */

void sasl_handle_auth(struct stream *stream, const struct xml_element *element);
void sasl_handle_response(struct stream *stream, const struct xml_element *element);
void sasl_handle_abort(struct stream *stream, const struct xml_element *element);
/* A failure was held back (sasl_failure_delay); now it is told. */
void sasl_tell_failure(struct stream *stream);

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

void csi_handle_active(struct stream *stream, const struct xml_element *element);
void csi_handle_inactive(struct stream *stream, const struct xml_element *element);
