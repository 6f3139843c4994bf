/*
 * The leaking module: makes a dummy at each tick, and frees the expired dummies at every third tick.
 */
#include "module.h"

#include <stdlib.h>

enum { TICKS_PER_CLEANUP = 3, LIFE = 12, PATCHES = 4, BUFFERS = 100 };

static struct buffer buffers[BUFFERS];
static struct dummy *dummies;
static unsigned long now;

struct buffer *buffer_allocate(void)
{
	for (int i = 0; i < BUFFERS; i++) {
		if (!buffers[i].in_use) {
			buffers[i].in_use = true;
			return &buffers[i];
		}
	}
	abort();
}

void buffer_free(struct buffer *buffer)
{
	buffer->in_use = false;
}

int buffers_in_use(void)
{
	int count = 0;

	for (int i = 0; i < BUFFERS; i++)
		count += buffers[i].in_use;
	return count;
}

struct dummy *dummy_bare(unsigned long now)
{
	struct dummy *dummy = malloc(sizeof(*dummy));

	if (!dummy)
		abort();
	dummy->expires = now + LIFE;
	return dummy;
}

static struct dummy *dummy_allocate(unsigned long now)
{
	(void)buffer_allocate();        /* the bug: this line loses the buffer */
	return dummy_bare(now);
}

void dummy_free(struct dummy *dummy)
{
	free(dummy);
}

bool dummy_check(struct dummy *dummy, unsigned long now)
{
	return now > dummy->expires;
}

static const struct patch original = { "module", dummy_allocate, dummy_free, dummy_check };
static const struct patch *patches[PATCHES] = { &original };
static int newest;

/* The newest version of each function. */
static struct dummy *newest_allocate(unsigned long now)
{
	int i = newest;

	while (!patches[i]->allocate)
		i--;
	return patches[i]->allocate(now);
}

static void newest_free(struct dummy *dummy)
{
	int i = newest;

	while (!patches[i]->free)
		i--;
	patches[i]->free(dummy);
}

static bool newest_check(struct dummy *dummy, unsigned long now)
{
	int i = newest;

	while (!patches[i]->check)
		i--;
	return patches[i]->check(dummy, now);
}

void module_patch(const struct patch *patch)
{
	patches[++newest] = patch;
}

void module_unpatch(void)
{
	newest--;
}

static void free_expired(bool all)
{
	struct dummy **link = &dummies;

	while (*link) {
		struct dummy *dummy = *link;

		if (all || newest_check(dummy, now)) {
			*link = dummy->next;
			newest_free(dummy);
		} else {
			link = &dummy->next;
		}
	}
}

void module_cycle(void)
{
	for (int i = 0; i < TICKS_PER_CLEANUP; i++) {
		struct dummy *dummy = newest_allocate(++now);

		dummy->next = dummies;
		dummies = dummy;
	}
	free_expired(false);
}

void module_unload(void)
{
	free_expired(true);
}

unsigned long module_now(void)
{
	return now;
}

int module_dummies(void)
{
	int count = 0;

	for (const struct dummy *dummy = dummies; dummy; dummy = dummy->next)
		count++;
	return count;
}

const char *module_newest(void)
{
	return patches[newest]->name;
}
