/*
 * Fix 2: counts the checks of each dummy, also of dummies from before the fixes. Fix 2 is loaded on top of fix 1, and
 * keeps the allocation of fix 1.
 */
#include "fixes.h"

#include <klp_shadow.h>
#include <stdlib.h>

int fix2_counters_ended, fix2_checks_of_the_freed;

static bool fix2_check(struct dummy *dummy, unsigned long now)
{
	int *counter = klp_shadow_get_or_alloc(dummy, SV_COUNTER, sizeof(*counter), 0, NULL, NULL);

	if (!counter)
		abort();
	++*counter;
	return dummy_check(dummy, now);
}

static void add_up(void *obj, void *data)
{
	fix2_checks_of_the_freed += *(int *)data;
}

static void count_ends(void *obj, void *data)
{
	fix2_counters_ended++;
}

static void fix2_free(struct dummy *dummy)
{
	klp_shadow_free(dummy, SV_COUNTER, add_up);
	fix1_free(dummy);
}

void fix2_unload(void)
{
	klp_shadow_free_all(SV_COUNTER, count_ends);
}

const struct patch fix2 = { "fix 2", NULL, fix2_free, fix2_check };
