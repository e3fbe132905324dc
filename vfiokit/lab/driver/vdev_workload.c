// SPDX-License-Identifier: GPL-2.0
/*
 * The device's work: page writes to guest memory and block changes of device memory, by a doorbell
 * or, at their rates, by a worker. Both happen with the device's lock held and only while
 * device_state has RUNNING, so that clearing the bit under the lock is the end of them.
 */
#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/sched/signal.h>

#include "vdev.h"
#include "vdev_compat.h"

#define VDEV_TICK (max(1UL, msecs_to_jiffies(10)))
#define VDEV_MAX_LAG NSEC_PER_SEC /* work that is later than this is not caught up with */
#define VDEV_MAX_RATE NSEC_PER_SEC
#define VDEV_MAX_BATCH 4096 /* in a tick, so that an access waits for no more than this */

/* splitmix64: its output function of x + its increment. */
u64 vdev_mix(u64 x)
{
	x += VK_MIX_ADD;
	x = (x ^ (x >> 30)) * VK_MIX_1;
	x = (x ^ (x >> 27)) * VK_MIX_2;
	return x ^ (x >> 31);
}

static u64 vdev_modulo(u64 x, u64 n)
{
	u64 remainder;

	div64_u64_rem(x, n, &remainder);
	return remainder;
}

static u64 vdev_page(struct vdev *v, u64 i, u64 r, u64 pages)
{
	u64 param = vdev_register(v, VK_REG_PARAM) ?: 1;

	switch (vdev_register(v, VK_REG_PATTERN)) {
	case VK_PATTERN_RANDOM:
		return vdev_modulo(r, pages);
	case VK_PATTERN_HOT:
		return vdev_modulo(r >> 3, r & VK_HOT_MASK ? min(param, pages) : pages);
	case VK_PATTERN_STRIDED:
		return vdev_modulo(i * param, pages);
	default:
		return vdev_modulo(i, pages);
	}
}

static int vdev_write_page(struct vdev *v, u64 i)
{
	u64 r = vdev_mix((vdev_register(v, VK_REG_SEED) << 32) ^ i);
	u64 first = vdev_register(v, VK_REG_WINDOW_IOVA) / VK_PAGE_SIZE;
	u64 page = vdev_page(v, i, r, vdev_register(v, VK_REG_WINDOW_PAGES));
	__le64 words[2] = { cpu_to_le64(i), cpu_to_le64(r) };
	u64 pfn = first + page;
	int err = 0;

	if (page > U64_MAX / VK_PAGE_SIZE - first)
		return -EFAULT;
	if (v->state & VDEV_SAVING)
		err = vdev_dirty_reserve(v, pfn);
	/* Why the IOMMU refused is nothing that a device would know. */
	if (!err && vfio_dma_rw(&v->vfio, pfn * VK_PAGE_SIZE, words, sizeof(words), true))
		err = -EFAULT;
	if (!err && (v->state & VDEV_SAVING))
		vdev_dirty_mark(v, pfn);
	return err;
}

/* Make page writes; the first that is refused ends them and is not counted. */
void vdev_write_pages(struct vdev *v, u64 count)
{
	u64 i = vdev_register(v, VK_REG_COUNTER);
	int err;

	if (!vdev_register(v, VK_REG_WINDOW_PAGES))
		return;
	for (; count && !fatal_signal_pending(current); count--) {
		err = vdev_write_page(v, i);
		v->dma_refused = err;
		if (err) {
			vdev_register_set(v, VK_REG_DMA_ERROR, -err);
			break;
		}
		vdev_register_set(v, VK_REG_COUNTER, ++i);
		cond_resched();
	}
}

void vdev_change_blocks(struct vdev *v, u64 count)
{
	u64 seed = vdev_register(v, VK_REG_SEED) ^ VK_STATE_SEED_XOR;
	u64 j = vdev_register(v, VK_REG_STATE_COUNTER);

	for (; count && !fatal_signal_pending(current); count--, j++) {
		u64 s = vdev_mix((seed << 32) ^ j);
		u64 block = vdev_modulo(s, vdev_blocks(v));
		u8 *at = v->memory + block * VK_PAGE_SIZE;

		put_unaligned_le64(j, at);
		put_unaligned_le64(s, at + 8);
		__set_bit(block, v->memory_dirty);
		cond_resched();
	}
	vdev_register_set(v, VK_REG_STATE_COUNTER, j);
}

/* Return how much is due at a rate since *clock, and advance it by as much. */
static u64 vdev_due(u64 *clock, u64 now, u64 rate)
{
	u64 due;

	rate = min_t(u64, rate, VDEV_MAX_RATE);
	if (now - *clock > VDEV_MAX_LAG)
		*clock = now - VDEV_MAX_LAG;
	due = div_u64((now - *clock) * rate, NSEC_PER_SEC);
	if (due > VDEV_MAX_BATCH) {
		*clock = now;
		return VDEV_MAX_BATCH;
	}
	if (due)
		*clock += div64_u64(due * NSEC_PER_SEC, rate);
	return due;
}

static bool vdev_has_work(const struct vdev *v)
{
	return v->open && (v->state & VDEV_RUNNING) && (vdev_register(v, VK_REG_CONTROL) & VK_CTRL_RUN) &&
	       (vdev_register(v, VK_REG_RATE) || vdev_register(v, VK_REG_STATE_RATE));
}

static void vdev_workload(struct work_struct *work)
{
	struct vdev *v = container_of(to_delayed_work(work), struct vdev, work);
	u64 now;

	mutex_lock(&v->lock);
	v->working = v->working && vdev_has_work(v);
	if (v->working) {
		now = ktime_get_ns();
		vdev_write_pages(v, vdev_due(&v->dma_clock, now, vdev_register(v, VK_REG_RATE)));
		vdev_change_blocks(v, vdev_due(&v->change_clock, now, vdev_register(v, VK_REG_STATE_RATE)));
		queue_delayed_work(system_unbound_wq, &v->work, VDEV_TICK);
	}
	mutex_unlock(&v->lock);
}

void vdev_workload_init(struct vdev *v)
{
	INIT_DELAYED_WORK(&v->work, vdev_workload);
}

/* Start or stop the worker after something that it depends on has changed. */
void vdev_workload_update(struct vdev *v)
{
	if (!vdev_has_work(v)) {
		v->working = false;
		cancel_delayed_work(&v->work);
	} else if (!v->working) {
		v->working = true;
		v->dma_clock = v->change_clock = ktime_get_ns();
		queue_delayed_work(system_unbound_wq, &v->work, VDEV_TICK);
	}
}

/*
 * Wait for the worker to be gone; called without the lock, after it was stopped under it. No work is
 * in flight even before: the worker works under the lock, and looks again when it has got it.
 */
void vdev_workload_wait(struct vdev *v)
{
	flush_work(&v->work.work);
}
