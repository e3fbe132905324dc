// SPDX-License-Identifier: GPL-2.0
/*
 * Pages written by the device's DMA, by the pfn of their IOVA in pages of 4 KiB.
 *
 * A page stays in the log until it was reported, and no longer (v5 spec 1.3: bits are clean once
 * provided). The log is an xarray of bitmaps of one page each, made when they are first needed.
 */
#include <linux/bitmap.h>
#include <linux/log2.h>
#include <linux/slab.h>

#include "vdev.h"

#define VDEV_LOG_SHIFT (PAGE_SHIFT + 3)
#define VDEV_LOG_BITS BIT(VDEV_LOG_SHIFT)
#define VDEV_LOG_MASK (VDEV_LOG_BITS - 1)
#define VDEV_PFNS BIT_ULL(52) /* pages of 4 KiB in 64 bits of IOVA */

/* Make room for a page in the log, so that marking it cannot fail once it is written. */
int vdev_dirty_reserve(struct vdev *v, u64 pfn)
{
	unsigned long *bits;
	int err;

	if (xa_load(&v->dirty.log, pfn >> VDEV_LOG_SHIFT))
		return 0;
	bits = (unsigned long *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!bits)
		return -ENOMEM;
	err = xa_insert(&v->dirty.log, pfn >> VDEV_LOG_SHIFT, bits, GFP_KERNEL_ACCOUNT);
	if (err)
		free_page((unsigned long)bits);
	return err;
}

void vdev_dirty_mark(struct vdev *v, u64 pfn)
{
	unsigned long *bits = xa_load(&v->dirty.log, pfn >> VDEV_LOG_SHIFT);

	__set_bit(pfn & VDEV_LOG_MASK, bits);
}

void vdev_dirty_clear(struct vdev *v)
{
	unsigned long index;
	void *bits;

	xa_for_each(&v->dirty.log, index, bits)
		free_page((unsigned long)bits);
	xa_destroy(&v->dirty.log);
}

/* Return the first dirty pfn in [from, end), or end. */
static u64 vdev_dirty_next(struct vdev *v, u64 from, u64 end)
{
	unsigned long index, *bits;

	if (from >= end)
		return end;
	xa_for_each_range(&v->dirty.log, index, bits, from >> VDEV_LOG_SHIFT, (end - 1) >> VDEV_LOG_SHIFT) {
		u64 base = (u64)index << VDEV_LOG_SHIFT;
		u64 first = from > base ? from - base : 0;
		u64 limit = min_t(u64, end - base, VDEV_LOG_BITS);
		u64 bit = find_next_bit(bits, limit, first);

		if (bit < limit)
			return base + bit;
	}
	return end;
}

static void vdev_dirty_take(struct vdev *v, u64 pfn)
{
	unsigned long *bits = xa_load(&v->dirty.log, pfn >> VDEV_LOG_SHIFT);

	__clear_bit(pfn & VDEV_LOG_MASK, bits);
}

/* A field of the request is written: whatever is asked next starts from its first page. */
void vdev_dirty_request(struct vdev *v, u64 *field, u64 value)
{
	*field = value;
	v->dirty.start_known |= field == &v->dirty.start_pfn;
	v->dirty.done = 0;
}

/* SAVING is entered or left: no page was written, nothing was asked. */
void vdev_dirty_forget(struct vdev *v)
{
	vdev_dirty_clear(v);
	v->dirty.start_pfn = v->dirty.page_size = v->dirty.total_pfns = 0;
	v->dirty.done = v->dirty.bitmap_size = 0;
	v->dirty.start_known = false;
}

/*
 * Answer the request: put a bitmap into the bitmap window and tell how many pages it has, of those
 * that follow what was answered before; 0 if all the rest has nothing dirty (v5 spec 1.3, 7.3).
 */
int vdev_dirty_report(struct vdev *v, u64 *copied)
{
	struct vdev_dirty *request = &v->dirty;
	void *bitmap = vdev_at(v, v->layout.bitmap);
	u64 start = request->start_pfn, total = request->total_pfns;
	u64 covered, pfn, end;
	unsigned int shift;

	if (!request->start_known || !is_power_of_2(request->page_size) || request->page_size < VK_PAGE_SIZE || !total)
		return -EINVAL;
	shift = ilog2(request->page_size) - ilog2(VK_PAGE_SIZE);
	if (total > VDEV_PFNS >> shift || start > (VDEV_PFNS >> shift) - total)
		return -EINVAL;

	start += request->done;
	total -= request->done;
	end = (start + total) << shift;
	request->bitmap_size = 0;
	if (vdev_dirty_next(v, start << shift, end) == end) {
		request->done = 0;
		*copied = 0;
		return 0;
	}
	/* A v5 VMM reads one word more than the pages need; the place has room for it (7.2). */
	covered = min_t(u64, total, (u64)v->layout.bitmap_size * BITS_PER_BYTE);
	request->bitmap_size = (DIV_ROUND_UP(covered, 64) + 1) * 8;
	memset(bitmap, 0, request->bitmap_size);
	end = (start + covered) << shift;
	for (pfn = vdev_dirty_next(v, start << shift, end); pfn < end; pfn = vdev_dirty_next(v, pfn + 1, end)) {
		__set_bit_le((pfn >> shift) - start, bitmap);
		vdev_dirty_take(v, pfn);
	}
	request->done = covered == total ? 0 : request->done + covered;
	*copied = covered;
	return 0;
}
