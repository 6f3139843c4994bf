/*
 * Fix 1: a field has the buffer of a dummy, and the free of the dummy frees the buffer.
 */
#include "fixes.h"

#include <klp_shadow.h>
#include <stdlib.h>

int fix1_tolerated, fix1_given_back;

static int keep_buffer(void *obj, void *data, void *ctor_data)
{
	*(struct buffer **)data = ctor_data;
	return 0;
}

static struct dummy *fix1_allocate(unsigned long now)
{
	struct dummy *dummy = dummy_bare(now);
	struct buffer *buffer = buffer_allocate();

	if (!klp_shadow_alloc(dummy, SV_LEAK, sizeof(buffer), 0, keep_buffer, buffer))
		abort();
	return dummy;
}

static void free_buffer(void *obj, void *data)
{
	buffer_free(*(struct buffer **)data);
}

static void free_last_buffer(void *obj, void *data)
{
	free_buffer(obj, data);
	fix1_given_back++;
}

void fix1_free(struct dummy *dummy)
{
	if (klp_shadow_get(dummy, SV_LEAK))
		klp_shadow_free(dummy, SV_LEAK, free_buffer);
	else
		fix1_tolerated++;       /* a dummy from before the fix */
	dummy_free(dummy);
}

void fix1_unload(void)
{
	klp_shadow_free_all(SV_LEAK, free_last_buffer);
}

const struct patch fix1 = { "fix 1", fix1_allocate, fix1_free, NULL };
