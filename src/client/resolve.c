/* Addresses from names; see client.h. Thread: I/O, and the resolver's own as marked. */
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "common/assert.h"

enum job_state { JOB_NONE, JOB_WANTED, JOB_RUNNING, JOB_DONE };

/* One per node; all of it under the client's lock. */
struct job {
    enum job_state state;
    char host[QO_ADDRESS_MAX + 1], port[6];
    struct sockaddr_storage sockets[NODE_SOCKETS_MAX];
    uint32_t sockets_count;
};

struct resolver {
    struct qo_client *client;
    pthread_t thread;
    pthread_cond_t wanted;
    bool stopping;
    struct job jobs[QO_CLIENT_NODES_MAX];
};

/* Looks up; blocks unless the host is a number and `flags` say so. */
static uint32_t
look_up(const char *host, const char *port, int flags, struct sockaddr_storage *sockets_out)
{
    const struct addrinfo hints = {
        .ai_flags = flags | AI_NUMERICSERV, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    uint32_t count = 0;
    if (getaddrinfo(host, port, &hints, &found) != 0) {
        return 0;
    }
    for (const struct addrinfo *one = found; one != NULL && count < NODE_SOCKETS_MAX;
         one = one->ai_next) {
        if (one->ai_addrlen <= sizeof sockets_out[count]) {
            memset(&sockets_out[count], 0, sizeof sockets_out[count]);
            memcpy(&sockets_out[count], one->ai_addr, one->ai_addrlen);
            count++;
        }
    }
    freeaddrinfo(found);
    return count;
}

static struct job *
next_job(struct resolver *resolver)
{
    for (uint32_t i = 0; i < QO_CLIENT_NODES_MAX; i++) {
        if (resolver->jobs[i].state == JOB_WANTED) {
            return &resolver->jobs[i];
        }
    }
    return NULL;
}

/* Thread: the resolver's. */
static void *
resolve(void *context)
{
    struct resolver *resolver = context;
    pthread_mutex_t *lock = &resolver->client->lock;
    (void)pthread_mutex_lock(lock);
    while (!resolver->stopping) {
        struct job *job = next_job(resolver);
        if (job == NULL) {
            (void)pthread_cond_wait(&resolver->wanted, lock);
            continue;
        }
        struct sockaddr_storage sockets[NODE_SOCKETS_MAX];
        char host[sizeof job->host], port[sizeof job->port];
        memcpy(host, job->host, sizeof host);
        memcpy(port, job->port, sizeof port);
        job->state = JOB_RUNNING;
        (void)pthread_mutex_unlock(lock);
        uint32_t count = look_up(host, port, 0, sockets);
        (void)pthread_mutex_lock(lock);
        memcpy(job->sockets, sockets, count * sizeof sockets[0]);
        job->sockets_count = count;
        job->state = JOB_DONE;
        client_wake(resolver->client);
    }
    (void)pthread_mutex_unlock(lock);
    return NULL;
}

/* NULL: no thread is to be had; the name counts as unknown, and is tried again later. */
static struct resolver *
resolver_of(struct qo_client *client)
{
    if (client->resolver != NULL) {
        return client->resolver;
    }
    struct resolver *resolver = mem_zalloc(sizeof *resolver);
    resolver->client = client;
    (void)pthread_cond_init(&resolver->wanted, NULL);
    if (pthread_create(&resolver->thread, NULL, resolve, resolver) != 0) {
        (void)pthread_cond_destroy(&resolver->wanted);
        mem_free(resolver);
        return NULL;
    }
    client->resolver = resolver;
    return resolver;
}

bool
resolve_start(struct node *node, const char *host, const char *port)
{
    struct qo_client *client = node->client;
    node->sockets_next = 0;
    node->sockets_count = look_up(host, port, AI_NUMERICHOST, node->sockets);
    if (node->sockets_count > 0) {
        return true;
    }
    struct resolver *resolver = resolver_of(client);
    if (resolver == NULL) {
        return true;
    }
    (void)pthread_mutex_lock(&client->lock);
    struct job *job = &resolver->jobs[node - client->nodes];
    QO_ASSERT(job->state == JOB_NONE);
    (void)snprintf(job->host, sizeof job->host, "%s", host);
    (void)snprintf(job->port, sizeof job->port, "%s", port);
    job->state = JOB_WANTED;
    (void)pthread_cond_signal(&resolver->wanted);
    (void)pthread_mutex_unlock(&client->lock);
    return false;
}

void
resolve_collect(struct qo_client *client)
{
    struct resolver *resolver = client->resolver;
    for (uint32_t i = 0; resolver != NULL && i < QO_CLIENT_NODES_MAX; i++) {
        struct node *node = &client->nodes[i];
        struct job *job = &resolver->jobs[i];
        if (node->state != NODE_RESOLVING) {
            continue;
        }
        (void)pthread_mutex_lock(&client->lock);
        bool done = job->state == JOB_DONE;
        if (done) {
            memcpy(node->sockets, job->sockets, sizeof node->sockets);
            node->sockets_count = job->sockets_count;
            job->state = JOB_NONE;
        }
        (void)pthread_mutex_unlock(&client->lock);
        if (done) {
            node_resolved(node);
        }
    }
}

void
resolve_stop(struct qo_client *client)
{
    struct resolver *resolver = client->resolver;
    if (resolver == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&client->lock);
    resolver->stopping = true;
    (void)pthread_cond_signal(&resolver->wanted);
    (void)pthread_mutex_unlock(&client->lock);
    (void)pthread_join(resolver->thread, NULL);
    (void)pthread_cond_destroy(&resolver->wanted);
    client->resolver = NULL;
    mem_free(resolver);
}
