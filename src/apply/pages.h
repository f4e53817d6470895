/*
 * pages: the fingerprints of request ids that have left an order's record.
 *
 * Block: QO_FINGERPRINTS_MAX neighbouring versions, as they stood in the record's slots. Page:
 * QO_FINGERPRINT_PAGE_BLOCKS neighbouring blocks; one row of the store, one item of the cache. It
 * is written anew with each block, so that one put serves 32 versions, and one read 512.
 *
 *   page   number:le64, then its blocks, those behind the last one written left out
 *   block  set:le32, then a fingerprint:le32 for each slot, 0 where its bit in `set` is not
 *
 * Block n (from 0) of an order holds versions 32 n + 1 to 32 n + 32, page n blocks 16 n to 16 n
 * + 15. Page n stands in place n mod QO_FINGERPRINT_PAGES; what stands there before says itself
 * which page it is. A page without blocks says that none was ever written in this place.
 *
 * Thread: any; pure.
 */
#ifndef APPLY_PAGES_H
#define APPLY_PAGES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/limits.h"

enum {
    PAGE_VERSIONS = QO_FINGERPRINTS_MAX * QO_FINGERPRINT_PAGE_BLOCKS,
    /* Versions that the pages of one order hold at most. */
    PAGES_VERSIONS = PAGE_VERSIONS * QO_FINGERPRINT_PAGES,
};

struct page_block {
    uint64_t before; /* Slot s is version before + s, slot 0 the last: before + 32. */
    uint32_t set;    /* Slots with a fingerprint. */
    uint32_t fingerprints[QO_FINGERPRINTS_MAX];
};

uint64_t page_block_version(const struct page_block *block, uint32_t slot);

/* The page that a version belongs to, and the place of a page. */
uint64_t page_of(uint64_t version);
uint32_t page_place(uint64_t number);
/* Places that may hold a page when the newest version outside the record is `version`. */
uint32_t pages_places(uint64_t version);

/* Page `number` without blocks, in the place of what `out` holds. */
void page_begin(struct buf *out, uint64_t number);
/* Puts the block behind those of the page; blocks left out between become empty ones. */
void page_add(struct buf *page, const struct page_block *block);

/* False if the bytes are no page of this place whose versions end at or before `version`. */
bool page_valid(struct bytes page, uint32_t place, uint64_t version);
uint64_t page_number(struct bytes page);
uint32_t page_blocks(struct bytes page);
void page_block_read(struct bytes page, uint32_t index, struct page_block *block_out);
/* The versions that have the fingerprint, rising, at most PAGE_VERSIONS; how many. `versions_out`
 * may be NULL to count only. */
uint32_t page_find(struct bytes page, uint32_t fingerprint, uint64_t *versions_out);

#endif
