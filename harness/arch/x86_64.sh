# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# shellcheck disable=SC2034 # for the script that sources this
# shellcheck disable=SC2016,SC2054 # the dollars and commas are intended
#
# ARCH=x86_64: QEMU's "q35" machine with an Intel IOMMU. See README for the
# meaning of the names.

PAGE_SIZES=4K
DEBIAN_ARCH=amd64
CROSS_COMPILE=
KERNEL_IMAGE=arch/x86/boot/bzImage

GUEST_PACKAGES='
busybox-static	the shell and tools of the guest
libc6-dev	test programs, static
qemu-system-x86	the guest
'

RUN=

QEMU=(qemu-system-x86_64 -M q35,kernel-irqchip=off)
QEMU_CPU=max,la57=off
# ttyS1 and ttyS2; the console is ttyS0.
QEMU_PORT=(-serial chardev:%)

# An edu device with its default DMA mask, one with a wider mask, and one that
# bypasses the IOMMU.
QEMU_DMA=(
	-device intel-iommu,intremap=off
	-device edu,addr=0x10
	-device edu,addr=0x11,dma_mask=0xffffffffff
	-device pxb-pcie,id=open,bus_nr=0x40,bypass_iommu=on
	-device pcie-root-port,id=open-port,bus=open,chassis=1
	-device edu,bus=open-port
)

BOOT=(
	console=ttyS0,115200
	HMM_RESULT=ttyS1 HMM_OUTPUT=ttyS2
	# Two holes in memory for the dummy device's coherent memory.
	'memmap=512M$0x120000000' 'memmap=512M$0x140000000'
	test_hmm.spm_addr_dev0=0x120000000
	test_hmm.spm_addr_dev1=0x140000000
	intel_iommu=on
	HMM_EDU_OPEN=0000:41:00.0
)
BOOT_4K=(hugepages=128)
