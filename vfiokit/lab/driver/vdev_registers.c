// SPDX-License-Identifier: GPL-2.0
/*
 * BAR0: the register file, kept as its little-endian image.
 */
#include <linux/uaccess.h>

#include "vdev.h"
#include "vdev_compat.h"

static const struct vdev_register {
	u8 offset, width;
	bool readable, writable;
} vdev_registers[] = {
#define VDEV_REGISTER(name, offset, width, readable, writable) { offset, width, readable, writable },
	VK_FOR_EACH_REGISTER(VDEV_REGISTER)
#undef VDEV_REGISTER
};

static const struct vdev_register *vdev_register_find(u64 offset)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vdev_registers); i++)
		if (offset - vdev_registers[i].offset < vdev_registers[i].width)
			return &vdev_registers[i];
	return NULL;
}

u64 vdev_register(const struct vdev *v, u32 offset)
{
	const u8 *at = v->registers + offset;

	return vdev_register_find(offset)->width == 8 ? get_unaligned_le64(at) : get_unaligned_le32(at);
}

void vdev_register_set(struct vdev *v, u32 offset, u64 value)
{
	u8 *at = v->registers + offset;

	if (vdev_register_find(offset)->width == 8)
		put_unaligned_le64(value, at);
	else
		put_unaligned_le32(value, at);
}

static void vdev_status_update(struct vdev *v)
{
	vdev_register_set(v, VK_REG_STATUS,
			  (v->state & VDEV_RUNNING ? VK_STATUS_RUNNING : 0) |
				  (v->dma_refused ? VK_STATUS_DMA_REFUSED : 0));
}

static void vdev_identity(struct vdev *v)
{
	vdev_register_set(v, VK_REG_ID, VK_ID_VALUE);
	vdev_register_set(v, VK_REG_VERSION, VK_VERSION_VALUE);
	vdev_register_set(v, VK_REG_STATE_SIZE, v->kind->state_size);
}

void vdev_registers_reset(struct vdev *v)
{
	memset(v->registers, 0, sizeof(v->registers));
	v->dma_refused = false;
	vdev_identity(v);
	vdev_register_set(v, VK_REG_SEED, 1);
}

void vdev_registers_save(struct vdev *v, u8 *image)
{
	vdev_status_update(v);
	memcpy(image, v->registers, VK_REGISTERS_SIZE);
}

/* What the device is stays its own; what it was told and has done is the record's. */
int vdev_registers_load(struct vdev *v, const u8 *image)
{
	if (get_unaligned_le32(image + VK_REG_ID) != VK_ID_VALUE ||
	    get_unaligned_le32(image + VK_REG_VERSION) != VK_VERSION_VALUE)
		return -EINVAL;
	memcpy(v->registers, image, VK_REGISTERS_SIZE);
	v->dma_refused = vdev_register(v, VK_REG_STATUS) & VK_STATUS_DMA_REFUSED;
	vdev_identity(v);
	return 0;
}

static int vdev_register_write(struct vdev *v, const struct vdev_register *reg, u64 value)
{
	switch (reg->offset) {
	case VK_REG_CONTROL:
		value &= VK_CTRL_RUN;
		break;
	case VK_REG_PATTERN:
		if (value > VK_PATTERN_STRIDED)
			return -EINVAL;
		break;
	case VK_REG_WINDOW_IOVA:
		if (value % VK_PAGE_SIZE)
			return -EINVAL;
		break;
	case VK_REG_DOORBELL:
	case VK_REG_STATE_DOORBELL:
		if (!(v->state & VDEV_RUNNING))
			return -EBUSY;
		if (reg->offset == VK_REG_DOORBELL)
			vdev_write_pages(v, value);
		else
			vdev_change_blocks(v, value);
		return 0;
	}
	vdev_register_set(v, reg->offset, value);
	vdev_workload_update(v);
	return 0;
}

/* One access of a register's width, or of one half of a 64-bit one; anything else is -EINVAL. */
int vdev_bar0_access(struct vdev *v, u64 offset, char __user *buf, size_t count, bool write)
{
	const struct vdev_register *reg = vdev_register_find(offset);
	__le64 value;

	if (!reg || !(write ? reg->writable : reg->readable))
		return -EINVAL;
	if (!(count == reg->width && offset == reg->offset) && !(count == 4 && offset % 4 == 0))
		return -EINVAL;
	if (!write) {
		vdev_status_update(v);
		return copy_to_user(buf, v->registers + offset, count) ? -EFAULT : 0;
	}
	value = cpu_to_le64(vdev_register(v, reg->offset));
	if (copy_from_user((u8 *)&value + (offset - reg->offset), buf, count))
		return -EFAULT;
	if (reg->width == 4)
		return vdev_register_write(v, reg, (u32)le64_to_cpu(value));
	return vdev_register_write(v, reg, le64_to_cpu(value));
}
