/* Counters of streams, stanzas and authentications. */
#include "edge/stream_metrics.h"

#include "chassis/metrics.h"

static struct metric preauth =
        METRIC_GAUGE_INIT("preauth_connections", "Connections without a bound resource.", NULL);
static struct metric_family accepts = {
    .name = "accepts_total", .help = "Accepted connections.", .label = "kind"
};
static struct metric_family errors_out = {
    .name = "stream_errors_out_total", .help = "Stream errors sent.", .label = "condition"
};
static struct metric errors_in =
        METRIC_COUNTER_INIT("stream_errors_in_total", "Stream errors received.", NULL);
static struct metric_family ends = {
    .name = "transport_ends_total", .help = "Connections ended by the other side.", .label = "how"
};
static struct metric_family stanzas_in = {
    .name = "stanzas_in_total", .help = "Stanzas from clients.", .label = "kind"
};
static struct metric_family stanzas_out = {
    .name = "stanzas_out_total", .help = "Stanzas to clients.", .label = "kind"
};
static struct metric_family sasl_results = {
    .name = "sasl_total", .help = "Ends of authentications.", .label = "result"
};
static struct metric_family sasl_mechanisms_used = {
    .name = "sasl_success_total", .help = "Successful authentications.", .label = "mechanism"
};
static struct metric binding_mismatches = METRIC_COUNTER_INIT("cb_mismatch_total",
        "Channel bindings that did not match, or downgrades: a possible attack on TLS.",
        NULL);

static struct metric sm_enabled =
        METRIC_COUNTER_INIT("sm_enabled_total", "Sessions that enabled stream management.", NULL);
static struct metric_family sm_resumes = {
    .name = "sm_resume_total", .help = "Answers to <resume/>.", .label = "result"
};

static struct metric sni_mismatches = METRIC_COUNTER_INIT(
        "sni_mismatch_total", "Streams to another host than the name given in TLS.", NULL);

static const char *const end_names[] = {
    [TRANSPORT_CLOSED] = "closed",
    [TRANSPORT_RESET] = "reset",
    [TRANSPORT_TLS_FAILED] = "tls-failed",
    [TRANSPORT_OVERFLOW] = "overflow",
    [TRANSPORT_FLOOD] = "flood",
};

void stream_metrics_register(void)
{
    metric_register(&preauth);
    metric_register(&errors_in);
    metric_register(&binding_mismatches);
    metric_register(&sni_mismatches);
    metric_register(&sm_enabled);
    metric_family_add(&sm_resumes, "resumed", 0);
    metric_family_add(&sm_resumes, "item-not-found", 0);
    for (int kind = STANZA_MESSAGE; kind <= STANZA_IQ; kind++) {
        metric_family_add(&stanzas_in, stanza_kind_name((enum stanza_kind)kind), 0);
        metric_family_add(&stanzas_out, stanza_kind_name((enum stanza_kind)kind), 0);
    }
}

void stream_metrics_preauth(uint32_t count)
{
    metric_set(&preauth, count);
}

void stream_metrics_accepted(enum listener_kind kind)
{
    metric_family_add(&accepts, listener_kind_name(kind), 1);
}

void stream_metrics_error_out(enum stream_condition condition)
{
    metric_family_add(&errors_out, stream_condition_name(condition), 1);
}

void stream_metrics_error_in(void)
{
    metric_add(&errors_in, 1);
}

void stream_metrics_end(enum transport_end end)
{
    metric_family_add(&ends, end_names[end], 1);
}

void stream_metrics_stanza(enum stanza_kind kind, bool is_inbound)
{
    metric_family_add(is_inbound ? &stanzas_in : &stanzas_out, stanza_kind_name(kind), 1);
}

void stream_metrics_sasl(const char *mechanism, enum sasl_condition result)
{
    metric_family_add(
            &sasl_results, result == SASL_OK ? "success" : sasl_condition_name(result), 1);
    if (result == SASL_OK) {
        metric_family_add(&sasl_mechanisms_used, mechanism, 1);
    }
}

void stream_metrics_sm_enabled(void)
{
    metric_add(&sm_enabled, 1);
}

void stream_metrics_sm_resume(const char *result)
{
    metric_family_add(&sm_resumes, result, 1);
}

void stream_metrics_binding_mismatch(void)
{
    metric_add(&binding_mismatches, 1);
}

void stream_metrics_sni_mismatch(void)
{
    metric_add(&sni_mismatches, 1);
}
