/* See birth.h and consensus/consensus.h. Thread: any that runs no loop. */
#include "birth.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <raft.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/hash.h"
#include "common/log.h"
#include "io.h"
#include "links.h"

enum { FILE_MAX = 8192, FILE_HEAD = 8 };
static const uint32_t identity_magic = 0x314f4951; /* "QIO1" */
static const uint32_t boot_magic = 0x31425151;     /* "QQB1" */

void
birth_path(const char *directory, const char *name, char out[BIRTH_PATH_MAX])
{
    int size = snprintf(out, BIRTH_PATH_MAX, "%s/%s", directory, name);
    if (size < 0 || size >= BIRTH_PATH_MAX) {
        qo_fatal(FATAL_DIRECTORY, "the path %.200s... is too long", directory);
    }
}

/* -- Small checked files: magic, CRC-32C of the rest, the rest --------------------------------- */

static bool
sync_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return synced;
}

/* Replaces or makes DIRECTORY/NAME, whole or not at all, durably. */
static bool
write_checked(const char *directory, const char *name, uint32_t magic, struct bytes rest)
{
    char path[BIRTH_PATH_MAX], fresh[BIRTH_PATH_MAX];
    birth_path(directory, name, path);
    int size = snprintf(fresh, sizeof fresh, "%s.new", path);
    QO_ASSERT(size > 0 && size < BIRTH_PATH_MAX);
    uint8_t head[FILE_HEAD];
    put_le32(head, magic);
    put_le32(head + 4, hash_crc32c(rest));
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        return false;
    }
    bool written = write(fd, head, sizeof head) == (ssize_t)sizeof head &&
                   write(fd, rest.data, rest.size) == (ssize_t)rest.size && fsync(fd) == 0;
    written = close(fd) == 0 && written;
    return written && rename(fresh, path) == 0 && sync_directory(directory);
}

/* Reads what write_checked() wrote from an open file. False: damaged. */
static bool
read_checked(int fd, uint32_t magic, uint8_t file[FILE_MAX], struct bytes *rest_out)
{
    ssize_t size = pread(fd, file, FILE_MAX, 0);
    if (size < FILE_HEAD || size == FILE_MAX || get_le32(file) != magic) {
        return false;
    }
    *rest_out = bytes_make(file + FILE_HEAD, (size_t)size - FILE_HEAD);
    return get_le32(file + 4) == hash_crc32c(*rest_out);
}

/* -- Identity ---------------------------------------------------------------------------------- */

static void
identity_encode(const struct consensus_identity *identity, struct buf *buf)
{
    buf_put_bytes8(buf, bytes_text(identity->cluster_id));
    buf_put_le32(buf, identity->node_id);
    buf_put_le64(buf, identity->incarnation);
    buf_put_le32(buf, identity->shards);
    buf_put_le64(buf, identity->epoch);
    buf_put_le32(buf, identity->members_count);
    for (uint32_t i = 0; i < identity->members_count; i++) {
        buf_put_le32(buf, identity->members[i].id);
        buf_put_bytes16(buf, bytes_text(identity->members[i].address));
    }
}

static void
text_of(struct bytes bytes, size_t max, char *out, bool *failed)
{
    if (bytes.size > max || memchr(bytes.data, '\0', bytes.size) != NULL) {
        *failed = true;
        return;
    }
    memcpy(out, bytes.data, bytes.size);
    out[bytes.size] = '\0';
}

static bool
identity_decode(struct bytes bytes, struct consensus_identity *identity)
{
    struct cursor cursor = cursor_of(bytes);
    bool failed = false;
    *identity = (struct consensus_identity){0};
    struct bytes cluster_id = cursor_bytes8(&cursor);
    identity->node_id = cursor_le32(&cursor);
    identity->incarnation = cursor_le64(&cursor);
    identity->shards = cursor_le32(&cursor);
    identity->epoch = cursor_le64(&cursor);
    identity->members_count = cursor_le32(&cursor);
    if (cursor.failed || identity->members_count > QO_MEMBERS_MAX) {
        return false;
    }
    text_of(cluster_id, QO_CLUSTER_ID_MAX, identity->cluster_id, &failed);
    for (uint32_t i = 0; i < identity->members_count && !cursor.failed; i++) {
        identity->members[i].id = cursor_le32(&cursor);
        struct bytes address = cursor_bytes16(&cursor);
        if (!cursor.failed) {
            text_of(address, QO_ADDRESS_MAX, identity->members[i].address, &failed);
        }
    }
    return cursor_done(&cursor) && !failed;
}

static const char *fault(char *text_out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static const char *
fault(char *text_out, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text_out, CONSENSUS_TEXT_MAX, format, arguments);
    va_end(arguments);
    return text_out;
}

/* Of the member at `index`, by itself and against those before it. */
static const char *
member_fault(const struct consensus_identity *identity, uint32_t index, char *text_out)
{
    const struct consensus_member *member = &identity->members[index];
    if (member->id == 0) {
        return fault(text_out, "ids of members count from 1");
    }
    if (!links_address_valid(member->address)) {
        return fault(text_out,
                     "member %u: \"%.280s\" is no address host:port with a port from 1 to 65535",
                     member->id, member->address);
    }
    for (uint32_t i = 0; i < index; i++) {
        const struct consensus_member *other = &identity->members[i];
        if (other->id == member->id) {
            return fault(text_out, "two members have the id %u", member->id);
        }
        if (strcmp(other->address, member->address) == 0) {
            return fault(text_out, "members %u and %u have the same address %.280s", other->id,
                         member->id, member->address);
        }
    }
    return NULL;
}

const char *
consensus_identity_fault(const struct consensus_identity *identity, char *text_out)
{
    size_t size = strnlen(identity->cluster_id, QO_CLUSTER_ID_MAX + 1);
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
    bool is_member = false;
    if (size == 0 || size > QO_CLUSTER_ID_MAX || strspn(identity->cluster_id, allowed) != size) {
        return fault(text_out, "the cluster id \"%.*s\" is not 1 to %u of a-z, 0-9 and -",
                     (int)QO_CLUSTER_ID_MAX, identity->cluster_id, QO_CLUSTER_ID_MAX);
    }
    if (identity->shards == 0 || identity->shards > QO_SHARDS_MAX || identity->epoch == 0) {
        return fault(text_out, "shards are 1 to %u, not %u, and the epoch is at least 1",
                     QO_SHARDS_MAX, identity->shards);
    }
    if (identity->members_count == 0 || identity->members_count > QO_MEMBERS_MAX) {
        return fault(text_out, "a cluster has 1 to %u members, not %u", QO_MEMBERS_MAX,
                     identity->members_count);
    }
    for (uint32_t i = 0; i < identity->members_count; i++) {
        is_member = is_member || identity->members[i].id == identity->node_id;
        const char *found = member_fault(identity, i, text_out);
        if (found != NULL) {
            return found;
        }
    }
    return is_member ? NULL
                     : fault(text_out, "the node's own id %u is not among the members",
                             identity->node_id);
}

/* -- Making ------------------------------------------------------------------------------------ */

/* True if it does not exist or is an empty directory. */
static bool
is_free(const char *directory)
{
    DIR *listing = opendir(directory);
    if (listing == NULL) {
        return errno == ENOENT;
    }
    bool empty = true;
    const struct dirent *entry;
    while ((entry = readdir(listing)) != NULL) {
        empty = empty && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
    }
    (void)closedir(listing);
    return empty;
}

static bool
make_log(const char *path, uint64_t salt, const struct raft_configuration *first, char *text_out)
{
    struct log_disk_real *disk = log_disk_open(path, NULL);
    struct log_shape shape = {.salt = salt};
    struct log_failure failure = {0};
    if (disk == NULL) {
        (void)snprintf(text_out, CONSENSUS_TEXT_MAX, "cannot open %.300s: %s", path,
                       strerror(errno));
        return false;
    }
    bool made = io_birth(log_disk_table(disk), &shape, first, &failure);
    if (!made) {
        (void)snprintf(text_out, CONSENSUS_TEXT_MAX, "%.300s: %.200s", path, failure.text);
    }
    log_disk_close(disk, NULL, NULL);
    return made;
}

static bool
bootstrap_log(const char *directory, const struct consensus_identity *identity, char *text_out)
{
    char path[BIRTH_PATH_MAX];
    struct raft_configuration configuration;
    birth_path(directory, "log", path);
    if (mkdir(path, 0700) != 0) {
        (void)snprintf(text_out, CONSENSUS_TEXT_MAX, "cannot make %.300s: %s", path,
                       strerror(errno));
        return false;
    }
    raft_configuration_init(&configuration);
    int status = 0;
    for (uint32_t i = 0; i < identity->members_count && status == 0; i++) {
        status = raft_configuration_add(&configuration, identity->members[i].id,
                                        identity->members[i].address, RAFT_VOTER);
    }
    QO_ASSERT(status == 0); /* consensus_identity_fault() looked for doubles. */
    bool made = make_log(path, identity->incarnation, &configuration, text_out);
    raft_configuration_close(&configuration);
    return made;
}

static bool
fill(const char *directory, const struct consensus_identity *identity, char *text_out)
{
    struct buf buf = {0};
    uint8_t boot[8] = {0};
    (void)snprintf(text_out, CONSENSUS_TEXT_MAX, "cannot write in %.300s", directory);
    bool made = bootstrap_log(directory, identity, text_out);
    identity_encode(identity, &buf);
    made = made && write_checked(directory, "boot", boot_magic, bytes_make(boot, sizeof boot)) &&
           write_checked(directory, "identity", identity_magic, buf_bytes(&buf));
    buf_free(&buf);
    return made;
}

/* Removes what fill() made: files here and in log/. */
static void
discard(const char *directory)
{
    DIR *listing = opendir(directory);
    const struct dirent *entry;
    while (listing != NULL && (entry = readdir(listing)) != NULL) {
        (void)unlinkat(dirfd(listing), entry->d_name, 0);
    }
    if (listing != NULL) {
        (void)closedir(listing);
    }
    (void)rmdir(directory);
}

static void
discard_all(const char *directory)
{
    char path[BIRTH_PATH_MAX];
    birth_path(directory, "log", path);
    discard(path);
    discard(directory);
}

static bool
publish(const char *made, const char *directory, char *text_out)
{
    char parent[BIRTH_PATH_MAX];
    (void)snprintf(parent, sizeof parent, "%s", directory);
    char *slash = strrchr(parent, '/');
    if (slash == NULL) {
        (void)snprintf(parent, sizeof parent, ".");
    } else {
        slash[slash == parent ? 1 : 0] = '\0';
    }
    if (rename(made, directory) != 0) {
        (void)snprintf(text_out, CONSENSUS_TEXT_MAX, "cannot make %.300s: %s", directory,
                       strerror(errno));
        return false;
    }
    return sync_directory(parent);
}

bool
consensus_init_directory(const char *directory, const struct consensus_identity *identity,
                         char *text_out)
{
    char path[BIRTH_PATH_MAX / 2], made[BIRTH_PATH_MAX];
    struct consensus_identity born = *identity;
    size_t size = strlen(directory);
    if (consensus_identity_fault(identity, text_out) != NULL) {
        return false;
    }
    while (size > 1 && directory[size - 1] == '/') {
        size--;
    }
    if (size == 0 || size >= sizeof path) {
        (void)snprintf(text_out, CONSENSUS_TEXT_MAX, "the directory's path is empty or too long");
        return false;
    }
    memcpy(path, directory, size);
    path[size] = '\0';
    if (!is_free(path)) {
        (void)snprintf(text_out, CONSENSUS_TEXT_MAX,
                       "%.300s exists and is not an empty directory; a node is born only once",
                       path);
        return false;
    }
    if (getrandom(&born.incarnation, sizeof born.incarnation, 0) != sizeof born.incarnation) {
        (void)snprintf(text_out, CONSENSUS_TEXT_MAX, "no random number: %s", strerror(errno));
        return false;
    }
    (void)snprintf(made, sizeof made, "%s.birth-XXXXXX", path);
    if (mkdtemp(made) == NULL) {
        (void)snprintf(text_out, CONSENSUS_TEXT_MAX, "cannot make %.300s: %s", path,
                       errno == ENOENT ? "its parent directory does not exist" : strerror(errno));
        return false;
    }
    if (!fill(made, &born, text_out) || !publish(made, path, text_out)) {
        discard_all(made);
        return false;
    }
    return true;
}

/* -- Opening ----------------------------------------------------------------------------------- */

static void
count_boot(const char *directory, struct consensus_identity *identity)
{
    char path[BIRTH_PATH_MAX];
    uint8_t file[FILE_MAX], next[8];
    struct bytes rest;
    birth_path(directory, "boot", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || !read_checked(fd, boot_magic, file, &rest) || rest.size != sizeof next) {
        qo_fatal(FATAL_CORRUPT, "%s is missing or damaged: names of proposals could repeat", path);
    }
    (void)close(fd);
    identity->boot = get_le64(rest.data) + 1;
    put_le64(next, identity->boot);
    if (!write_checked(directory, "boot", boot_magic, bytes_make(next, sizeof next))) {
        qo_fatal(FATAL_STORAGE, "cannot write %s: %s", path, strerror(errno));
    }
}

static bool
read_identity(int fd, struct consensus_identity *identity_out)
{
    uint8_t file[FILE_MAX];
    char text[CONSENSUS_TEXT_MAX];
    struct bytes rest;
    return read_checked(fd, identity_magic, file, &rest) && identity_decode(rest, identity_out) &&
           consensus_identity_fault(identity_out, text) == NULL;
}

bool
consensus_read_identity(const char *directory, struct consensus_identity *identity_out)
{
    char path[BIRTH_PATH_MAX];
    birth_path(directory, "identity", path);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool read = fd >= 0 && read_identity(fd, identity_out);
    if (fd >= 0) {
        (void)close(fd);
    }
    return read;
}

void
birth_open(const char *directory, struct consensus_identity *identity_out)
{
    char path[BIRTH_PATH_MAX];
    birth_path(directory, "identity", path);
    int fd = open(path, O_RDWR | O_CLOEXEC); /* Stays open: it holds the lock. */
    if (fd < 0) {
        qo_fatal(FATAL_DIRECTORY,
                 "%s is no node's data directory (%s: %s). For a new cluster: quorderd init on "
                 "every first member. For a disk that was lost: replace the member; its old id "
                 "must never vote again with an empty disk",
                 directory, path, strerror(errno));
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        qo_fatal(FATAL_DIRECTORY, "%s is in use by another process", directory);
    }
    if (!read_identity(fd, identity_out)) {
        qo_fatal(FATAL_CORRUPT, "%s is damaged", path);
    }
    count_boot(directory, identity_out);
}
