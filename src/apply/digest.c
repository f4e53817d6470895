/* What of an entry enters the cluster's digest. Thread: state.
 *
 *   digest  = H(digest, entry), once per executed entry
 *   entry   = index:le64 time:le64 outcome*
 *   outcome = command:le32 operation:le32 code:le32 value:le64
 *
 * `time` is the clamped one. `code` is a `enum trail_code` or the number of a refusal. `value` is
 * the seq of an applied or replayed operation, or of request_id_reused; the number of a definition;
 * the version of already_exists and version_conflict; else 0. A group that succeeds has an outcome
 * for each operation, one that fails a single one. Nothing here depends on how anything is stored.
 */
#include "state.h"

void
trail_begin(struct apply *apply, uint64_t index)
{
    buf_clear(&apply->trail);
    buf_put_le64(&apply->trail, index);
    buf_put_le64(&apply->trail, (uint64_t)apply->applied.time);
}

void
trail_add(struct apply *apply, uint32_t command, uint32_t operation, uint32_t code, uint64_t value)
{
    buf_put_le32(&apply->trail, command);
    buf_put_le32(&apply->trail, operation);
    buf_put_le32(&apply->trail, code);
    buf_put_le64(&apply->trail, value);
}

void
trail_refusal(struct apply *apply, uint32_t command, uint32_t operation,
              const struct outcome *outcome)
{
    uint64_t value = outcome->error == QO_REQUEST_ID_REUSED ? outcome->seq : outcome->version;
    trail_add(apply, command, operation, (uint32_t)outcome->error, value);
    apply->counters.refusals++;
}

void
trail_end(struct apply *apply)
{
    apply->applied.digest = hash_digest(apply->applied.digest, buf_bytes(&apply->trail));
}
