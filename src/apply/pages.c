/* See pages.h. Thread: any; pure. */
#include "pages.h"

#include "common/assert.h"

enum {
    HEAD_SIZE = 8,
    BLOCK_SIZE = 4 + 4 * QO_FINGERPRINTS_MAX,
};

static_assert(QO_FINGERPRINTS_MAX == 32, "one bit of a uint32_t per slot");

uint64_t
page_block_version(const struct page_block *block, uint32_t slot)
{
    return block->before + (slot == 0 ? QO_FINGERPRINTS_MAX : slot);
}

uint64_t
page_of(uint64_t version)
{
    QO_PRE(version >= 1);
    return (version - 1) / PAGE_VERSIONS;
}

uint32_t
page_place(uint64_t number)
{
    return (uint32_t)(number % QO_FINGERPRINT_PAGES);
}

uint32_t
pages_places(uint64_t version)
{
    uint64_t pages = page_of(version) + 1;
    return pages < QO_FINGERPRINT_PAGES ? (uint32_t)pages : QO_FINGERPRINT_PAGES;
}

void
page_begin(struct buf *out, uint64_t number)
{
    buf_clear(out);
    buf_put_le64(out, number);
}

/* The versions before block `index` of the page. */
static uint64_t
block_before(struct bytes page, uint32_t index)
{
    return page_number(page) * PAGE_VERSIONS + (uint64_t)index * QO_FINGERPRINTS_MAX;
}

void
page_add(struct buf *page, const struct page_block *block)
{
    uint64_t first = page_number(buf_bytes(page)) * PAGE_VERSIONS;
    QO_PRE(block->before >= first && block->before - first < PAGE_VERSIONS);
    uint32_t index = (uint32_t)(block->before - first) / QO_FINGERPRINTS_MAX;
    uint32_t there = page_blocks(buf_bytes(page));
    QO_PRE(index >= there && block->before % QO_FINGERPRINTS_MAX == 0);
    size_t left_out = (size_t)(index - there) * BLOCK_SIZE;
    uint8_t *at = buf_reserve(page, left_out + BLOCK_SIZE);
    memset(at, 0, left_out);
    at += left_out;
    put_le32(at, block->set);
    for (uint32_t slot = 0; slot < QO_FINGERPRINTS_MAX; slot++) {
        bool set = (block->set >> slot & 1) != 0;
        put_le32(at + 4 + (size_t)4 * slot, set ? block->fingerprints[slot] : 0);
    }
    page->size += left_out + BLOCK_SIZE;
}

bool
page_valid(struct bytes page, uint32_t place, uint64_t version)
{
    if (page.size < HEAD_SIZE || (page.size - HEAD_SIZE) % BLOCK_SIZE != 0 ||
        page_blocks(page) > QO_FINGERPRINT_PAGE_BLOCKS) {
        return false;
    }
    uint64_t number = page_number(page);
    return page_place(number) == place && number <= version / PAGE_VERSIONS &&
           block_before(page, page_blocks(page)) <= version;
}

uint64_t
page_number(struct bytes page)
{
    return get_le64(page.data);
}

uint32_t
page_blocks(struct bytes page)
{
    return (uint32_t)((page.size - HEAD_SIZE) / BLOCK_SIZE);
}

static const uint8_t *
block_at(struct bytes page, uint32_t index)
{
    return page.data + HEAD_SIZE + (size_t)index * BLOCK_SIZE;
}

void
page_block_read(struct bytes page, uint32_t index, struct page_block *block_out)
{
    QO_PRE(index < page_blocks(page));
    const uint8_t *block = block_at(page, index);
    block_out->before = block_before(page, index);
    block_out->set = get_le32(block);
    for (uint32_t slot = 0; slot < QO_FINGERPRINTS_MAX; slot++) {
        block_out->fingerprints[slot] = get_le32(block + 4 + (size_t)4 * slot);
    }
}

/* Whether any slot holds the fingerprint, set or not: no branch in the loop, so that the compiler
 * compares several at a time. */
static bool
block_may_hold(const uint8_t *block, uint32_t fingerprint)
{
    uint32_t same = 0;
    for (uint32_t slot = 0; slot < QO_FINGERPRINTS_MAX; slot++) {
        same |= (uint32_t)(get_le32(block + 4 + (size_t)4 * slot) == fingerprint);
    }
    return same != 0;
}

uint32_t
page_find(struct bytes page, uint32_t fingerprint, uint64_t *versions_out)
{
    uint32_t count = 0;
    for (uint32_t index = 0; index < page_blocks(page); index++) {
        if (!block_may_hold(block_at(page, index), fingerprint)) {
            continue;
        }
        struct page_block block;
        page_block_read(page, index, &block);
        for (uint32_t i = 1; i <= QO_FINGERPRINTS_MAX; i++) {
            uint32_t slot = i % QO_FINGERPRINTS_MAX; /* Slot 0 is the last version. */
            if ((block.set >> slot & 1) != 0 && block.fingerprints[slot] == fingerprint) {
                if (versions_out != NULL) {
                    versions_out[count] = page_block_version(&block, slot);
                }
                count++;
            }
        }
    }
    return count;
}
