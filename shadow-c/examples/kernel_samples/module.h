/*
 * The leaking module, and what a patch may replace of it.
 */
#ifndef MODULE_H
#define MODULE_H

#include <stdbool.h>

/* The object of the module. The frozen layout has no room for the address of the buffer. */
struct dummy {
	unsigned long expires;
	struct dummy *next;
};

/* Stands for memory that the kernel would leak. */
struct buffer {
	bool in_use;
};

/* The functions that a patch may replace. NULL: the patch keeps the function of the patch below. */
struct patch {
	const char *name;
	struct dummy *(*allocate)(unsigned long now);
	void (*free)(struct dummy *dummy);
	bool (*check)(struct dummy *dummy, unsigned long now);
};

struct buffer *buffer_allocate(void);
void buffer_free(struct buffer *buffer);
int buffers_in_use(void);

/* A dummy without a buffer. */
struct dummy *dummy_bare(unsigned long now);
void dummy_free(struct dummy *dummy);
bool dummy_check(struct dummy *dummy, unsigned long now);

/* Puts a patch on top of the others, and takes the newest one off. */
void module_patch(const struct patch *patch);
void module_unpatch(void);

/* Makes a dummy at each of three ticks, and then frees the expired dummies. */
void module_cycle(void);
/* Frees all dummies. */
void module_unload(void);

unsigned long module_now(void);
int module_dummies(void);
const char *module_newest(void);

#endif /* MODULE_H */
