/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fixture "device": a device context with anonymous memory, no variants.
 */
#ifndef SELFTESTS_VM_HMM_DEVICE_H
#define SELFTESTS_VM_HMM_DEVICE_H

#include "hmm-rig.h"

FIXTURE(device)
{
	struct rig r;
};

FIXTURE_SETUP(device)
{
	static const struct kind kind = KIND_ANON;
	int err = rig_setup(&self->r, &kind);

	if (err == -ENOENT)
		SKIP(return, NO_DEVICE);
	ASSERT_EQ(0, err);
}

FIXTURE_TEARDOWN(device)
{
	EXPECT_EQ(0, rig_teardown(&self->r));
}

#define DEVICE_TEST(_name) TEST_F_TIMEOUT(device, _name, SECONDS)

#endif /* SELFTESTS_VM_HMM_DEVICE_H */
