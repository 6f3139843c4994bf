/*
 * The two fixes, each of which keeps a field beside the dummies.
 */
#ifndef FIXES_H
#define FIXES_H

#include "module.h"

enum { SV_LEAK = 1, SV_COUNTER = 2 };

extern const struct patch fix1, fix2;

/* Ends the field of the fix for every dummy. */
void fix1_unload(void);
void fix2_unload(void);

void fix1_free(struct dummy *dummy);

extern int fix1_tolerated;              /* freed dummies without a buffer, from before the fix */
extern int fix1_given_back;             /* buffers that the unload has freed */
extern int fix2_counters_ended;         /* counters that the unload has ended */
extern int fix2_checks_of_the_freed;    /* the sum of the counters of all freed dummies */

#endif /* FIXES_H */
