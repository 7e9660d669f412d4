# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2034 # for the script that sources this
# shellcheck disable=SC2054 # the commas are intended
#
# ARCH=arm64: QEMU's "virt" machine with an SMMUv3. See README for the meaning
# of the names.

PAGE_SIZES='4K 64K'
DEBIAN_ARCH=arm64
CROSS_COMPILE=aarch64-linux-gnu-
KERNEL_IMAGE=arch/arm64/boot/Image.gz

GUEST_PACKAGES='
gcc-aarch64-linux-gnu	kernel, test programs
libc6-dev-arm64-cross	test programs, static
qemu-system-arm	the guest
qemu-user	make test ONLY=NAME: the names of the tests
'

RUN=qemu-aarch64

QEMU=(qemu-system-aarch64 -M virt,gic-version=3,iommu=smmuv3,mte=on)
# Its counter has a tick for each nanosecond, as the benchmarks count those.
QEMU_CPU=max,pauth-impdef=on,cntfrq=1000000000
# ttyS0 and ttyS1; the console, the machine's only own port, is ttyAMA0.
QEMU_PORT=(-device pci-serial,chardev=%)

# As the other machine has them, but the third device does not bypass the IOMMU:
# the guest's setup makes the IOMMU pass its accesses through.
QEMU_DMA=(
	-device edu,addr=0x10
	-device edu,addr=0x11,dma_mask=0xffffffffff
	-device edu,addr=0x12
)

BOOT=(
	console=ttyAMA0
	HMM_RESULT=ttyS0 HMM_OUTPUT=ttyS1
	# Memory begins at 1 GiB; the dummy device's coherent memory is above
	# the kernel's 4 GiB.
	mem=4G
	test_hmm.spm_addr_dev0=0x140000000
	test_hmm.spm_addr_dev1=0x160000000
	HMM_EDU_OPEN=0000:00:12.0 HMM_PASS_THROUGH=0000:00:12.0
)
# Sizes of contiguous PTEs and PMDs, too.
BOOT_4K=(
	hugepages=128
	hugepagesz=64K hugepages=32
	hugepagesz=32M hugepages=4
)
# Huge pages have 512 MiB, too much for a pool; those of contiguous PTEs 2 MiB.
BOOT_64K=(hugepagesz=2M hugepages=32)
