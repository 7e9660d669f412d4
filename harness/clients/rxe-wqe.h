/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Requests that older libraries do not have, for Soft-RoCE: the process writes
 * them to the send queue, which it shares with the driver.
 */
#ifndef RXE_WQE_H
#define RXE_WQE_H

#include <infiniband/verbs.h>
#include <rdma/ib_user_verbs.h>
#include <rdma/rdma_user_rxe.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Opcodes of the kernel. */
#define RXE_FLUSH		14
#define RXE_ATOMIC_WRITE	15

#define RXE_FLUSH_PERSISTENT	2
#define RXE_FLUSH_RANGE		0
#define RXE_FLUSH_REGION	1

struct rxe_op {
	uint32_t opcode;
	uint64_t addr;
	uint32_t len;
	uint64_t value;			/* of an atomic write */
	uint8_t type;			/* of a flush */
	uint8_t level;
};

/* A flush in struct rxe_send_wr; the header of the library may be older. */
struct rxe_flush_wr {
	uint64_t remote_addr;
	uint32_t length;
	uint32_t rkey;
	uint8_t type;
	uint8_t level;
};

static inline struct rxe_send_wqe *rxe_slot(struct rxe_queue_buf *q,
					    uint32_t index)
{
	return (void *)(q->data +
			((size_t)(index & q->index_mask) << q->log2_elem_size));
}

/* Returns the send queue with @wr_id in its last request, or NULL. */
static inline struct rxe_queue_buf *rxe_find_queue(uint64_t wr_id)
{
	struct rxe_queue_buf *q, *found = NULL;
	FILE *maps = fopen("/proc/self/maps", "re");
	unsigned long start;
	char line[512];

	while (maps && fgets(line, sizeof(line), maps)) {
		if (!strstr(line, "uverbs") ||
		    sscanf(line, "%lx-", &start) != 1)
			continue;
		q = (void *)start;
		if (1UL << q->log2_elem_size >= sizeof(struct rxe_send_wqe) &&
		    rxe_slot(q, q->producer_index - 1)->wr.wr_id == wr_id)
			found = q;
	}
	if (maps)
		fclose(maps);
	return found;
}

/* Make the driver look at the send queue. */
static inline int rxe_ring(struct ibv_qp *qp)
{
	struct ib_uverbs_post_send_resp resp;
	struct {
		struct ib_uverbs_cmd_hdr hdr;
		struct ib_uverbs_post_send post;
	} cmd = {
		.hdr = {
			.command = IB_USER_VERBS_CMD_POST_SEND,
			.in_words = sizeof(cmd) / 4,
			.out_words = sizeof(resp) / 4,
		},
		.post = {
			.response = (uintptr_t)&resp,
			.qp_handle = qp->handle,
			.wqe_size = sizeof(struct ib_uverbs_send_wr),
		},
	};

	return write(qp->context->cmd_fd, &cmd, sizeof(cmd)) != sizeof(cmd);
}

static inline void rxe_make(struct rxe_send_wqe *wqe, uint32_t rkey,
			    const struct rxe_op *op)
{
	struct rxe_flush_wr flush = {
		op->addr, op->len, rkey, op->type, op->level,
	};

	wqe->wr.opcode = op->opcode;
	wqe->wr.send_flags = IBV_SEND_SIGNALED;
	wqe->iova = op->addr;
	wqe->dma.length = op->len;
	wqe->dma.resid = op->len;
	if (op->opcode == RXE_FLUSH) {
		memcpy(&wqe->wr.wr, &flush, sizeof(flush));
		return;
	}
	wqe->wr.wr.rdma.remote_addr = op->addr;
	wqe->wr.wr.rdma.rkey = rkey;
	memcpy(wqe->dma.inline_data, &op->value, sizeof(op->value));
}

/*
 * Post @op after a request with @wr_id, which shows where the send queue is.
 * The library does not count it, so it is the last request of @qp.
 */
static inline int rxe_post(struct ibv_qp *qp, uint64_t wr_id, uint32_t rkey,
			   const struct rxe_op *op)
{
	struct rxe_queue_buf *q = rxe_find_queue(wr_id);
	struct rxe_send_wqe *wqe;
	uint32_t ssn;

	if (!q)
		return -1;
	ssn = rxe_slot(q, q->producer_index - 1)->ssn;
	wqe = rxe_slot(q, q->producer_index);
	memset(wqe, 0, sizeof(*wqe));
	wqe->ssn = ssn + 1;
	rxe_make(wqe, rkey, op);
	__atomic_store_n(&q->producer_index,
			 (q->producer_index + 1) & q->index_mask,
			 __ATOMIC_RELEASE);
	return rxe_ring(qp);
}

#endif /* RXE_WQE_H */
