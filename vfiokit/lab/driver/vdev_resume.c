// SPDX-License-Identifier: GPL-2.0
/*
 * Resuming: records are checked and taken into the device.
 *
 * A chunk is consumed when both its size and all its bytes are there, so the two orders of v5 (spec
 * 2.3) work, and the merged interface's: mapped data and then data_size; data_size and then one or
 * more pwrites; pwrites and then data_size. Bytes that come through a mapping are not seen coming:
 * the place is marked when it is told, and a mark that is still there at the size write says that
 * the bytes will come by pwrite.
 */
#include <linux/crc32.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "vdev.h"

/* Records start with the magic, so zeros are mark enough; raw memory may be anything. */
static void vdev_make_mark(const struct vdev *v, __le64 mark[8])
{
	unsigned int i;

	for (i = 0; i < 8; i++)
		mark[i] = v->resume.raw_due ? cpu_to_le64(vdev_mix(i)) : 0;
}

static bool vdev_is_marked(const struct vdev *v)
{
	__le64 mark[8];

	vdev_make_mark(v, mark);
	return !memcmp(vdev_at(v, v->layout.data), mark, v->resume.raw_due ? sizeof(mark) : 4);
}

void vdev_resume_begin(struct vdev *v)
{
	memset(&v->resume, 0, sizeof(v->resume));
	v->resume.registers_missing = true;
}

bool vdev_resume_incomplete(const struct vdev *v)
{
	return v->resume.broken || v->resume.size || v->resume.raw_due || v->resume.registers_missing;
}

/* RESUMING is left for the stopped state: what is half received by now will not become whole. */
void vdev_resume_end(struct vdev *v)
{
	bool incomplete = vdev_resume_incomplete(v);

	memset(&v->resume, 0, sizeof(v->resume));
	v->resume.registers_missing = incomplete;
}

static bool vdev_crc_agrees(const struct vdev_record *head, const u8 *payload)
{
	return !(le32_to_cpu(head->flags) & VK_RECORD_FLAG_CRC) ||
	       le32_to_cpu(head->crc) == (u32)~crc32_le(~0U, payload, le64_to_cpu(head->length));
}

static bool vdev_in_memory(const struct vdev *v, const struct vdev_record *head)
{
	u64 offset = le64_to_cpu(head->offset), length = le64_to_cpu(head->length);

	return length <= v->kind->state_size && offset <= v->kind->state_size - length;
}

/* The bytes that a record of kind 3 announced. */
static int vdev_take_raw(struct vdev *v, u64 size)
{
	const struct vdev_record *head = &v->resume.raw;
	const u8 *place = vdev_at(v, v->layout.data);

	v->resume.raw_due = false;
	if (size != le64_to_cpu(head->length) || !vdev_crc_agrees(head, place))
		return -EINVAL;
	memcpy(v->memory + le64_to_cpu(head->offset), place, size);
	return 0;
}

/* The user can write a mapped place at any time, so the head is looked at only in a copy. */
static int vdev_take_record(struct vdev *v, u64 size)
{
	const u8 *place = vdev_at(v, v->layout.data), *payload = place + VK_RECORD_HEAD_SIZE;
	struct vdev_record head;
	u64 length;

	if (size < sizeof(head))
		return -EINVAL;
	memcpy(&head, place, sizeof(head));
	size -= sizeof(head);
	length = le64_to_cpu(head.length);
	if (le32_to_cpu(head.magic) != VK_RECORD_MAGIC || le16_to_cpu(head.version) != VK_RECORD_VERSION ||
	    le64_to_cpu(head.state_size) != v->kind->state_size)
		return -EINVAL;

	/* A source that ran again after it sent its registers sends more memory, and them once more. */
	v->resume.registers_missing = true;
	switch (le16_to_cpu(head.kind)) {
	case VK_KIND_MEMORY:
		if (length != size || !vdev_in_memory(v, &head) || !vdev_crc_agrees(&head, payload))
			return -EINVAL;
		memcpy(v->memory + le64_to_cpu(head.offset), payload, length);
		return 0;
	case VK_KIND_MEMORY_NEXT:
		if (size || !length || !vdev_in_memory(v, &head))
			return -EINVAL;
		v->resume.raw = head;
		v->resume.raw_due = true;
		return 0;
	case VK_KIND_REGISTERS:
		if (length != size || length != VK_REGISTERS_SIZE + VK_SCRATCH_SIZE ||
		    !vdev_crc_agrees(&head, payload) || vdev_registers_load(v, payload))
			return -EINVAL;
		memcpy(v->scratch, payload + VK_REGISTERS_SIZE, VK_SCRATCH_SIZE);
		v->resume.registers_missing = false;
		return 0;
	default:
		return -EINVAL;
	}
}

/* Take the chunk if it is there; after a bad one none is taken until RESUMING is entered again. */
static int vdev_consume(struct vdev *v)
{
	u64 size = v->resume.size;
	int err = -EINVAL;

	if (!size || (v->resume.written ? v->resume.written < size : !v->kind->map_data || vdev_is_marked(v)))
		return 0;
	v->resume.offered = false;
	v->resume.size = v->resume.written = 0;
	if (!v->resume.broken)
		err = v->resume.raw_due ? vdev_take_raw(v, size) : vdev_take_record(v, size);
	v->resume.broken = err;
	return err;
}

/* R data_offset: the same place until its size is written, then none until the chunk has come. */
int vdev_resume_place(struct vdev *v, u64 *place)
{
	if (v->resume.size)
		return -EINVAL;
	if (!v->resume.offered)
		vdev_make_mark(v, vdev_at(v, v->layout.data));
	v->resume.offered = true;
	*place = v->layout.data;
	return 0;
}

/* W data_size. */
int vdev_resume_size(struct vdev *v, u64 size)
{
	if (!v->resume.offered || v->resume.size || !size || size > v->layout.data_size)
		return -EINVAL;
	v->resume.size = size;
	return vdev_consume(v);
}

/* A pwrite at the place; it may be one of several, without a gap between them. */
int vdev_resume_write(struct vdev *v, u64 offset, const char __user *buf, size_t count)
{
	u64 at = offset - v->layout.data, end = at + count;

	if (!v->resume.offered || at > v->resume.written || end > (v->resume.size ?: v->layout.data_size))
		return -EINVAL;
	if (copy_from_user(vdev_at(v, offset), buf, count))
		return -EFAULT;
	v->resume.written = max(v->resume.written, end);
	return vdev_consume(v);
}
