/* See disk_uv.h. Thread: the loop. */
#include "disk_uv.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <raft/uv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "common/limits.h"
#include "common/log.h"

enum {
    CONNECT_RETRY_MS = 100, /* raft_uv waits 1000 and so decides how long a recovery takes. */
    KEEPALIVE_S = 5,
    HOST_MAX = QO_ADDRESS_MAX + 1,
    LITERAL_MAX = 32, /* 255.255.255.255:65535 */
    INTRODUCTION_MAX = QO_CLUSTER_ID_MAX + 1 + QO_ADDRESS_MAX + 1,
};

struct disk_uv {
    struct raft_io io;
    struct raft_uv_transport transport; /* What raft_uv sees. */
    struct raft_uv_transport tcp;       /* raft_uv's own, below it. */
    raft_uv_accept_cb accept;
    raft_uv_transport_close_cb closed;
    struct uv_loop_s *loop;
    const char *cluster_id, *address;
    unsigned peer_timeout_ms;
    char introduction[INTRODUCTION_MAX + 1];
    struct sockaddr_in own; /* Where it listens. */
    char listens_on[LITERAL_MAX];
};

/* One attempt to connect. */
struct attempt {
    struct raft_uv_connect below;
    struct disk_uv *disk;
    struct raft_uv_connect *request;
    raft_uv_connect_cb callback;
    raft_id id;
    unsigned port; /* Already ours. */
    uv_getaddrinfo_t lookup;
};

/* -- Addresses --------------------------------------------------------------------------------- */

/* Splits host:port; false unless the port leaves room for ours. `port_out` is already ours. */
static bool
split(const char *address, char host_out[HOST_MAX], unsigned *port_out)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address || (size_t)(colon - address) >= HOST_MAX) {
        return false;
    }
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (colon[1] < '1' || colon[1] > '9' || *end != '\0' || port > 65535 - DISK_UV_PORT_ADD) {
        return false;
    }
    memcpy(host_out, address, (size_t)(colon - address));
    host_out[colon - address] = '\0';
    *port_out = (unsigned)port + DISK_UV_PORT_ADD;
    return true;
}

bool
disk_uv_address_valid(const char *address)
{
    char host[HOST_MAX];
    unsigned port;
    return strlen(address) <= QO_ADDRESS_MAX && split(address, host, &port);
}

static void
literal(const struct sockaddr *name, unsigned port, char out[LITERAL_MAX])
{
    struct sockaddr_in ipv4;
    char host[16];
    memcpy(&ipv4, name, sizeof ipv4);
    (void)uv_ip4_name(&ipv4, host, sizeof host);
    (void)snprintf(out, LITERAL_MAX, "%s:%u", host, port);
}

static const struct addrinfo ipv4_only = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};

/* 0 if it could listen at `own` now, else why not: an errno. */
static int
probe(const struct sockaddr_in *own)
{
    int yes = 1, failed = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
        bind(fd, (const struct sockaddr *)own, sizeof *own) != 0) {
        failed = errno;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return failed;
}

/* Looks the address up. 0, or what gai_strerror() explains. `own_out` has our port. */
static int
resolve(const char *address, struct sockaddr_in *own_out)
{
    char host[HOST_MAX];
    unsigned port;
    struct addrinfo *found = NULL;
    if (!split(address, host, &port)) {
        qo_fatal(FATAL_CONFIG, "'%s' is no host:port", address);
    }
    int failed = getaddrinfo(host, NULL, &ipv4_only, &found);
    if (failed == 0) {
        memcpy(own_out, found->ai_addr, sizeof *own_out);
        own_out->sin_port = htons((uint16_t)port);
        freeaddrinfo(found);
    }
    return failed;
}

bool
disk_uv_can_listen(const char *address, char *text_out, size_t text_size)
{
    struct sockaddr_in own;
    int failed = resolve(address, &own);
    if (failed != 0) {
        (void)snprintf(text_out, text_size, "cannot listen on %s: %s", address,
                       gai_strerror(failed));
        return false;
    }
    const unsigned log_port = ntohs(own.sin_port);
    const unsigned ports[2] = {log_port - DISK_UV_PORT_ADD, log_port};
    static const char *const uses[2] = {"clients", "members"};
    for (int i = 0; i < 2; i++) {
        char where[LITERAL_MAX];
        own.sin_port = htons((uint16_t)ports[i]);
        failed = probe(&own);
        if (failed != 0) {
            literal((const struct sockaddr *)&own, ports[i], where);
            (void)snprintf(text_out, text_size, "cannot listen for %s on %s: %s", uses[i], where,
                           strerror(failed));
            return false;
        }
    }
    return true;
}

/* -- Streams ----------------------------------------------------------------------------------- */

/* Without TCP_NODELAY small messages wait for delayed acks (measured: p99 of 47 ms for 5). A peer
 * that takes nothing for a while must not hold what is queued for it for ever (B4). */
static void
tune(const struct disk_uv *disk, struct uv_stream_s *stream)
{
    uv_tcp_t *tcp = (uv_tcp_t *)stream;
    uv_os_fd_t fd;
    (void)uv_tcp_nodelay(tcp, 1);
    (void)uv_tcp_keepalive(tcp, 1, KEEPALIVE_S);
    if (uv_fileno((const uv_handle_t *)stream, &fd) == 0) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &disk->peer_timeout_ms,
                         sizeof disk->peer_timeout_ms);
    }
}

static void
freed(uv_handle_t *handle)
{
    raft_free(handle);
}

static void
accepted(struct raft_uv_transport *tcp, raft_id id, const char *introduction,
         struct uv_stream_s *stream)
{
    static struct log_limit limit;
    struct disk_uv *disk = tcp->data;
    size_t prefix = strlen(disk->cluster_id);
    if (strncmp(introduction, disk->cluster_id, prefix) != 0 || introduction[prefix] != '@') {
        log_limited(&limit, LOG_WARN, "peer_refused", "id=%llu says=\"%.100s\" reason=cluster", id,
                    introduction);
        uv_close((uv_handle_t *)stream, freed);
        return;
    }
    tune(disk, stream);
    disk->accept(&disk->transport, id, introduction + prefix + 1, stream);
}

static void
connected(struct raft_uv_connect *below, struct uv_stream_s *stream, int status)
{
    struct attempt *attempt = below->data;
    if (status == 0) {
        tune(attempt->disk, stream);
    }
    attempt->callback(attempt->request, stream, status);
    mem_free(attempt);
}

/* -- raft_uv_transport ------------------------------------------------------------------------- */

static int
transport_init(struct raft_uv_transport *transport, raft_id id, const char *address)
{
    struct disk_uv *disk = transport->impl;
    (void)address;
    return disk->tcp.init(&disk->tcp, id, disk->introduction);
}

static int
transport_listen(struct raft_uv_transport *transport, raft_uv_accept_cb callback)
{
    struct disk_uv *disk = transport->impl;
    disk->accept = callback;
    int status = disk->tcp.listen(&disk->tcp, accepted);
    if (status != 0) { /* libraft says no more than "I/O error". */
        int failed = probe(&disk->own);
        qo_fatal(FATAL_NETWORK, "cannot listen for members on %s: %s", disk->listens_on,
                 failed != 0 ? strerror(failed) : raft_strerror(status));
    }
    return 0;
}

static int
connect_literal(struct attempt *attempt, const char *where)
{
    struct disk_uv *disk = attempt->disk;
    attempt->below.data = attempt;
    return disk->tcp.connect(&disk->tcp, &attempt->below, attempt->id, where, connected);
}

static void
looked_up(uv_getaddrinfo_t *lookup, int status, struct addrinfo *found)
{
    struct attempt *attempt = lookup->data;
    char where[LITERAL_MAX];
    int result = RAFT_NOCONNECTION;
    if (status == 0 && found != NULL) {
        literal(found->ai_addr, attempt->port, where);
        result = connect_literal(attempt, where);
    }
    uv_freeaddrinfo(found);
    if (result != 0) {
        connected(&attempt->below, NULL, result);
    }
}

static int
transport_connect(struct raft_uv_transport *transport, struct raft_uv_connect *request, raft_id id,
                  const char *address, raft_uv_connect_cb callback)
{
    struct disk_uv *disk = transport->impl;
    char host[HOST_MAX], where[LITERAL_MAX];
    unsigned port;
    struct sockaddr_in ipv4;
    if (!split(address, host, &port)) {
        return RAFT_INVALID;
    }
    struct attempt *attempt = mem_zalloc(sizeof *attempt);
    *attempt = (struct attempt){.disk = disk, .request = request, .id = id, .port = port};
    attempt->callback = callback;
    attempt->below.data = attempt;
    attempt->lookup.data = attempt;
    int status;
    if (uv_ip4_addr(host, (int)port, &ipv4) == 0) {
        (void)snprintf(where, sizeof where, "%.15s:%u", host, port);
        status = connect_literal(attempt, where);
    } else { /* A name is looked up each time: its address may change. */
        status = uv_getaddrinfo(disk->loop, &attempt->lookup, looked_up, host, NULL, &ipv4_only);
        status = status == 0 ? 0 : RAFT_NOCONNECTION;
    }
    if (status != 0) {
        mem_free(attempt);
    }
    return status;
}

static void
tcp_closed(struct raft_uv_transport *tcp)
{
    struct disk_uv *disk = tcp->data;
    disk->closed(&disk->transport);
}

static void
transport_close(struct raft_uv_transport *transport, raft_uv_transport_close_cb callback)
{
    struct disk_uv *disk = transport->impl;
    disk->closed = callback;
    disk->tcp.close(&disk->tcp, tcp_closed);
}

/* -- Opening ----------------------------------------------------------------------------------- */

static void
quiet(struct raft_tracer *tracer, const char *file, int line, const char *message)
{
    (void)tracer;
    (void)file;
    (void)line;
    (void)message;
}

static void
configure(struct raft_io *io)
{
    static struct raft_tracer tracer = {.enabled = false, .emit = quiet};
    raft_uv_set_tracer(io, &tracer);
    raft_uv_set_auto_recovery(io, false); /* It moves damaged segments away and votes on (B17). */
    (void)raft_uv_set_snapshot_compression(io, false);
    raft_uv_set_connect_retry_delay(io, CONNECT_RETRY_MS);
}

static void
find_own_address(struct disk_uv *disk)
{
    int failed = resolve(disk->address, &disk->own);
    if (failed != 0) {
        qo_fatal(FATAL_NETWORK, "own address '%s': %s", disk->address, gai_strerror(failed));
    }
    literal((const struct sockaddr *)&disk->own, ntohs(disk->own.sin_port), disk->listens_on);
}

struct raft_io *
disk_uv_open(const struct disk_uv_options *options)
{
    struct disk_uv *disk = mem_zalloc(sizeof *disk);
    disk->loop = options->loop;
    disk->cluster_id = options->cluster_id;
    disk->address = options->address;
    disk->peer_timeout_ms = options->peer_timeout_ms;
    (void)snprintf(disk->introduction, sizeof disk->introduction, "%s@%s", disk->cluster_id,
                   disk->address);
    find_own_address(disk);
    int status = raft_uv_tcp_init(&disk->tcp, disk->loop);
    if (status == 0) {
        status = raft_uv_tcp_set_bind_address(&disk->tcp, disk->listens_on);
    }
    disk->tcp.data = disk;
    disk->transport = (struct raft_uv_transport){
        .impl = disk,
        .init = transport_init,
        .listen = transport_listen,
        .connect = transport_connect,
        .close = transport_close,
    };
    if (status == 0) {
        status = raft_uv_init(&disk->io, disk->loop, options->directory, &disk->transport);
    }
    if (status != 0) {
        qo_fatal(FATAL_DIRECTORY, "cannot open the log in %s: %s: %s", options->directory,
                 raft_strerror(status), disk->io.errmsg);
    }
    configure(&disk->io);
    return &disk->io;
}

void
disk_uv_freshen(void *context)
{
    uv_update_time(context);
}

static void
io_closed(struct raft_io *io)
{
    (void)io;
}

bool
disk_uv_bootstrap(const char *directory, const struct raft_configuration *configuration, raft_id id,
                  char *text_out, size_t text_size)
{
    uv_loop_t loop;
    struct raft_uv_transport tcp = {0};
    struct raft_io io = {0};
    if (uv_loop_init(&loop) != 0) {
        (void)snprintf(text_out, text_size, "no event loop");
        return false;
    }
    int status = raft_uv_tcp_init(&tcp, &loop);
    QO_ASSERT(status == 0);
    status = raft_uv_init(&io, &loop, directory, &tcp);
    if (status == 0) {
        configure(&io);
        status = io.init(&io, id, "127.0.0.1:1");
        status = status == 0 ? io.bootstrap(&io, configuration) : status;
        io.close(&io, io_closed);
        (void)uv_run(&loop, UV_RUN_DEFAULT);
        raft_uv_close(&io);
    }
    if (status != 0) {
        (void)snprintf(text_out, text_size, "%s: %.*s", raft_strerror(status), 200, io.errmsg);
    }
    raft_uv_tcp_close(&tcp);
    (void)uv_loop_close(&loop);
    return status == 0;
}
