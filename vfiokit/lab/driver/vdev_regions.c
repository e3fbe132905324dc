// SPDX-License-Identifier: GPL-2.0
/*
 * What the device tells of its regions and interrupts, config space, and BAR2.
 */
#include <linux/eventfd.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "vdev.h"

static unsigned int region_type = 2;
module_param(region_type, uint, 0444);
MODULE_PARM_DESC(region_type, "type of the migration region: 2 as posted in v5, 3 as merged");

static unsigned int region_subtype = 1;
module_param(region_subtype, uint, 0444);
MODULE_PARM_DESC(region_subtype, "subtype of the migration region");

static const u8 vdev_config_image[VDEV_CONFIG_SIZE] = VK_CONFIG_IMAGE;
static const u8 vdev_config_wmask[VDEV_CONFIG_SIZE] = VK_CONFIG_WMASK;

int vdev_num_regions(const struct vdev *v)
{
	return v->kind->migration ? VDEV_MIGRATION_REGION + 1 : VDEV_MIGRATION_REGION;
}

u64 vdev_region_size(const struct vdev *v, u32 index)
{
	switch (index) {
	case VFIO_PCI_BAR0_REGION_INDEX:
		return VK_BAR0_SIZE;
	case VFIO_PCI_BAR2_REGION_INDEX:
		return VK_BAR2_SIZE;
	case VFIO_PCI_CONFIG_REGION_INDEX:
		return VDEV_CONFIG_SIZE;
	case VDEV_MIGRATION_REGION:
		return v->layout.size;
	default:
		return 0;
	}
}

/* Fill in the areas of a region that may be mapped; return how many they are. */
int vdev_areas(const struct vdev *v, u32 index, struct vdev_area areas[2])
{
	const struct vdev_layout *layout = &v->layout;
	int count = 0;

	if (index == VFIO_PCI_BAR2_REGION_INDEX) {
		areas[count++] = (struct vdev_area){ VK_SCRATCH_OFFSET, VK_SCRATCH_SIZE, v->scratch };
	} else if (index == VDEV_MIGRATION_REGION) {
		if (v->kind->map_data)
			areas[count++] = (struct vdev_area){ layout->data, layout->data_size, v->data_section };
		if (v->kind->map_bitmap)
			areas[count++] = (struct vdev_area){ layout->bitmap, PAGE_ALIGN(layout->bitmap_size + 8),
							     v->data_section + layout->data_size };
	}
	return count;
}

static int vdev_add_sparse(struct vfio_info_cap *caps, const struct vdev_area *areas, int count)
{
	struct {
		struct vfio_region_info_cap_sparse_mmap cap;
		struct vfio_region_sparse_mmap_area areas[2];
	} sparse = {
		.cap.header.id = VFIO_REGION_INFO_CAP_SPARSE_MMAP,
		.cap.header.version = 1,
		.cap.nr_areas = count,
	};
	int i;

	for (i = 0; i < count; i++) {
		sparse.areas[i].offset = areas[i].offset;
		sparse.areas[i].size = areas[i].size;
	}
	return vfio_info_add_capability(caps, &sparse.cap.header, struct_size(&sparse.cap, areas, count));
}

static int vdev_add_type(struct vfio_info_cap *caps)
{
	struct vfio_region_info_cap_type type = {
		.header.id = VFIO_REGION_INFO_CAP_TYPE,
		.header.version = 1,
		.type = region_type,
		.subtype = region_subtype,
	};

	return vfio_info_add_capability(caps, &type.header, sizeof(type));
}

static long vdev_put_caps(struct vfio_region_info *info, struct vfio_info_cap *caps, void __user *arg)
{
	if (!caps->size)
		return 0;
	info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
	if (info->argsz < sizeof(*info) + caps->size) {
		info->argsz = sizeof(*info) + caps->size;
		return 0;
	}
	vfio_info_cap_shift(caps, sizeof(*info));
	if (copy_to_user(arg + sizeof(*info), caps->buf, caps->size))
		return -EFAULT;
	info->cap_offset = sizeof(*info);
	return 0;
}

long vdev_get_region_info(struct vdev *v, void __user *arg)
{
	struct vfio_info_cap caps = {};
	struct vfio_region_info info;
	struct vdev_area areas[2];
	long err = 0;
	int count;

	if (copy_from_user(&info, arg, sizeof(info)))
		return -EFAULT;
	if (info.argsz < sizeof(info) || info.index >= vdev_num_regions(v))
		return -EINVAL;
	info.cap_offset = 0;
	info.flags = 0;
	info.offset = VDEV_OFFSET(info.index);
	info.size = vdev_region_size(v, info.index);
	if (info.size)
		info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	count = vdev_areas(v, info.index, areas);
	if (count) {
		info.flags |= VFIO_REGION_INFO_FLAG_MMAP;
		err = vdev_add_sparse(&caps, areas, count);
	}
	if (!err && info.index == VDEV_MIGRATION_REGION)
		err = vdev_add_type(&caps);
	if (!err)
		err = vdev_put_caps(&info, &caps, arg);
	kfree(caps.buf);
	if (err)
		return err;
	return copy_to_user(arg, &info, sizeof(info)) ? -EFAULT : 0;
}

/* No INTx: config space has no interrupt pin. */
static u32 vdev_irq_count(u32 index)
{
	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		return 0;
	case VFIO_PCI_MSI_IRQ_INDEX:
		return VK_MSI_VECTORS;
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return VK_MSIX_VECTORS;
	default:
		return 1;
	}
}

long vdev_get_irq_info(struct vdev *v, void __user *arg)
{
	struct vfio_irq_info info;

	if (copy_from_user(&info, arg, sizeof(info)))
		return -EFAULT;
	if (info.argsz < sizeof(info) || info.index >= VDEV_NUM_IRQS)
		return -EINVAL;
	info.count = vdev_irq_count(info.index);
	info.flags = info.count ? VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_NORESIZE : 0;
	return copy_to_user(arg, &info, sizeof(info)) ? -EFAULT : 0;
}

/* The device raises no interrupt: triggers are checked, and none is kept. */
static long vdev_check_eventfds(const s32 *fds, u32 count)
{
	struct eventfd_ctx *context;
	u32 i;

	for (i = 0; i < count; i++) {
		if (fds[i] < 0)
			continue;
		context = eventfd_ctx_fdget(fds[i]);
		if (IS_ERR(context))
			return PTR_ERR(context);
		eventfd_ctx_put(context);
	}
	return 0;
}

long vdev_set_irqs(struct vdev *v, void __user *arg)
{
	size_t minsz = offsetofend(struct vfio_irq_set, count), data_size = 0;
	struct vfio_irq_set set;
	s32 *fds;
	long err;

	if (copy_from_user(&set, arg, minsz))
		return -EFAULT;
	if (set.index >= VDEV_NUM_IRQS)
		return -EINVAL;
	err = vfio_set_irqs_validate_and_prepare(&set, vdev_irq_count(set.index), VDEV_NUM_IRQS, &data_size);
	if (err)
		return err;
	if ((set.flags & VFIO_IRQ_SET_ACTION_TYPE_MASK) != VFIO_IRQ_SET_ACTION_TRIGGER)
		return -EINVAL;
	switch (set.flags & VFIO_IRQ_SET_DATA_TYPE_MASK) {
	case VFIO_IRQ_SET_DATA_NONE:
		return 0;
	case VFIO_IRQ_SET_DATA_EVENTFD:
		fds = memdup_user(arg + minsz, data_size);
		if (IS_ERR(fds))
			return PTR_ERR(fds);
		err = vdev_check_eventfds(fds, set.count);
		kfree(fds);
		return err;
	default:
		return -EINVAL;
	}
}

void vdev_config_reset(struct vdev *v)
{
	memcpy(v->config, vdev_config_image, sizeof(v->config));
}

/* Bits that cannot be written keep their value: so a BAR written with ones tells its size. */
int vdev_config_access(struct vdev *v, u64 offset, char __user *buf, size_t count, bool write)
{
	u8 bytes[VDEV_CONFIG_SIZE];
	size_t i;

	if (!write)
		return copy_to_user(buf, v->config + offset, count) ? -EFAULT : 0;
	if (copy_from_user(bytes, buf, count))
		return -EFAULT;
	for (i = 0; i < count; i++) {
		u8 *byte = &v->config[offset + i], mask = vdev_config_wmask[offset + i];

		*byte = (*byte & ~mask) | (bytes[i] & mask);
	}
	return 0;
}

/* The MSI-X table and the scratch memory are stored; what is between them reads as zero. */
static u8 *vdev_bar2_byte(struct vdev *v, u64 offset)
{
	if (offset >= VK_MSIX_TABLE_OFFSET && offset - VK_MSIX_TABLE_OFFSET < VDEV_MSIX_TABLE_SIZE)
		return v->msix_table + (offset - VK_MSIX_TABLE_OFFSET);
	if (offset >= VK_SCRATCH_OFFSET && offset < VK_SCRATCH_OFFSET + VK_SCRATCH_SIZE)
		return v->scratch + (offset - VK_SCRATCH_OFFSET);
	return NULL;
}

int vdev_bar2_access(struct vdev *v, u64 offset, char __user *buf, size_t count, bool write)
{
	u8 *bytes = write ? memdup_user(buf, count) : kzalloc(count, GFP_KERNEL_ACCOUNT);
	int err = 0;
	size_t i;

	if (IS_ERR_OR_NULL(bytes))
		return bytes ? PTR_ERR(bytes) : -ENOMEM;
	for (i = 0; i < count; i++) {
		u8 *byte = vdev_bar2_byte(v, offset + i);

		if (byte && write)
			*byte = bytes[i];
		else if (byte)
			bytes[i] = *byte;
	}
	if (!write && copy_to_user(buf, bytes, count))
		err = -EFAULT;
	kfree(bytes);
	return err;
}
