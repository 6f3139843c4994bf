/*
 * A barrier, which macOS does not have: threads wait until all have arrived.
 */
#ifndef MEETING_H
#define MEETING_H

#include <pthread.h>

struct meeting {
	pthread_mutex_t lock;
	pthread_cond_t all_are_here;
	int expected, here, round;
};

#define MEETING(threads) { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, (threads), 0, 0 }

static inline void meet(struct meeting *meeting)
{
	int round;

	pthread_mutex_lock(&meeting->lock);
	round = meeting->round;
	if (++meeting->here == meeting->expected) {
		meeting->here = 0;
		meeting->round++;
		pthread_cond_broadcast(&meeting->all_are_here);
	}
	while (meeting->round == round)
		pthread_cond_wait(&meeting->all_are_here, &meeting->lock);
	pthread_mutex_unlock(&meeting->lock);
}

#endif /* MEETING_H */
