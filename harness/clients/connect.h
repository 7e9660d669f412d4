/* SPDX-License-Identifier: GPL-2.0 */
/* An RDMA device by its name, and the way of an RC queue pair to its peer. */
#ifndef CONNECT_H
#define CONNECT_H

#include <infiniband/verbs.h>
#include <string.h>

/* The peer of a queue pair, and the index of the own GID. */
struct connection {
	uint32_t qpn;
	union ibv_gid gid;
	int sgid_index;
	enum ibv_mtu mtu;
	unsigned int access;
};

static inline struct ibv_context *open_rdma(const char *name)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	struct ibv_context *ctx = NULL;
	int i;

	for (i = 0; list && list[i] && !ctx; i++)
		if (!strcmp(ibv_get_device_name(list[i]), name))
			ctx = ibv_open_device(list[i]);
	if (list)
		ibv_free_device_list(list);
	return ctx;
}

/* Returns the index of the GID of the IPv4 address, ::ffff:a.b.c.d, or -1. */
static inline int find_gid(struct ibv_context *ctx, union ibv_gid *gid)
{
	static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };
	int i;

	for (i = 0; i < 64; i++)
		if (!ibv_query_gid(ctx, 1, i, gid) &&
		    !memcmp(gid->raw, mapped, sizeof(mapped)))
			return i;
	return -1;
}

static inline int may_receive(struct ibv_qp *qp, const struct connection *to)
{
	struct ibv_qp_attr init = {
		.qp_state = IBV_QPS_INIT,
		.port_num = 1,
		.qp_access_flags = to->access,
	};
	struct ibv_qp_attr rtr = {
		.qp_state = IBV_QPS_RTR,
		.path_mtu = to->mtu,
		.dest_qp_num = to->qpn,
		.max_dest_rd_atomic = 1,
		.min_rnr_timer = 12,
		.ah_attr = {
			.is_global = 1,
			.port_num = 1,
			.grh = {
				.dgid = to->gid,
				.sgid_index = to->sgid_index,
				.hop_limit = 4,
			},
		},
	};

	return ibv_modify_qp(qp, &init, IBV_QP_STATE | IBV_QP_PKEY_INDEX |
			     IBV_QP_PORT | IBV_QP_ACCESS_FLAGS) ?:
	       ibv_modify_qp(qp, &rtr, IBV_QP_STATE | IBV_QP_AV |
			     IBV_QP_PATH_MTU | IBV_QP_DEST_QPN |
			     IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC |
			     IBV_QP_MIN_RNR_TIMER);
}

/* A peer that faults on an emulated CPU is slow to answer. */
static inline int may_send(struct ibv_qp *qp)
{
	struct ibv_qp_attr rts = {
		.qp_state = IBV_QPS_RTS,
		.timeout = 20,
		.retry_cnt = 7,
		.rnr_retry = 7,
		.max_rd_atomic = 1,
	};

	return ibv_modify_qp(qp, &rts, IBV_QP_STATE | IBV_QP_TIMEOUT |
			     IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
			     IBV_QP_SQ_PSN | IBV_QP_MAX_QP_RD_ATOMIC);
}

/* Returns 0 or the error. The peer must come as far before the first request. */
static inline int connect_qp(struct ibv_qp *qp, const struct connection *to)
{
	return may_receive(qp, to) ?: may_send(qp);
}

#endif /* CONNECT_H */
