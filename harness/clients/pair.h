/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A requester and a responder: two RC queue pairs of this process, on a device
 * that talks to itself (loopback() in ends.sh).
 */
#ifndef PAIR_H
#define PAIR_H

#include <errno.h>
#include <infiniband/verbs.h>
#include <rdma/ib_user_ioctl_cmds.h>
#include <rdma/ib_user_ioctl_verbs.h>
#include <rdma/rdma_user_ioctl.h>
#include <rdma/rdma_user_ioctl_cmds.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "connect.h"

#define PAIR_DEVICE	"rxe0"
#define PAIR_ACCESS	(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | \
			 IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC)
/* Persistent flushes; the library may be older. */
#define PAIR_FLUSH	(1U << 9)
/* In each request, see rxe-wqe.h. */
#define PAIR_WR_ID	0x0ddba11

#define PAGE		4096UL

struct pair {
	struct ibv_context *ctx;
	struct ibv_pd *pd;
	struct ibv_cq *cq;
	struct ibv_qp *qp[2];		/* the requester, the responder */
	union ibv_gid gid;
	int sgid_index;
};

static inline void __attribute__((__noreturn__)) fail(const char *what)
{
	printf("# %s: %s\n", what, strerror(errno));
	fflush(stdout);
	_exit(1);
}

static inline void *map(size_t size, int flags, int fd)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED)
		fail("mmap");
	return p;
}

static inline void pair_open(struct pair *pair)
{
	memset(pair, 0, sizeof(*pair));
	pair->ctx = open_rdma(PAIR_DEVICE);
	if (!pair->ctx)
		fail("no device " PAIR_DEVICE);
	pair->sgid_index = find_gid(pair->ctx, &pair->gid);
	if (pair->sgid_index < 0)
		fail("no GID of an IPv4 address");
	pair->pd = ibv_alloc_pd(pair->ctx);
	pair->cq = ibv_create_cq(pair->ctx, 64, NULL, NULL, 0);
	if (!pair->pd || !pair->cq)
		fail("alloc_pd, create_cq");
}

static inline int pair_close(struct pair *pair)
{
	return ibv_destroy_qp(pair->qp[0]) || ibv_destroy_qp(pair->qp[1]) ||
	       ibv_destroy_cq(pair->cq) || ibv_dealloc_pd(pair->pd) ||
	       ibv_close_device(pair->ctx);
}

static inline void pair_connect_one(struct pair *pair, int n, enum ibv_mtu mtu)
{
	const struct connection to = {
		.qpn = pair->qp[!n]->qp_num,
		.gid = pair->gid,
		.sgid_index = pair->sgid_index,
		.mtu = mtu,
		.access = PAIR_ACCESS | PAIR_FLUSH,
	};

	if (connect_qp(pair->qp[n], &to))
		fail("connect_qp");
}

/* New queue pairs, also after an error, which ends the old ones. */
static inline void pair_connect(struct pair *pair, enum ibv_mtu mtu)
{
	struct ibv_qp_init_attr init = {
		.send_cq = pair->cq,
		.recv_cq = pair->cq,
		.qp_type = IBV_QPT_RC,
		.cap = { 16, 16, 1, 1 },
	};
	struct ibv_wc wc;
	int n;

	for (n = 0; n < 2; n++) {
		if (pair->qp[n] && ibv_destroy_qp(pair->qp[n]))
			fail("destroy_qp");
		pair->qp[n] = ibv_create_qp(pair->pd, &init);
		if (!pair->qp[n])
			fail("create_qp");
	}
	for (n = 0; n < 2; n++)
		pair_connect_one(pair, n, mtu);
	while (ibv_poll_cq(pair->cq, 1, &wc) > 0)
		;
}

/*
 * Returns the status of a request, after the responder has received @receives
 * messages. After an error it may have received nothing.
 */
static inline int pair_wait(struct pair *pair, int receives)
{
	int n, status = -1;
	struct ibv_wc wc;

	while (status < 0 || (!status && receives)) {
		n = ibv_poll_cq(pair->cq, 1, &wc);
		if (n < 0)
			fail("poll_cq");
		if (!n)
			sched_yield();
		else if (wc.qp_num == pair->qp[1]->qp_num)
			receives--;
		else
			status = wc.status;
	}
	return status;
}

static inline void pair_post(struct pair *pair, struct ibv_send_wr *wr)
{
	struct ibv_send_wr *bad;

	wr->wr_id = PAIR_WR_ID;
	wr->send_flags = IBV_SEND_SIGNALED;
	if (ibv_post_send(pair->qp[0], wr, &bad))
		fail("post_send");
}

static inline void pair_post_receive(struct pair *pair, struct ibv_sge *sge)
{
	struct ibv_recv_wr wr = { .sg_list = sge, .num_sge = 1 }, *bad;

	if (ibv_post_recv(pair->qp[1], &wr, &bad))
		fail("post_recv");
}

/* --- advice; the library has none for this device --- */

#define PAIR_SYNC	IB_UVERBS_ADVISE_MR_FLAG_FLUSH

struct pair_advise_cmd {
	struct ib_uverbs_ioctl_hdr hdr;
	struct ib_uverbs_attr attrs[4];
};

static inline void pair_set_attr(struct ib_uverbs_attr *attr, int id, int len,
				 uint64_t data)
{
	attr->attr_id = id;
	attr->len = len;
	attr->flags = UVERBS_ATTR_F_MANDATORY;
	attr->data = data;
}

/* Returns 0 or the error. */
static inline int pair_advise(struct pair *pair, uint64_t advice,
			      uint32_t flags, struct ibv_sge *sge)
{
	struct pair_advise_cmd cmd = {
		.hdr = {
			.length = sizeof(cmd),
			.object_id = UVERBS_OBJECT_MR,
			.method_id = UVERBS_METHOD_ADVISE_MR,
			.num_attrs = 4,
			.driver_id = RDMA_DRIVER_RXE,
		},
	};

	pair_set_attr(&cmd.attrs[0], UVERBS_ATTR_ADVISE_MR_PD_HANDLE, 0,
		      pair->pd->handle);
	pair_set_attr(&cmd.attrs[1], UVERBS_ATTR_ADVISE_MR_ADVICE,
		      sizeof(advice), advice);
	pair_set_attr(&cmd.attrs[2], UVERBS_ATTR_ADVISE_MR_FLAGS,
		      sizeof(flags), flags);
	pair_set_attr(&cmd.attrs[3], UVERBS_ATTR_ADVISE_MR_SGE_LIST,
		      sizeof(*sge), (uintptr_t)sge);
	return ioctl(pair->ctx->cmd_fd, RDMA_VERBS_IOCTL, &cmd) ? errno : 0;
}

#endif /* PAIR_H */
