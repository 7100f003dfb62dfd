/* A queue in front of loop_offload. */
#include "router/password_work.h"

#include "chassis/base/mem.h"
#include "chassis/loop.h"
#include "chassis/metrics.h"
#include "proto/xmpp/scram.h"

#define MAX_RUNNING 3 /* of libuv's four threads: name resolution and files need one */
#define MAX_WAITING 1000

static struct metric metric_refused = METRIC_COUNTER_INIT(
        "password_work_refused_total", "Password checks refused: too many waited.", NULL);

struct job {
    struct password_work *work;
    enum digest digest;
    char *password;
    size_t password_len;
    struct verifier verifier;
    password_derived done;
    void *context;
    struct job *next;
};

struct password_work {
    struct loop *loop;
    struct job *first;
    struct job **end;
    size_t waiting;
    size_t running;
};

struct password_work *password_work_create(struct loop *loop)
{
    struct password_work *work = MEM_NEW(struct password_work);
    work->loop = loop;
    work->end = &work->first;
    metric_register(&metric_refused);
    return work;
}

static void job_free(struct job *job)
{
    secret_wipe(job->password, job->password_len);
    secret_wipe(&job->verifier, sizeof(job->verifier));
    free(job->password);
    free(job);
}

void password_work_destroy(struct password_work *work)
{
    if (work == NULL) {
        return;
    }

    while (work->first != NULL) {
        struct job *job = work->first;
        work->first = job->next;
        job_free(job);
    }
    free(work);
}

static void derive(void *context)
{
    struct job *job = context;
    scram_derive(job->digest,
            str_from(job->password, job->password_len),
            str_from(job->verifier.salt, job->verifier.salt_len),
            job->verifier.iterations,
            job->verifier.stored_key,
            job->verifier.server_key);
}

static void start(struct password_work *work);

static void on_derived(void *context)
{
    struct job *job = context;
    struct password_work *work = job->work;
    work->running--;
    job->done(job->context, &job->verifier);
    job_free(job);
    start(work);
}

static void start(struct password_work *work)
{
    while (work->running < MAX_RUNNING && work->first != NULL) {
        struct job *job = work->first;
        work->first = job->next;
        if (work->first == NULL) {
            work->end = &work->first;
        }
        work->waiting--;
        work->running++;
        loop_offload(work->loop, derive, on_derived, job);
    }
}

enum err password_derive(struct password_work *work,
        enum digest digest,
        struct str password,
        const struct verifier *parameters,
        password_derived done,
        void *context)
{
    if (work->waiting >= MAX_WAITING) {
        metric_add(&metric_refused, 1);
        return ERR_LIMIT;
    }

    struct job *job = MEM_NEW(struct job);
    job->work = work;
    job->digest = digest;
    job->password = str_to_cstr(password);
    job->password_len = password.len;
    job->verifier.iterations = parameters->iterations;
    job->verifier.salt_len = parameters->salt_len;
    memcpy(job->verifier.salt, parameters->salt, parameters->salt_len);
    job->done = done;
    job->context = context;
    *work->end = job;
    work->end = &job->next;
    work->waiting++;
    start(work);
    return ERR_OK;
}
