// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the dummy device with anonymous memory in special states, and with
 * mappings that are not ordinary memory.
 */
#define _GNU_SOURCE
#include <glob.h>
#include <sched.h>
#include <signal.h>

#include "hmm-device.h"

DEVICE_TEST(zero_page)
{
	for (size_t i = 0; i < SIZE; i += PAGE)
		ASSERT_EQ(0, cpu_read(self->r.ptr + i));
	test_all_prot(HMM_DMIRROR_PROT_ZERO | HMM_DMIRROR_PROT_READ,
		      self->r.ptr, NPAGES);
	test_sees_zeros(self->r.ptr, NPAGES);
	hmm_fill(self->r.buf, PAGE);
	test_write(self->r.ptr + PAGE, 1);
	EXPECT_EQ(1, self->r.cmd.faults);
	EXPECT_EQ(0, memcmp(self->r.ptr + PAGE, self->r.buf, PAGE));
	EXPECT_TRUE(is_zero(self->r.ptr, PAGE));
	EXPECT_TRUE(is_zero(self->r.ptr + 2 * PAGE, PAGE));
	test_all_prot(HMM_DMIRROR_PROT_WRITE, self->r.ptr + PAGE, 1);
}

DEVICE_TEST(snapshot_distinguishes_pages)
{
	static const uint8_t want[] = {
		HMM_DMIRROR_PROT_NONE,
		HMM_DMIRROR_PROT_ZERO | HMM_DMIRROR_PROT_READ,
		HMM_DMIRROR_PROT_READ,
		HMM_DMIRROR_PROT_WRITE,
		HMM_DMIRROR_PROT_ERROR,		/* without access */
		HMM_DMIRROR_PROT_ERROR,		/* nothing mapped */
		HMM_DMIRROR_PROT_NONE,
	};
	char *p = self->r.ptr;

	ASSERT_EQ(0, cpu_read(p + PAGE));
	p[2 * PAGE] = 1;
	p[3 * PAGE] = 1;
	p[4 * PAGE] = 1;
	ASSERT_EQ(0, mprotect(p + 2 * PAGE, PAGE, PROT_READ));
	ASSERT_EQ(0, mprotect(p + 4 * PAGE, PAGE, PROT_NONE));
	ASSERT_EQ(0, munmap(p + 5 * PAGE, PAGE));
	test_snapshot(p, ARRAY_SIZE(want));
	EXPECT_EQ(0, memcmp(want, self->r.buf, sizeof(want)));
}

/* One read-only page fails the request, but not the next one. */
DEVICE_TEST(write_to_mixed_access_is_refused)
{
	rig_fill(&self->r);
	memcpy(self->r.buf, self->r.data, SIZE);
	ASSERT_EQ(0, mprotect(self->r.ptr + 2 * PAGE, PAGE, PROT_READ));
	test_err_write(EPERM, self->r.ptr, 4);
	test_err_write(EPERM, self->r.ptr + 2 * PAGE, 1);
	test_write(self->r.ptr, 2);
	test_write(self->r.ptr + 3 * PAGE, 1);
	memcpy(self->r.data + 3 * PAGE, self->r.buf, PAGE);
	test_sees(self->r.ptr, self->r.data, NPAGES);
}

/* Device requests must not reach addresses of the kernel. */
DEVICE_TEST(kernel_addresses_are_refused)
{
	static const uint64_t address[] = {
		0x00007ffffffff000, 0x0000800000000000, 0xffff888000000000,
		0xffffea0000000000, 0xffffffff81000000, 0xffffffffff600000,
		0xffffffffffffe000,
	};

	for (size_t i = 0; i < ARRAY_SIZE(address); i++) {
		void *addr = (void *)address[i];

		test_all_prot(HMM_DMIRROR_PROT_ERROR, addr, 1);
		test_err_read(EFAULT, addr, 1);
		test_err_write(EFAULT, addr, 1);
		test_err_compute(EFAULT, addr, 1);
	}
}

/*
 * Map more entries than the device drops at once, then invalidate a part, then
 * all of them. munmap() invalidates the whole huge page at both ends, so the
 * part is aligned to huge pages.
 */
DEVICE_TEST(large_span_is_dropped)
{
	const size_t part = HUGE / PAGE, npages = 20 * part, gone = 18 * part;
	const size_t size = npages * PAGE + HUGE;
	char *base = mmap(NULL, size, PROT_READ,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *ptr = hmm_huge_align(base);

	ASSERT_NE(MAP_FAILED, base);
	test_compute(ptr, npages);
	test_stats();
	EXPECT_EQ(npages, self->r.stats.mapped);
	ASSERT_EQ(0, munmap(ptr + HUGE, gone * PAGE));
	test_stats();
	EXPECT_EQ(npages - gone, self->r.stats.mapped);
	EXPECT_EQ(gone, self->r.stats.dropped);
	test_compute(ptr, part);
	EXPECT_EQ(0, self->r.compute.faults);
	ASSERT_EQ(0, munmap(base, size));
	test_stats();
	EXPECT_EQ(0, self->r.stats.mapped);
	EXPECT_EQ(npages, self->r.stats.dropped);
}

static int protect_zero(char *zero)
{
	return mprotect(zero, PAGE, PROT_READ);
}

/*
 * The second page is on the other node. After NUMA balancing has changed its
 * entry, a touch migrates it to this node. Scans start at address 0, and depend
 * on the CPU time that the process has used.
 */
static int scan_zero(char *zero)
{
	double end = hmm_now() + 60;
	cpu_set_t first;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	zero[PAGE] = 1;
	if (sched_setaffinity(0, sizeof(first), &first) ||
	    hmm_move_pages(zero + PAGE, 1, 1) != 1 ||
	    hmm_write_number(NUMA_BALANCING, 1))
		return -1;
	while (hmm_page_node(zero + PAGE) == 1 && hmm_now() < end)
		for (int i = 0; i < 1000 * 1000; i++)
			__atomic_store_n(zero + PAGE, 1, __ATOMIC_RELAXED);
	return hmm_write_number(NUMA_BALANCING, 0) || hmm_page_node(zero + PAGE);
}

/*
 * The end that is missing may be taken for that of the next change elsewhere, so
 * the device reads a page of every mapping. A read may fail, but not wait.
 */
static int read_every_mapping(int fd, void *buf)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long start;
	char line[512];
	int err = 0;

	while (maps && !err && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-", &start) != 1)
			continue;
		err = hmm_cmd(fd, HMM_DMIRROR_READ, (void *)start, buf, 1,
			      NULL);
		if (err == -EFAULT)
			err = 0;
	}
	if (maps)
		fclose(maps);
	return maps ? err : -errno;
}

/* In the child: change memory at address 0, then have other memory read. */
static int read_beside_zero(struct rig *r, int (*change)(char *zero))
{
	char *zero = mmap(NULL, 2 * PAGE, FULL_ACCESS,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	const size_t npages = r->size / PAGE;
	int fd = hmm_open(0);

	if (zero == MAP_FAILED || fd < 0)
		return 1;
	__atomic_store_n(zero, 1, __ATOMIC_RELAXED);
	if (hmm_cmd(fd, HMM_DMIRROR_READ, r->ptr, r->buf, npages, NULL))
		return 2;
	if (change(zero) || mprotect(r->ptr, PAGE, PROT_READ) ||
	    mprotect(r->ptr, PAGE, FULL_ACCESS))
		return 3;
	/* A bound on a wait that never ends */
	alarm(60);
	if (hmm_cmd(fd, HMM_DMIRROR_READ, r->ptr, r->buf, npages, NULL) ||
	    memcmp(r->buf, r->data, r->size))
		return 4;
	if (hmm_cmd(fd, HMM_DMIRROR_READ, zero, r->buf, 2, NULL) ||
	    r->buf[0] != 1)
		return 5;
	return read_every_mapping(fd, r->buf) ? 6 : 0;
}

/* If the kernel omits the end of that change, the device waits forever. */
#define test_zero_changes(_change) do {					      \
	pid_t _pid;							      \
									      \
	rig_fill(&self->r);						      \
	_pid = fork();							      \
	ASSERT_LE(0, _pid);						      \
	if (!_pid)							      \
		_exit(read_beside_zero(&self->r, _change));		      \
	EXPECT_EQ(0, hmm_wait_child(_pid));				      \
} while (0)

DEVICE_TEST(memory_at_address_zero_changes)
{
	test_zero_changes(protect_zero);
}

DEVICE_TEST(memory_at_address_zero_is_scanned)
{
	test_zero_changes(scan_zero);
}

/* Find a mapping of this process by its name; NULL if there is none. */
static char *find_mapping(const char *name)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long start = 0;
	char line[512];

	while (maps && !start && fgets(line, sizeof(line), maps))
		if (strstr(line, name))
			start = strtoul(line, NULL, 16);
	if (maps)
		fclose(maps);
	return (char *)start;
}

DEVICE_TEST(vdso_can_be_read)
{
	char *vdso = find_mapping("[vdso]");

	ASSERT_NE(NULL, vdso);
	test_sees(vdso, vdso, 1);
	test_all_prot(HMM_DMIRROR_PROT_READ, vdso, 1);
	test_err_write(EPERM, vdso, 1);
	/* The vDSO stays mapped, so close the context that has entries of it */
	ASSERT_EQ(0, close(self->r.fd));
	self->r.fd = hmm_open(0);
	ASSERT_LE(0, self->r.fd);
}

/* Memory that is not in the kernel's direct map. */
DEVICE_TEST(secret_memory_is_refused)
{
	int fd = syscall(SYS_memfd_secret, 0);
	char *secret;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ftruncate(fd, PAGE));
	secret = mmap(NULL, PAGE, FULL_ACCESS, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, secret);
	*secret = 's';
	test_all_prot(HMM_DMIRROR_PROT_ERROR, secret, 1);
	test_err_read(EFAULT, secret, 1);
	test_err_write(EFAULT, secret, 1);
	test_err_compute(EFAULT, secret, 1);
	EXPECT_EQ(-ENOENT, hmm_cmd(self->r.fd, HMM_DMIRROR_MIGRATE_TO_DEV,
				   secret, self->r.buf, 1, NULL));
	EXPECT_EQ('s', cpu_read(secret));
	ASSERT_EQ(0, munmap(secret, PAGE));
	ASSERT_EQ(0, close(fd));
}

/* Map the registers of any PCI device; the test guest has an edu device. */
static char *map_registers(void)
{
	char *map = MAP_FAILED;
	glob_t found;

	if (glob("/sys/bus/pci/devices/*/resource0", 0, NULL, &found))
		return MAP_FAILED;
	for (size_t i = 0; map == MAP_FAILED && i < found.gl_pathc; i++) {
		int fd = open(found.gl_pathv[i], O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			continue;
		map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
		close(fd);
	}
	globfree(&found);
	return map;
}

/* VM_PFNMAP and VM_IO: memory without struct pages. */
DEVICE_TEST(pfn_mapping_is_refused)
{
	char *registers = map_registers();

	ASSERT_NE(MAP_FAILED, registers);
	test_all_prot(HMM_DMIRROR_PROT_ERROR, registers, 1);
	test_err_read(EFAULT, registers, 1);
	test_err_compute(EFAULT, registers, 1);
	ASSERT_EQ(0, munmap(registers, PAGE));
}

DEVICE_TEST(mixed_map_is_memory)
{
	char *map =
		mmap(NULL, 8 * PAGE, FULL_ACCESS, MAP_SHARED, self->r.fd, 0);

	ASSERT_NE(MAP_FAILED, map);
	hmm_fill(map, 8 * PAGE);
	test_all_prot(HMM_DMIRROR_PROT_WRITE, map, 8);
	test_sees(map, map, 8);
	hmm_fill(self->r.buf, 8 * PAGE);
	test_write(map, 8);
	EXPECT_EQ(0, memcmp(map, self->r.buf, 8 * PAGE));
	ASSERT_EQ(0, munmap(map, 8 * PAGE));

	map = mmap(NULL, PAGE, FULL_ACCESS, MAP_PRIVATE, self->r.fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	test_all_prot(HMM_DMIRROR_PROT_READ, map, 1);
	test_sees_zeros(map, 1);
	ASSERT_EQ(0, munmap(map, PAGE));
}

/* Memory failure signals the user of the page, which is this process. */
static void ignore_poison(int signal)
{
}

DEVICE_TEST(poisoned_page_is_refused)
{
	char *page = self->r.ptr + 3 * PAGE;

	ASSERT_NE(SIG_ERR, signal(SIGBUS, ignore_poison));
	rig_fill(&self->r);
	test_read(self->r.ptr, NPAGES);
	if (madvise(page, PAGE, MADV_HWPOISON)) {
		ASSERT_EQ(EINVAL, errno);
		SKIP(return, "kernel without MEMORY_FAILURE");
	}
	test_err_read(EFAULT, page, 1);
	test_err_write(EFAULT, page, 1);
	test_err_read(EFAULT, self->r.ptr, NPAGES);
	test_all_prot(HMM_DMIRROR_PROT_ERROR, page, 1);
	test_sees(self->r.ptr, self->r.data, 3);
	test_sees(page + PAGE, self->r.data + 4 * PAGE, NPAGES - 4);
	signal(SIGBUS, SIG_DFL);
}

int main(int argc, char **argv)
{
	return rig_main(argc, argv);
}
