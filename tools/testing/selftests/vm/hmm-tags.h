/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tags of memory (arm64's MTE): 4 bits for each 16 bytes, beside the data.
 */
#ifndef SELFTESTS_VM_HMM_TAGS_H
#define SELFTESTS_VM_HMM_TAGS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/auxv.h>

#ifndef HWCAP2_MTE
#define HWCAP2_MTE	0x40000
#endif

#ifdef __aarch64__
/* Missing from the headers of some distributions. */
#ifndef PROT_MTE
#define PROT_MTE	0x20
#endif

static inline bool hmm_has_tags(void)
{
	return getauxval(AT_HWCAP2) & HWCAP2_MTE;
}

/* Set the tag of the 16 bytes at @addr, in memory with PROT_MTE. */
static inline void hmm_set_tag(void *addr, unsigned int tag)
{
	uint64_t tagged = (uint64_t)addr | (uint64_t)tag << 56;

	asm volatile(".arch armv8.5-a+memtag\n\tstg %0, [%0]"
		     :
		     : "r"(tagged)
		     : "memory");
}

static inline unsigned int hmm_get_tag(void *addr)
{
	uint64_t tagged = (uint64_t)addr;

	asm volatile(".arch armv8.5-a+memtag\n\tldg %0, [%0]"
		     : "+r"(tagged)
		     :
		     : "memory");
	return tagged >> 56 & 0xf;
}
#else
#define PROT_MTE	0

static inline bool hmm_has_tags(void)
{
	return false;
}

static inline void hmm_set_tag(void *addr, unsigned int tag)
{
}

static inline unsigned int hmm_get_tag(void *addr)
{
	return 0;
}
#endif

#endif /* SELFTESTS_VM_HMM_TAGS_H */
