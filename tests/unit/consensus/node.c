/* See node.h. Thread: the test's above the line, the node's loop below it. */
#include "node.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

#include "common/assert.h"
#include "common/clock.h"
#include "common/hash.h"
#include "common/log.h"

enum { WAIT_END_MS = 60000, IN_FLIGHT = 4 };

/* -- In the node's process --------------------------------------------------------------------- */

/* What survives a crash: as of the last checkpoint. */
struct durable {
    uint64_t index, term, count, hash;
};

struct process {
    struct consensus *consensus;
    uv_poll_t poll, listening;
    int socket, listener;
    char state_path[256];
    bool room;
    uint64_t leaderships;
    struct node_command proposing; /* `count` counts down. */
    uint32_t in_flight;
    uint64_t committed;
    enum qo_error worst;
    uint64_t proposed; /* Makes entries differ. */
    struct node_command reading;
    /* Executed by the loop, checkpointed by a pool thread. */
    pthread_mutex_t mutex;
    struct durable state;
};

static void
answer(struct process *process, const struct node_command *command, enum qo_error status,
       uint64_t index)
{
    (void)pthread_mutex_lock(&process->mutex);
    struct durable state = process->state;
    (void)pthread_mutex_unlock(&process->mutex);
    struct node_answer out = {
        .number = command->number,
        .status = status,
        .index = index,
        .committed = process->committed,
        .executed_index = state.index,
        .executed_count = state.count,
        .hash = state.hash,
        .leaderships = process->leaderships,
    };
    consensus_status(process->consensus, &out.consensus);
    QO_ASSERT(send(process->socket, &out, sizeof out, 0) == (ssize_t)sizeof out);
}

static bool
room(void *context, size_t size)
{
    const struct process *process = context;
    QO_ASSERT(size % 8 == 0);
    return process->room;
}

static void
deliver(void *context, uint64_t index, uint64_t term, struct bytes entry)
{
    struct process *process = context;
    uint8_t before[8];
    QO_ASSERT(process->room && index > process->state.index);
    (void)pthread_mutex_lock(&process->mutex);
    process->state.index = index;
    process->state.term = term;
    if (entry.data != NULL) { /* Else the log's own. */
        put_le64(before, process->state.hash);
        process->state.hash =
            hash_crc32c_more(hash_crc32c(bytes_make(before, sizeof before)), entry);
        process->state.count++;
    }
    (void)pthread_mutex_unlock(&process->mutex);
}

static void
leadership(void *context, bool ready, uint64_t term)
{
    struct process *process = context;
    (void)term;
    process->leaderships += ready ? 1 : 0;
}

static bool
checkpoint(void *context, uint64_t index, uint64_t term, struct buf *manifest_out,
           uint64_t *applied_out)
{
    struct process *process = context;
    char fresh[300];
    (void)pthread_mutex_lock(&process->mutex);
    struct durable state = process->state;
    (void)pthread_mutex_unlock(&process->mutex);
    QO_ASSERT(state.index >= index && QO_IMPLIES(state.index == index, state.term == term));
    (void)snprintf(fresh, sizeof fresh, "%s.new", process->state_path);
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool made = fd >= 0 && write(fd, &state, sizeof state) == (ssize_t)sizeof state &&
                fsync(fd) == 0 && rename(fresh, process->state_path) == 0;
    (void)close(fd);
    buf_append(manifest_out, &state.hash, sizeof state.hash);
    *applied_out = state.index;
    return made;
}

static void
restore(void *context, struct bytes manifest, uint64_t index)
{
    const struct process *process = context;
    QO_ASSERT(manifest.size == 8 && process->state.index >= index);
}

static uint64_t
executed(void *context)
{
    const struct process *process = context;
    return process->state.index;
}

static void propose_more(struct process *process);

static void
proposed(void *context, enum qo_error status)
{
    struct process *process = context;
    process->in_flight--;
    process->committed += status == QO_OK ? 1 : 0;
    process->worst = status == QO_OK ? process->worst : status;
    propose_more(process);
    if (process->in_flight == 0 && process->proposing.count == 0) {
        answer(process, &process->proposing, process->worst, 0);
    }
}

static void
propose_more(struct process *process)
{
    while (process->in_flight < IN_FLIGHT && process->proposing.count > 0) {
        struct buf entry = {0};
        process->proposed++;
        buf_put_le64(&entry, process->proposed);
        buf_put_le64(&entry, (uint64_t)getpid());
        while (entry.size < process->proposing.size) {
            buf_put_u8(&entry, (uint8_t)entry.size);
        }
        enum qo_error error =
            consensus_propose(process->consensus, buf_bytes(&entry), proposed, process);
        buf_free(&entry);
        if (error != QO_OK) {
            process->worst = error;
            process->proposing.count = 0;
            return;
        }
        process->proposing.count--;
        process->in_flight++;
    }
}

static void
read_done(void *context, enum qo_error status, uint64_t index)
{
    struct process *process = context;
    process->worst = status == QO_OK ? process->worst : status;
    process->reading.count--;
    if (process->reading.count == 0) {
        answer(process, &process->reading, process->worst, index);
    }
}

static void
read_all(struct process *process, const struct node_command *command)
{
    uint32_t count = command->count;
    process->reading = *command;
    process->worst = QO_OK;
    for (uint32_t i = 0; i < count; i++) {
        enum qo_error error = consensus_read_point(process->consensus, read_done, process);
        if (error != QO_OK) {
            read_done(process, error, 0);
        }
    }
}

static void
obey(uv_poll_t *poll, int status, int events)
{
    struct process *process = poll->data;
    struct node_command command;
    (void)events;
    if (status != 0 ||
        recv(process->socket, &command, sizeof command, MSG_DONTWAIT) != (ssize_t)sizeof command) {
        _exit(0); /* The test has ended. */
    }
    switch (command.kind) {
    case NODE_STATUS:
        answer(process, &command, QO_OK, 0);
        break;
    case NODE_PROPOSE:
        process->proposing = command;
        process->worst = QO_OK;
        process->committed = 0;
        propose_more(process);
        if (process->in_flight == 0) {
            answer(process, &command, process->worst, 0);
        }
        break;
    case NODE_READ:
        read_all(process, &command);
        break;
    case NODE_ROOM:
        process->room = command.count != 0;
        consensus_resume(process->consensus);
        answer(process, &command, QO_OK, 0);
        break;
    }
}

/* What the server does for links: each connection here is a member's. */
static void
accept_links(uv_poll_t *poll, int status, int events)
{
    struct process *process = poll->data;
    (void)events;
    QO_ASSERT(status == 0);
    int fd = accept(process->listener, NULL, NULL);
    if (fd >= 0) {
        consensus_accept_link(process->consensus, fd, BYTES_NONE);
    }
}

static void
listen_for_links(struct process *process, uv_loop_t *loop, uint32_t id)
{
    const struct consensus_identity *identity = consensus_identity(process->consensus);
    const char *address = identity->members[id - 1].address;
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int yes = 1;
    where.sin_port = htons((uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10));
    process->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    QO_ASSERT(setsockopt(process->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0);
    if (bind(process->listener, (const struct sockaddr *)&where, sizeof where) != 0) {
        qo_fatal(FATAL_NETWORK, "cannot listen on %s: %s", address, strerror(errno));
    }
    QO_ASSERT(listen(process->listener, 16) == 0);
    process->listening.data = process;
    QO_ASSERT(uv_poll_init(loop, &process->listening, process->listener) == 0);
    QO_ASSERT(uv_poll_start(&process->listening, UV_READABLE, accept_links) == 0);
}

static void
load_state(struct process *process, const struct node *node)
{
    (void)snprintf(process->state_path, sizeof process->state_path, "%s/state", node->directory);
    int fd = open(process->state_path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        QO_ASSERT(read(fd, &process->state, sizeof process->state) ==
                  (ssize_t)sizeof process->state);
        (void)close(fd);
    }
}

static _Noreturn void
run(const struct node *node, int socket)
{
    static struct process process = {.mutex = PTHREAD_MUTEX_INITIALIZER, .room = true};
    uv_loop_t loop;
    consensus_prepare_process();
    log_set_level(getenv("QO_TEST_LOG") != NULL ? LOG_DEBUG : LOG_ERROR);
    log_set_node(node->id);
    QO_ASSERT(uv_loop_init(&loop) == 0);
    load_state(&process, node);
    process.socket = socket;
    struct consensus_options options = {
        .directory = node->directory,
        .loop = &loop,
        .log_bytes_max = node->log_bytes_max,
        .election_ms = 1000, /* A sanitizer's build on a busy machine stands still for a while. */
        .client = {&process, room, deliver, leadership, checkpoint, restore, executed},
    };
    process.consensus = consensus_open(&options);
    listen_for_links(&process, &loop, node->id);
    uint64_t applied = node->claim_applied != 0 ? node->claim_applied : process.state.index;
    consensus_start(process.consensus, applied, process.state.term);
    process.poll.data = &process;
    QO_ASSERT(uv_poll_init(&loop, &process.poll, socket) == 0);
    QO_ASSERT(uv_poll_start(&process.poll, UV_READABLE, obey) == 0);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    _exit(1);
}

/* -- In the test's process --------------------------------------------------------------------- */

/* In a process of its own, so that the test never has threads: it forks. */
static void
make_directory(const char *directory, const struct consensus_identity *identity)
{
    int status = -1;
    pid_t child = fork();
    QO_ASSERT(child >= 0);
    if (child == 0) {
        char text[CONSENSUS_TEXT_MAX] = "";
        bool made = consensus_init_directory(directory, identity, text);
        (void)fputs(made ? "" : text, stderr);
        _exit(made ? 0 : 1);
    }
    QO_ASSERT(waitpid(child, &status, 0) == child && status == 0);
}

void
node_make_all(struct node *nodes, uint32_t count, const char *root, uint16_t port)
{
    struct consensus_identity identity = {
        .cluster_id = "test", .shards = 16, .epoch = 1, .members_count = count};
    for (uint32_t i = 0; i < count; i++) {
        identity.members[i].id = i + 1;
        (void)snprintf(identity.members[i].address, sizeof identity.members[i].address,
                       "127.0.0.1:%u", port + i);
    }
    for (uint32_t i = 0; i < count; i++) {
        nodes[i] = (struct node){.id = i + 1};
        (void)snprintf(nodes[i].directory, sizeof nodes[i].directory, "%s/%u", root, i + 1);
        identity.node_id = i + 1;
        make_directory(nodes[i].directory, &identity);
    }
}

void
node_start(struct node *node)
{
    int sockets[2];
    QO_PRE(node->pid == 0);
    QO_ASSERT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
    node->pid = fork();
    QO_ASSERT(node->pid >= 0);
    if (node->pid == 0) {
        (void)close(sockets[0]);
        run(node, sockets[1]);
    }
    (void)close(sockets[1]);
    node->socket = sockets[0];
}

static void
ended(struct node *node)
{
    (void)close(node->socket);
    node->pid = 0;
}

void
node_signal(struct node *node, int signal)
{
    QO_PRE(node->pid > 0);
    (void)kill(node->pid, signal);
    if (signal == SIGKILL) {
        (void)waitpid(node->pid, NULL, 0);
        ended(node);
    }
}

int
node_wait(struct node *node)
{
    struct pollfd poll_end = {.fd = node->socket, .events = POLLIN};
    int status = 0;
    if (poll(&poll_end, 1, WAIT_END_MS) != 1) {
        node_signal(node, SIGKILL);
        return -1;
    }
    (void)waitpid(node->pid, &status, 0);
    ended(node);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool
node_ask(struct node *node, enum node_command_kind kind, uint32_t count, uint32_t size, int wait_ms,
         struct node_answer *answer_out)
{
    struct node_command command = {kind, ++node->number, count, size};
    struct pollfd poll_answer = {.fd = node->socket, .events = POLLIN};
    int64_t until_us = clock_monotonic_us() + (int64_t)wait_ms * 1000;
    if (send(node->socket, &command, sizeof command, MSG_NOSIGNAL) != (ssize_t)sizeof command) {
        return false;
    }
    for (;;) {
        int64_t left_us = until_us - clock_monotonic_us();
        if (left_us <= 0 || poll(&poll_answer, 1, (int)(left_us / 1000) + 1) != 1) {
            return false;
        }
        ssize_t got = recv(node->socket, answer_out, sizeof *answer_out, 0);
        if (got != (ssize_t)sizeof *answer_out) {
            return false;
        }
        if (answer_out->number == command.number) {
            return true;
        }
    }
}
