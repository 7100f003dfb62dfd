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

/* ---- all digests, one after the other, so that one registration is one place in the queue */

struct set {
    struct password_work *work;
    struct verifier verifiers[VERIFIERS];
    int next;
    char *password;
    size_t password_len;
    password_derived_all done;
    void *context;
};

static void set_finish(struct set *set, bool is_complete)
{
    set->done(set->context, is_complete ? set->verifiers : NULL);
    secret_wipe(set->password, set->password_len);
    free(set->password);
    secret_wipe(set, sizeof(*set));
    free(set);
}

static void on_one(void *context, const struct verifier *verifier);

static enum err set_step(struct set *set)
{
    return password_derive(set->work,
            (enum digest)set->next,
            str_from(set->password, set->password_len),
            &set->verifiers[set->next],
            on_one,
            set);
}

static void on_one(void *context, const struct verifier *verifier)
{
    struct set *set = context;
    set->verifiers[set->next++] = *verifier;
    if (set->next == VERIFIERS) {
        set_finish(set, true);
    } else if (set_step(set) != ERR_OK) {
        set_finish(set, false);
    }
}

enum err password_derive_all(struct password_work *work,
        struct str password,
        uint32_t iterations,
        password_derived_all done,
        void *context)
{
    struct set *set = MEM_NEW(struct set);
    set->work = work;
    set->password = str_to_cstr(password);
    set->password_len = password.len;
    set->done = done;
    set->context = context;
    for (int i = 0; i < VERIFIERS; i++) {
        set->verifiers[i].iterations = iterations;
        set->verifiers[i].salt_len = sizeof(set->verifiers[i].salt);
        random_bytes(set->verifiers[i].salt, sizeof(set->verifiers[i].salt));
    }
    enum err err = set_step(set);
    if (err != ERR_OK) {
        secret_wipe(set->password, set->password_len);
        free(set->password);
        free(set);
    }
    return err;
}
