// SPDX-License-Identifier: GPL-2.0
/*
 * Saving: device memory, in records of runs of dirty blocks, then the registers.
 *
 * A record is a copy: what the device does after it was staged makes its blocks dirty again. It is
 * delivered once data_size was read; until then data_offset answers with the same one. The search
 * for dirty blocks goes round, so that those that are always hot do not keep the others waiting.
 */
#include <linux/bitmap.h>
#include <linux/crc32.h>
#include <linux/string.h>

#include "vdev.h"

#define VDEV_REGISTERS_RECORD (VK_RECORD_HEAD_SIZE + VK_REGISTERS_SIZE + VK_SCRATCH_SIZE)

void vdev_save_begin(struct vdev *v)
{
	memset(&v->save, 0, sizeof(v->save));
	bitmap_fill(v->memory_dirty, vdev_blocks(v));
}

/* The device runs (again): whatever was said of its registers is out of date. */
void vdev_save_running(struct vdev *v)
{
	if (v->save.registers_staged && !v->save.announced)
		v->save.size = 0;
	v->save.registers_staged = false;
	v->save.registers_sent = false;
}

static u64 vdev_run_limit(const struct vdev *v)
{
	return (v->layout.data_size - VK_RECORD_HEAD_SIZE) / VK_PAGE_SIZE;
}

/* Find the first dirty run in [*at, end) that fits a record; return its blocks, 0 if there is none. */
static u64 vdev_next_run(const struct vdev *v, u64 *at, u64 end)
{
	*at = find_next_bit(v->memory_dirty, end, *at);
	if (*at >= end)
		return 0;
	return min(find_next_zero_bit(v->memory_dirty, end, *at) - *at, vdev_run_limit(v));
}

static u64 vdev_pending_between(const struct vdev *v, u64 at, u64 end)
{
	u64 pending = 0, run;

	for (; (run = vdev_next_run(v, &at, end)); at += run)
		pending += VK_RECORD_HEAD_SIZE + run * VK_PAGE_SIZE;
	return pending;
}

/* Bytes that would be delivered as things stand, heads included. */
u64 vdev_save_pending(struct vdev *v)
{
	u64 pending = v->save.announced ? 0 : v->save.size;

	pending += vdev_pending_between(v, v->save.cursor, vdev_blocks(v));
	pending += vdev_pending_between(v, 0, v->save.cursor);
	if (!(v->state & VDEV_RUNNING) && !v->save.registers_sent)
		pending += VDEV_REGISTERS_RECORD;
	return pending;
}

static void vdev_seal(struct vdev *v, u64 place, u16 kind, u64 offset, u64 length)
{
	struct vdev_record *head = vdev_at(v, place);

	/* zlib's CRC-32: crc32_le inverted before and after. */
	*head = (struct vdev_record){
		.magic = cpu_to_le32(VK_RECORD_MAGIC),
		.version = cpu_to_le16(VK_RECORD_VERSION),
		.kind = cpu_to_le16(kind),
		.offset = cpu_to_le64(offset),
		.length = cpu_to_le64(length),
		.crc = cpu_to_le32(~crc32_le(~0U, (void *)(head + 1), length)),
		.flags = cpu_to_le32(VK_RECORD_FLAG_CRC),
		.state_size = cpu_to_le64(v->kind->state_size),
	};
	v->save.place = place;
	v->save.size = VK_RECORD_HEAD_SIZE + length;
	v->save.announced = false;
	v->save.registers_staged = kind == VK_KIND_REGISTERS;
}

/* Put the next record into its place, unless one waits there; return the place. */
u64 vdev_save_stage(struct vdev *v)
{
	u64 at = v->save.cursor, run;
	void *payload;

	if (v->save.size && !v->save.announced)
		return v->save.place;

	run = vdev_next_run(v, &at, vdev_blocks(v));
	if (!run) {
		at = 0;
		run = vdev_next_run(v, &at, v->save.cursor);
	}
	if (run) {
		v->save.cursor = at + run;
		payload = vdev_at(v, v->layout.data) + VK_RECORD_HEAD_SIZE;
		memcpy(payload, v->memory + at * VK_PAGE_SIZE, run * VK_PAGE_SIZE);
		bitmap_clear(v->memory_dirty, at, run);
		vdev_seal(v, v->layout.data, VK_KIND_MEMORY, at * VK_PAGE_SIZE, run * VK_PAGE_SIZE);
	} else if (!(v->state & VDEV_RUNNING) && !v->save.registers_sent) {
		payload = vdev_at(v, v->layout.registers) + VK_RECORD_HEAD_SIZE;
		vdev_registers_save(v, payload);
		memcpy(payload + VK_REGISTERS_SIZE, v->scratch, VK_SCRATCH_SIZE);
		v->save.registers_sent = true;
		vdev_seal(v, v->layout.registers, VK_KIND_REGISTERS, 0, VK_REGISTERS_SIZE + VK_SCRATCH_SIZE);
	} else {
		v->save.place = v->layout.data;
		v->save.size = 0;
	}
	return v->save.place;
}
