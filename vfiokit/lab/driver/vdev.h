/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The vfiokit virtual device as a mediated device: what its parts share.
 *
 * vdev_main.c       the module, the mdev types, a device's life, its file operations
 * vdev_regions.c    region and interrupt information, config space, BAR2
 * vdev_registers.c  BAR0
 * vdev_workload.c   page writes to guest memory, block changes of device memory, their worker
 * vdev_migration.c  the migration region (v5, July 2019): header, states, data section
 * vdev_save.c       records made from the device
 * vdev_resume.c     records taken into the device
 * vdev_dirty.c      pages written by the device's DMA
 */
#ifndef VDEV_H
#define VDEV_H

#include <linux/build_bug.h>
#include <linux/mdev.h>
#include <linux/mutex.h>
#include <linux/types.h>
#include <linux/vfio.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "vfiokit_model.h"

#define VDEV_OFFSET_SHIFT 40
#define VDEV_OFFSET(index) ((u64)(index) << VDEV_OFFSET_SHIFT)
#define VDEV_OFFSET_MASK (VDEV_OFFSET(1) - 1)

#define VDEV_CONFIG_SIZE 256
#define VDEV_MIGRATION_REGION 9
#define VDEV_NUM_IRQS (VFIO_PCI_REQ_IRQ_INDEX + 1)
#define VDEV_MSIX_TABLE_SIZE (VK_MSIX_VECTORS * 16)

/* device_state (v5 spec 1.2). linux/vfio.h has names for these bits, and gives them other values since. */
#define VDEV_RUNNING BIT(0)
#define VDEV_SAVING BIT(1)
#define VDEV_RESUMING BIT(2)

/* The head of every record; all little-endian. */
struct vdev_record {
	__le32 magic;
	__le16 version;
	__le16 kind;
	__le64 offset;
	__le64 length;
	__le32 crc;
	__le32 flags;
	__le64 state_size;
	u8 zero[24];
} __packed;

static_assert(sizeof(struct vdev_record) == VK_RECORD_HEAD_SIZE);
static_assert(offsetof(struct vdev_record, length) == VK_HEAD_LENGTH);
static_assert(offsetof(struct vdev_record, state_size) == VK_HEAD_STATE_SIZE);

/* What an mdev type offers. */
struct vdev_kind {
	struct mdev_type type;
	u64 state_size;
	bool migration;
	bool map_data;
	bool map_bitmap;
	bool registers_apart; /* the registers record has a trapped place of its own */
};

/* Places in the migration region, bytes from its start; the data section starts at `data`. */
struct vdev_layout {
	u32 data;
	u32 data_size;
	u32 bitmap;
	u32 bitmap_size;
	u32 registers;
	u32 size;
};

/* A part of a region that may be mapped. */
struct vdev_area {
	u64 offset;
	u64 size;
	void *memory;
};

struct vdev_save {
	u64 cursor; /* the block where the search for dirty ones goes on */
	u64 place; /* of the staged record */
	u64 size; /* 0: nothing is staged */
	bool registers_staged;
	bool registers_sent;
	bool announced; /* data_size was read: the record counts as delivered */
};

struct vdev_resume {
	bool offered; /* data_offset told a place, whose chunk has not been consumed */
	u64 size; /* of that chunk, from data_size; 0: not told yet */
	u64 written; /* bytes of it that came by pwrite */
	bool broken; /* a record was refused */
	bool registers_missing; /* they are the last to come */
	bool raw_due; /* the next chunk is the memory that `raw` announced */
	struct vdev_record raw;
};

struct vdev_dirty {
	struct xarray log; /* pfn >> VDEV_LOG_SHIFT to a page of bits */
	u64 start_pfn;
	u64 page_size; /* 0, which is refused, until it is written */
	u64 total_pfns;
	bool start_known;
	u64 done; /* pages of the request that were answered */
	u64 bitmap_size; /* bytes that may be read; 0: no bitmap is there */
};

struct vdev {
	struct vfio_device vfio;
	const struct vdev_kind *kind;
	struct vdev_layout layout;

	/*
	 * Guards all below. The mmap callback must not take it: a DMA takes mmap_lock with it held.
	 */
	struct mutex lock;
	bool open;

	u8 config[VDEV_CONFIG_SIZE];
	u8 registers[VK_REGISTERS_SIZE];
	u8 msix_table[VDEV_MSIX_TABLE_SIZE];
	bool dma_refused;
	void *scratch;
	void *memory;
	unsigned long *memory_dirty; /* a bit for each block of device memory */

	struct delayed_work work;
	bool working;
	u64 dma_clock; /* ns; page writes are made up to here */
	u64 change_clock;

	u32 state;
	bool bitmap_next; /* data_offset will mean the bitmap */
	void *data_section;
	struct vdev_save save;
	struct vdev_resume resume;
	struct vdev_dirty dirty;
};

static inline void *vdev_at(const struct vdev *v, u64 offset)
{
	return v->data_section + (offset - v->layout.data);
}

static inline u64 vdev_blocks(const struct vdev *v)
{
	return v->kind->state_size / VK_PAGE_SIZE;
}

/* vdev_regions.c */
long vdev_get_region_info(struct vdev *v, void __user *arg);
long vdev_get_irq_info(struct vdev *v, void __user *arg);
long vdev_set_irqs(struct vdev *v, void __user *arg);
int vdev_num_regions(const struct vdev *v);
u64 vdev_region_size(const struct vdev *v, u32 index);
int vdev_areas(const struct vdev *v, u32 index, struct vdev_area areas[2]);
void vdev_config_reset(struct vdev *v);
int vdev_config_access(struct vdev *v, u64 offset, char __user *buf, size_t count, bool write);
int vdev_bar2_access(struct vdev *v, u64 offset, char __user *buf, size_t count, bool write);

/* vdev_registers.c */
void vdev_registers_reset(struct vdev *v);
u64 vdev_register(const struct vdev *v, u32 offset);
void vdev_register_set(struct vdev *v, u32 offset, u64 value);
void vdev_registers_save(struct vdev *v, u8 *image);
int vdev_registers_load(struct vdev *v, const u8 *image);
int vdev_bar0_access(struct vdev *v, u64 offset, char __user *buf, size_t count, bool write);

/* vdev_workload.c */
u64 vdev_mix(u64 x);
void vdev_workload_init(struct vdev *v);
void vdev_workload_update(struct vdev *v);
void vdev_workload_wait(struct vdev *v);
void vdev_write_pages(struct vdev *v, u64 count);
void vdev_change_blocks(struct vdev *v, u64 count);

/* vdev_migration.c */
int vdev_layout_make(const struct vdev_kind *kind, struct vdev_layout *layout);
void vdev_migration_reset(struct vdev *v);
int vdev_migration_access(struct vdev *v, u64 offset, char __user *buf, size_t count, bool write);

/* vdev_save.c */
void vdev_save_begin(struct vdev *v);
void vdev_save_running(struct vdev *v);
u64 vdev_save_pending(struct vdev *v);
u64 vdev_save_stage(struct vdev *v);

/* vdev_resume.c */
void vdev_resume_begin(struct vdev *v);
void vdev_resume_end(struct vdev *v);
bool vdev_resume_incomplete(const struct vdev *v);
int vdev_resume_place(struct vdev *v, u64 *place);
int vdev_resume_size(struct vdev *v, u64 size);
int vdev_resume_write(struct vdev *v, u64 offset, const char __user *buf, size_t count);

/* vdev_dirty.c */
int vdev_dirty_reserve(struct vdev *v, u64 pfn);
void vdev_dirty_mark(struct vdev *v, u64 pfn);
void vdev_dirty_clear(struct vdev *v);
void vdev_dirty_request(struct vdev *v, u64 *field, u64 value);
void vdev_dirty_forget(struct vdev *v);
int vdev_dirty_report(struct vdev *v, u64 *copied);

#endif
