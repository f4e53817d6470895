/* See ballot.h. Thread: the loop. */
#include "ballot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/assert.h"
#include "common/bytes.h"
#include "common/hash.h"

enum { SLOT_BYTES = 512, SLOT_USED = 28, FILE_BYTES = 2 * SLOT_BYTES };

static void
slot_encode(const struct ballot *ballot, uint8_t slot[SLOT_BYTES])
{
    memset(slot, 0, SLOT_BYTES);
    put_le64(slot, ballot->version);
    put_le64(slot + 8, ballot->term);
    put_le64(slot + 16, ballot->vote);
    put_le32(slot + 24, hash_crc32c(bytes_make(slot, 24)));
}

static bool
slot_decode(const uint8_t slot[SLOT_BYTES], struct ballot *ballot)
{
    if (get_le32(slot + 24) != hash_crc32c(bytes_make(slot, 24)) || get_le64(slot) == 0) {
        return false;
    }
    ballot->version = get_le64(slot);
    ballot->term = get_le64(slot + 8);
    ballot->vote = get_le64(slot + 16);
    return true;
}

static bool
slot_write(const struct ballot *ballot)
{
    uint8_t slot[SLOT_BYTES];
    slot_encode(ballot, slot);
    off_t at = (off_t)(ballot->version % 2) * SLOT_BYTES;
    return pwrite(ballot->fd, slot, sizeof slot, at) == (ssize_t)sizeof slot &&
           fdatasync(ballot->fd) == 0;
}

bool
ballot_create(const char *path)
{
    struct ballot ballot = {.version = 1, .term = 1};
    ballot.fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (ballot.fd < 0) {
        return false;
    }
    /* The whole file from the first, so that no later write needs room on the disk. */
    static const uint8_t zeros[FILE_BYTES];
    bool made = pwrite(ballot.fd, zeros, sizeof zeros, 0) == (ssize_t)sizeof zeros &&
                slot_write(&ballot) && fsync(ballot.fd) == 0;
    return close(ballot.fd) == 0 && made;
}

void
ballot_open(struct ballot *ballot, const char *path)
{
    uint8_t file[FILE_BYTES];
    *ballot = (struct ballot){.fd = open(path, O_RDWR | O_CLOEXEC)};
    if (ballot->fd < 0 || pread(ballot->fd, file, sizeof file, 0) != (ssize_t)sizeof file) {
        qo_fatal(FATAL_DIRECTORY,
                 "term and vote of this node are gone (%s: %s): it could vote twice. Replace the "
                 "member; never copy the file from elsewhere",
                 path, strerror(errno));
    }
    struct ballot slots[2] = {*ballot, *ballot};
    bool whole0 = slot_decode(file, &slots[0]);
    bool whole1 = slot_decode(file + SLOT_BYTES, &slots[1]);
    if (!whole0 && !whole1) {
        qo_fatal(FATAL_CORRUPT, "%s: neither copy of term and vote has a good checksum", path);
    }
    *ballot = !whole0 || (whole1 && slots[1].version > slots[0].version) ? slots[1] : slots[0];
}

static void
ballot_store(struct ballot *ballot)
{
    ballot->version++;
    if (!slot_write(ballot)) {
        qo_fatal(FATAL_STORAGE, "cannot store term %llu and vote %llu: %s",
                 (unsigned long long)ballot->term, (unsigned long long)ballot->vote,
                 strerror(errno));
    }
}

void
ballot_set_term(struct ballot *ballot, uint64_t term)
{
    QO_PRE(term >= ballot->term);
    ballot->term = term;
    ballot->vote = 0;
    ballot_store(ballot);
}

void
ballot_set_vote(struct ballot *ballot, uint64_t vote)
{
    QO_PRE(QO_IMPLIES(ballot->vote != 0, ballot->vote == vote)); /* One vote in a term. */
    ballot->vote = vote;
    ballot_store(ballot);
}

bool
ballot_agrees(const struct ballot *ballot, uint64_t term, uint64_t vote)
{
    return term < ballot->term || (term == ballot->term && (vote == ballot->vote || vote == 0));
}
