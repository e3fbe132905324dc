// SPDX-License-Identifier: GPL-2.0
/*
 * vfiokit_vdev: mediated devices that can be migrated, for tests of those who migrate them.
 *
 * The programming model is vfiokit's virtual device, the migration interface is the region of the
 * QEMU posting v5 (July 2019). There is no hardware behind it.
 */
#include <linux/bitmap.h>
#include <linux/init.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>

#include "vdev.h"
#include "vdev_compat.h"

#define VDEV_NAME "vfiokit_vdev"
#define VDEV_MAX_INSTANCES 16

#define VDEV_KIND(name, text, mib, ...)                                       \
	{                                                                     \
		.type = { .sysfs_name = name, .pretty_name = text },          \
		.state_size = (mib) * SZ_1M, __VA_ARGS__                      \
	}
#define VDEV_MAPPED .migration = true, .map_data = true

static struct vdev_kind vdev_kinds[] = {
	VDEV_KIND("v5-4m", "v5, 4 MiB of device memory", 4, VDEV_MAPPED, .map_bitmap = true),
	VDEV_KIND("v5-16m", "v5, 16 MiB of device memory", 16, VDEV_MAPPED, .map_bitmap = true),
	VDEV_KIND("v5-64m", "v5, 64 MiB of device memory", 64, VDEV_MAPPED, .map_bitmap = true),
	VDEV_KIND("v5-trapped", "v5, 4 MiB, the data section is trapped", 4, .migration = true),
	VDEV_KIND("v5-mixed", "v5, 4 MiB, only device memory's records are mapped", 4, VDEV_MAPPED,
		  .registers_apart = true),
	VDEV_KIND("none", "4 MiB, no migration region", 4, .migration = false),
};

static struct mdev_type *vdev_types[ARRAY_SIZE(vdev_kinds)];

static struct vdev *vdev_of(struct vfio_device *vfio)
{
	return container_of(vfio, struct vdev, vfio);
}

/* As after power-on, and running (linux/vfio.h: the default). */
static void vdev_reset(struct vdev *v)
{
	unsigned int vector;

	vdev_config_reset(v);
	vdev_registers_reset(v);
	vdev_migration_reset(v);
	memset(v->msix_table, 0, sizeof(v->msix_table));
	for (vector = 0; vector < VK_MSIX_VECTORS; vector++)
		v->msix_table[16 * vector + 12] = 1; /* masked */
	memset(v->scratch, 0, VK_SCRATCH_SIZE);
	memset(v->memory, 0, v->kind->state_size);
	vdev_workload_update(v);
}

static void vdev_free(struct vdev *v)
{
	vdev_dirty_clear(v);
	vfree(v->data_section);
	vfree(v->memory);
	vfree(v->scratch);
	bitmap_free(v->memory_dirty);
}

static int vdev_init(struct vfio_device *vfio)
{
	struct vdev *v = vdev_of(vfio);
	int err;

	v->kind = container_of(to_mdev_device(vfio->dev)->type, struct vdev_kind, type);
	err = vdev_layout_make(v->kind, &v->layout);
	if (err)
		return err;
	mutex_init(&v->lock);
	xa_init(&v->dirty.log);
	vdev_workload_init(v);
	v->memory = vzalloc(v->kind->state_size);
	v->memory_dirty = bitmap_zalloc(vdev_blocks(v), GFP_KERNEL);
	v->scratch = vmalloc_user(VK_SCRATCH_SIZE);
	if (v->kind->migration)
		v->data_section = vmalloc_user(v->layout.size - v->layout.data);
	if (!v->memory || !v->memory_dirty || !v->scratch || (v->kind->migration && !v->data_section)) {
		vdev_free(v);
		return -ENOMEM;
	}
	vdev_reset(v);
	return 0;
}

static void vdev_release(struct vfio_device *vfio)
{
	struct vdev *v = vdev_of(vfio);

	vdev_free(v);
	mutex_destroy(&v->lock);
	vdev_free_device(vfio);
}

/* Each user finds the device as after a reset: nothing of the last one's is left. */
static int vdev_open(struct vfio_device *vfio)
{
	struct vdev *v = vdev_of(vfio);

	mutex_lock(&v->lock);
	v->open = true;
	vdev_reset(v);
	mutex_unlock(&v->lock);
	return 0;
}

static void vdev_close(struct vfio_device *vfio)
{
	struct vdev *v = vdev_of(vfio);

	mutex_lock(&v->lock);
	v->open = false;
	vdev_workload_update(v);
	mutex_unlock(&v->lock);
	vdev_workload_wait(v);
}

static int vdev_access(struct vdev *v, u64 position, char __user *buf, size_t count, bool write)
{
	u64 index = position >> VDEV_OFFSET_SHIFT, offset = position & VDEV_OFFSET_MASK;
	u64 size = index < vdev_num_regions(v) ? vdev_region_size(v, index) : 0;

	if (offset >= size || count > size - offset)
		return -EINVAL;
	switch (index) {
	case VFIO_PCI_BAR0_REGION_INDEX:
		return vdev_bar0_access(v, offset, buf, count, write);
	case VFIO_PCI_BAR2_REGION_INDEX:
		return vdev_bar2_access(v, offset, buf, count, write);
	case VFIO_PCI_CONFIG_REGION_INDEX:
		return vdev_config_access(v, offset, buf, count, write);
	case VDEV_MIGRATION_REGION:
		return vdev_migration_access(v, offset, buf, count, write);
	default:
		return -EINVAL;
	}
}

static ssize_t vdev_transfer(struct vfio_device *vfio, char __user *buf, size_t count, loff_t *position, bool write)
{
	struct vdev *v = vdev_of(vfio);
	bool running, stopped;
	int err;

	if (!count)
		return 0;
	mutex_lock(&v->lock);
	running = v->state & VDEV_RUNNING;
	err = vdev_access(v, *position, buf, count, write);
	stopped = running && !(v->state & VDEV_RUNNING);
	mutex_unlock(&v->lock);
	if (stopped)
		vdev_workload_wait(v);
	if (err)
		return err;
	*position += count;
	return count;
}

static ssize_t vdev_read(struct vfio_device *vfio, char __user *buf, size_t count, loff_t *position)
{
	return vdev_transfer(vfio, buf, count, position, false);
}

static ssize_t vdev_write(struct vfio_device *vfio, const char __user *buf, size_t count, loff_t *position)
{
	return vdev_transfer(vfio, (char __user *)buf, count, position, true);
}

static int vdev_mmap(struct vfio_device *vfio, struct vm_area_struct *vma)
{
	u64 start = (u64)vma->vm_pgoff << PAGE_SHIFT, size = vma->vm_end - vma->vm_start;
	u64 index = start >> VDEV_OFFSET_SHIFT, offset = start & VDEV_OFFSET_MASK;
	struct vdev *v = vdev_of(vfio);
	struct vdev_area areas[2];
	int count;

	if (!(vma->vm_flags & VM_SHARED) || index >= vdev_num_regions(v))
		return -EINVAL;
	for (count = vdev_areas(v, index, areas); count; count--) {
		const struct vdev_area *area = &areas[count - 1];

		if (offset >= area->offset && offset + size <= area->offset + area->size)
			return remap_vmalloc_range(vma, area->memory, (offset - area->offset) >> PAGE_SHIFT);
	}
	return -EINVAL;
}

static long vdev_get_info(struct vdev *v, void __user *arg)
{
	size_t minsz = offsetofend(struct vfio_device_info, num_irqs);
	struct vfio_device_info info;

	if (copy_from_user(&info, arg, minsz))
		return -EFAULT;
	if (info.argsz < minsz)
		return -EINVAL;
	info.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	info.num_regions = vdev_num_regions(v);
	info.num_irqs = VDEV_NUM_IRQS;
	return copy_to_user(arg, &info, minsz) ? -EFAULT : 0;
}

static long vdev_ioctl(struct vfio_device *vfio, unsigned int command, unsigned long arg)
{
	struct vdev *v = vdev_of(vfio);

	switch (command) {
	case VFIO_DEVICE_GET_INFO:
		return vdev_get_info(v, (void __user *)arg);
	case VFIO_DEVICE_GET_REGION_INFO:
		return vdev_get_region_info(v, (void __user *)arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return vdev_get_irq_info(v, (void __user *)arg);
	case VFIO_DEVICE_SET_IRQS:
		return vdev_set_irqs(v, (void __user *)arg);
	case VFIO_DEVICE_RESET:
		mutex_lock(&v->lock);
		vdev_reset(v);
		mutex_unlock(&v->lock);
		return 0;
	default:
		return -ENOTTY;
	}
}

static const struct vfio_device_ops vdev_ops = {
	.name = VDEV_NAME,
	.init = vdev_init,
	.release = vdev_release,
	.open_device = vdev_open,
	.close_device = vdev_close,
	.read = vdev_read,
	.write = vdev_write,
	.ioctl = vdev_ioctl,
	.mmap = vdev_mmap,
	VDEV_IOMMUFD_OPS
};

static int vdev_probe(struct mdev_device *mdev)
{
	struct vdev *v = vfio_alloc_device(vdev, vfio, &mdev->dev, &vdev_ops);
	int err;

	if (IS_ERR(v))
		return PTR_ERR(v);
	err = vfio_register_emulated_iommu_dev(&v->vfio);
	if (err) {
		vfio_put_device(&v->vfio);
		return err;
	}
	dev_set_drvdata(&mdev->dev, v);
	return 0;
}

static void vdev_remove(struct mdev_device *mdev)
{
	struct vdev *v = dev_get_drvdata(&mdev->dev);

	vfio_unregister_group_dev(&v->vfio);
	vfio_put_device(&v->vfio);
}

static struct mdev_driver vdev_driver = {
	.device_api = VFIO_DEVICE_API_PCI_STRING,
	.max_instances = VDEV_MAX_INSTANCES,
	.probe = vdev_probe,
	.remove = vdev_remove,
	.driver = {
		.name = VDEV_NAME,
		.owner = THIS_MODULE,
		.mod_name = KBUILD_MODNAME,
	},
};

static struct class *vdev_class;
static struct device *vdev_parent_device;
static struct mdev_parent vdev_parent;

static int __init vdev_module_init(void)
{
	struct vdev_layout layout;
	unsigned int i;
	int err;

	for (i = 0; i < ARRAY_SIZE(vdev_kinds); i++) {
		vdev_types[i] = &vdev_kinds[i].type;
		err = vdev_layout_make(&vdev_kinds[i], &layout);
		if (err)
			return err;
	}
	err = mdev_register_driver(&vdev_driver);
	if (err)
		return err;
	vdev_class = vdev_class_create(VDEV_NAME);
	if (IS_ERR(vdev_class)) {
		err = PTR_ERR(vdev_class);
		goto no_class;
	}
	vdev_parent_device = device_create(vdev_class, NULL, MKDEV(0, 0), NULL, VDEV_NAME);
	if (IS_ERR(vdev_parent_device)) {
		err = PTR_ERR(vdev_parent_device);
		goto no_device;
	}
	err = mdev_register_parent(&vdev_parent, vdev_parent_device, &vdev_driver, vdev_types, ARRAY_SIZE(vdev_types));
	if (!err)
		return 0;
	device_unregister(vdev_parent_device);
no_device:
	class_destroy(vdev_class);
no_class:
	mdev_unregister_driver(&vdev_driver);
	return err;
}

static void __exit vdev_module_exit(void)
{
	mdev_unregister_parent(&vdev_parent);
	device_unregister(vdev_parent_device);
	class_destroy(vdev_class);
	mdev_unregister_driver(&vdev_driver);
}

module_init(vdev_module_init);
module_exit(vdev_module_exit);

MODULE_DESCRIPTION("vfiokit's virtual device: mediated devices with the v5 migration region");
MODULE_LICENSE("GPL");
