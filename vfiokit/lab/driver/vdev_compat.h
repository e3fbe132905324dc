/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between the kernels that the lab uses. Built for Debian's 6.1 and 6.12; the versions
 * below are those of the change in mainline.
 */
#ifndef VDEV_COMPAT_H
#define VDEV_COMPAT_H

#include <linux/device.h>
#include <linux/version.h>
#include <linux/vfio.h>
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
#include <asm/unaligned.h>
#else
#include <linux/unaligned.h>
#endif

static inline struct class *vdev_class_create(const char *name)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0)
	return class_create(THIS_MODULE, name);
#else
	return class_create(name);
#endif
}

/* Until 6.2 the driver's release callback freed the structure; since then the core does. */
static inline void vdev_free_device(struct vfio_device *vfio)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
	vfio_free_device(vfio);
#endif
}

/* Since 6.2 a device must say how it is bound to iommufd, even where that is not configured. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define VDEV_IOMMUFD_OPS
#else
#define VDEV_IOMMUFD_OPS                                                                             \
	.bind_iommufd = vfio_iommufd_emulated_bind, .unbind_iommufd = vfio_iommufd_emulated_unbind, \
	.attach_ioas = vfio_iommufd_emulated_attach_ioas,                                            \
	.detach_ioas = vfio_iommufd_emulated_detach_ioas,
#endif

#endif
