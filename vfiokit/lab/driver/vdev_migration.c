// SPDX-License-Identifier: GPL-2.0
/*
 * The migration region of the QEMU posting v5: a trapped header of 64 bytes, and a data section
 * with a window for device data and one for the dirty bitmap.
 */
#include <linux/module.h>
#include <linux/uaccess.h>

#include "vdev.h"

#define VDEV_DATA_OFFSET PAGE_SIZE

static unsigned int chunk = 1 << 20;
module_param(chunk, uint, 0444);
MODULE_PARM_DESC(chunk, "bytes of the data window, the most that one record takes; at least 16384");

static unsigned int bitmap = 4096;
module_param(bitmap, uint, 0444);
MODULE_PARM_DESC(bitmap, "bytes of a dirty bitmap, 8 pages each; a multiple of 8");

enum {
	DEVICE_STATE = 0x00,
	RESERVED = 0x04, /* reads 0, writes are ignored */
	PENDING_BYTES = 0x08,
	DATA_OFFSET = 0x10,
	DATA_SIZE = 0x18,
	START_PFN = 0x20,
	PAGE_SIZE_FIELD = 0x28,
	TOTAL_PFNS = 0x30,
	COPIED_PFNS = 0x38,
	HEADER_SIZE = 0x40,
};

/* Windows are whole pages; the bitmap's has room for the extra word that a v5 VMM reads. */
int vdev_layout_make(const struct vdev_kind *kind, struct vdev_layout *layout)
{
	if (!kind->migration)
		return 0;
	if (chunk < 16384 || chunk > SZ_1G || !bitmap || bitmap % 8 || bitmap > SZ_64M)
		return -EINVAL;
	layout->data = VDEV_DATA_OFFSET;
	layout->data_size = PAGE_ALIGN(chunk);
	layout->bitmap = layout->data + layout->data_size;
	layout->bitmap_size = bitmap;
	layout->size = layout->bitmap + PAGE_ALIGN(bitmap + 8);
	layout->registers = layout->data;
	if (kind->registers_apart) {
		layout->registers = layout->size;
		layout->size += PAGE_ALIGN(VK_RECORD_HEAD_SIZE + VK_REGISTERS_SIZE + VK_SCRATCH_SIZE);
	}
	return 0;
}

void vdev_migration_reset(struct vdev *v)
{
	v->state = VDEV_RUNNING;
	v->bitmap_next = false;
	memset(&v->save, 0, sizeof(v->save));
	memset(&v->resume, 0, sizeof(v->resume));
	vdev_dirty_forget(v);
	if (v->data_section)
		memset(v->data_section, 0, v->layout.size - v->layout.data);
}

/* Bits 3 to 31 have no meaning here and are kept. After -EINVAL the state is what it was. */
static int vdev_set_state(struct vdev *v, u32 state)
{
	u32 was = v->state;

	if ((state & VDEV_RESUMING) && (state & (VDEV_RUNNING | VDEV_SAVING)))
		return -EINVAL;
	if ((state & (VDEV_RUNNING | VDEV_SAVING)) && vdev_resume_incomplete(v))
		return -EINVAL;

	v->state = state;
	vdev_workload_update(v);
	if ((was & VDEV_RESUMING) && !(state & VDEV_RESUMING))
		vdev_resume_end(v);
	else if (!(was & VDEV_RESUMING) && (state & VDEV_RESUMING))
		vdev_resume_begin(v);
	if ((was ^ state) & VDEV_SAVING) {
		vdev_save_begin(v);
		vdev_dirty_forget(v);
		v->bitmap_next = false;
	}
	if (state & VDEV_RUNNING)
		vdev_save_running(v);
	return 0;
}

static int vdev_header_read(struct vdev *v, u64 offset, u64 *value)
{
	int err;

	switch (offset) {
	case DEVICE_STATE:
		*value = v->state;
		return 0;
	case RESERVED:
		*value = 0;
		return 0;
	case PENDING_BYTES:
		v->bitmap_next = false;
		*value = v->state & VDEV_SAVING ? vdev_save_pending(v) : 0;
		return 0;
	case DATA_OFFSET:
		if (v->state & VDEV_RESUMING)
			return vdev_resume_place(v, value);
		if (!(v->state & VDEV_SAVING))
			return -EINVAL;
		if (v->bitmap_next)
			*value = v->layout.bitmap;
		else
			*value = vdev_save_stage(v);
		v->bitmap_next = false;
		return 0;
	case DATA_SIZE:
		if (v->state & VDEV_RESUMING)
			return -EINVAL;
		*value = v->state & VDEV_SAVING ? v->save.size : 0;
		v->save.announced = true; /* to no effect outside of SAVING: it starts anew when that is entered */
		return 0;
	case COPIED_PFNS:
		if (!(v->state & VDEV_SAVING))
			return -EINVAL;
		err = vdev_dirty_report(v, value);
		/* Without a bitmap there is nothing that data_offset could tell but device data's place. */
		v->bitmap_next = !err && *value;
		return err;
	default:
		return -EINVAL;
	}
}

static int vdev_header_write(struct vdev *v, u64 offset, u64 value)
{
	switch (offset) {
	case DEVICE_STATE:
		return vdev_set_state(v, value);
	case RESERVED:
		return 0;
	case DATA_SIZE:
		return v->state & VDEV_RESUMING ? vdev_resume_size(v, value) : -EINVAL;
	case START_PFN:
	case PAGE_SIZE_FIELD:
	case TOTAL_PFNS:
		if (!(v->state & VDEV_SAVING))
			return -EINVAL;
		vdev_dirty_request(v, offset == START_PFN       ? &v->dirty.start_pfn :
				      offset == PAGE_SIZE_FIELD ? &v->dirty.page_size :
								  &v->dirty.total_pfns, value);
		v->bitmap_next = true;
		return 0;
	default:
		return -EINVAL;
	}
}

/* Each field at its own width and place only, in host byte order (v5 spec 1.4). */
static int vdev_header_access(struct vdev *v, u64 offset, char __user *buf, size_t count, bool write)
{
	u64 wide = 0;
	u32 narrow;
	int err;

	if (count != (offset == DEVICE_STATE || offset == RESERVED ? 4 : 8))
		return -EINVAL;
	if (write) {
		if (copy_from_user(count == 4 ? (void *)&narrow : &wide, buf, count))
			return -EFAULT;
		return vdev_header_write(v, offset, count == 4 ? narrow : wide);
	}
	err = vdev_header_read(v, offset, &wide);
	if (err)
		return err;
	narrow = wide;
	return copy_to_user(buf, count == 4 ? (void *)&narrow : &wide, count) ? -EFAULT : 0;
}

static bool vdev_within(u64 offset, u64 count, u64 place, u64 size)
{
	return offset >= place && offset + count <= place + size;
}

/* What may be read of the data section: the staged chunk, and the bitmap. */
static bool vdev_readable(const struct vdev *v, u64 offset, u64 count)
{
	return (v->state & VDEV_SAVING) && (vdev_within(offset, count, v->save.place, v->save.size) ||
					    vdev_within(offset, count, v->layout.bitmap, v->dirty.bitmap_size));
}

int vdev_migration_access(struct vdev *v, u64 offset, char __user *buf, size_t count, bool write)
{
	if (offset < HEADER_SIZE)
		return vdev_header_access(v, offset, buf, count, write);
	if (offset < v->layout.data)
		return -EINVAL;
	if (!write) {
		if (!vdev_readable(v, offset, count))
			return -EINVAL;
		return copy_to_user(buf, vdev_at(v, offset), count) ? -EFAULT : 0;
	}
	if (!(v->state & VDEV_RESUMING))
		return -EINVAL;
	return vdev_resume_write(v, offset, buf, count);
}
